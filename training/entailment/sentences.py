"""Premises and hypotheses written by rules, to learn and test nli where no data is at hand.

Plain English of a hundred words, and not what people write. What a rule makes of a premise is the
pair's label, so no label is a matter of opinion. Each rule meets each form of a premise; some of
these meetings are kept for the test set, so that it asks for more than what was learnt by heart.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

NAME = "generated-sentences"
TRAIN_PAIRS, TEST_PAIRS = 9_000, 2_000
Row = tuple[str, str, str]
"""Premise, hypothesis, label."""

# What somebody is, and who is that; nobody is two of these.
_WHO = {
    "adult": ("man", "woman", "doctor", "farmer", "teacher", "singer"),
    "child": ("boy", "girl", "toddler", "pupil"),
    "animal": ("dog", "cat", "horse", "goat", "rabbit", "cow"),
}
# What is done: what it also is, and what it cannot be.
_DOING = {
    "sleeping": ("resting", "running"),
    "running": ("moving", "sitting"),
    "sitting": ("resting", "jumping"),
    "jumping": ("moving", "sleeping"),
    "walking": ("moving", "lying down"),
    "lying down": ("resting", "walking"),
    "swimming": ("moving", "sleeping"),
    "dreaming": ("resting", "jumping"),
}
_WHERE = {
    "indoors": ("in the kitchen", "in the office", "in the library", "in the bedroom"),
    "outdoors": ("in the garden", "on the beach", "in the forest", "in the street"),
}
_WHEN = ("in the morning", "at noon", "in the evening", "at night")
_NUMBERS = ("a", "two", "three", "four")
_UNSAID = (  # what no premise tells
    "for the first time",
    "with an old friend",
    "because it is a holiday",
    "before going home",
    "as on every other day",
    "for more than an hour",
)
_LOOKS = ("tall", "famous", "hungry", "old", "tired", "happy")  # nor this


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a premise tells."""

    number: str
    who: str
    kind: str
    doing: str
    where: str
    side: str
    when: str

    def subject(self, who: str = "", number: str = "", look: str = "") -> str:
        """`two farmers`, or with something said otherwise."""
        number = number or self.number
        words = f"{look} {_counted(who or self.who, number)}".strip()
        return f"{'an' if number == 'a' and words[0] in 'aeiou' else number} {words}"

    @property
    def are(self) -> str:
        """The verb that fits the number."""
        return "is" if self.number == "a" else "are"


def generated(seed: int) -> tuple[list[Row], list[Row]]:
    """The pairs to learn and those to test, the same for the same seed."""
    rng = random.Random(seed)
    meetings = [
        (form, label, rule)
        for label, rules in _RULES.items()
        for rule in range(len(rules))
        for form in range(len(_FORMS))
    ]
    held_out = [one for one in meetings if one[0] == one[2] % len(_FORMS)]
    learnt = [one for one in meetings if one not in held_out]
    return _rows(rng, learnt, TRAIN_PAIRS), _rows(rng, held_out, TEST_PAIRS)


def _rows(rng: random.Random, meetings: list[tuple[int, str, int]], count: int) -> list[Row]:
    rows = []
    for _ in range(count):
        label = rng.choice(list(_RULES))  # each as often as the others
        form, _, rule = rng.choice([one for one in meetings if one[1] == label])
        kind, side = rng.choice(list(_WHO)), rng.choice(list(_WHERE))
        scene = _Scene(
            number=rng.choice(_NUMBERS),
            who=rng.choice(_WHO[kind]),
            kind=kind,
            doing=rng.choice(list(_DOING)),
            where=rng.choice(_WHERE[side]),
            side=side,
            when=rng.choice(_WHEN),
        )
        rows.append((_FORMS[form](scene), _RULES[label][rule](scene, rng), label))
    return rows


def _counted(noun: str, number: str) -> str:
    if number == "a":
        return noun
    return {"man": "men", "woman": "women", "child": "children"}.get(noun, f"{noun}s")


def _sentence(*words: str) -> str:
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def _other(rng: random.Random, things: tuple[str, ...], thing: str) -> str:
    return rng.choice([one for one in things if one != thing])


def _other_side(scene: _Scene) -> str:
    return "outdoors" if scene.side == "indoors" else "indoors"


def _stranger(rng: random.Random, scene: _Scene) -> str:
    """Somebody of another kind: as SNLI's annotators did, one scene is meant, and only one."""
    return rng.choice(_WHO[_other(rng, tuple(_WHO), scene.kind)])


_FORMS: tuple[Callable[[_Scene], str], ...] = (
    lambda s: _sentence(s.subject(), s.are, s.doing, s.where, s.when),
    lambda s: _sentence(s.when, s.subject(), s.are, s.doing, s.where),
    lambda s: _sentence("there", s.are, s.subject(), s.doing, s.where, s.when),
    lambda s: _sentence("you can see", s.subject(), s.doing, s.where, s.when),
    lambda s: _sentence(s.where, s.subject(), s.are, s.doing, s.when),
)
_RULES: dict[str, tuple[Callable[[_Scene, random.Random], str], ...]] = {
    "entailment": (
        lambda s, _: _sentence(s.subject(), s.are, s.doing),
        lambda s, _: _sentence(s.subject(s.kind), s.are, s.doing),
        lambda s, _: _sentence(s.subject(), s.are, _DOING[s.doing][0]),
        lambda s, _: _sentence(s.subject(), s.are, s.side),
        lambda s, _: _sentence("somebody is", s.where, s.when),
        lambda s, _: _sentence("there", s.are, s.subject(s.kind), s.where),
    ),
    "neutral": (
        lambda s, r: _sentence(s.subject(), s.are, s.doing, r.choice(_UNSAID)),
        lambda s, r: _sentence(s.subject(look=r.choice(_LOOKS)), s.are, s.doing),
        lambda s, r: _sentence("the", _counted(s.who, s.number), s.are, r.choice(_LOOKS)),
        lambda s, r: _sentence(s.subject(s.kind), s.are, s.side, r.choice(_UNSAID)),
        lambda s, r: _sentence("somebody is", s.where, r.choice(_UNSAID)),
    ),
    "contradiction": (
        lambda s, _: _sentence(s.subject(), s.are, _DOING[s.doing][1]),
        lambda s, _: _sentence("nobody is", s.doing, s.where),
        lambda s, _: _sentence(s.subject(), s.are, _other_side(s)),
        lambda s, r: _sentence(s.subject(_stranger(r, s)), s.are, s.doing),
        lambda s, r: _sentence("there are only", _counted(_stranger(r, s), "two"), s.where),
        lambda s, _: _sentence(s.subject(), s.are, "not", s.doing, s.when),
    ),
}
