from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.local.controllers.rolling import Decision, PodFacts, decide


def pods(text: str) -> list[PodFacts]:
    """Pods from letters: n new, o old; capitals serve. Their names are letter and position."""
    return [
        PodFacts(f"{letter}{place}", letter.lower(), letter.isupper(), float(place))
        for place, letter in enumerate(text)
    ]


@pytest.mark.parametrize(
    ("replicas", "now", "start", "drain"),
    [
        (1, "", 1, ()),
        (2, "", 2, ()),
        (2, "NN", 0, ()),
        (3, "NN", 1, ()),
        (1, "NN", 0, ("N0",)),  # scaled in: the youngest goes
        (1, "Nn", 0, ("n1",)),  # or one that does not answer
        (1, "O", 1, ()),  # a successor first
        (1, "On", 0, ()),  # which does not answer yet
        (1, "ON", 0, ("O0",)),  # and now does
        (2, "OO", 1, ()),  # one more than wanted at a time
        (2, "OON", 0, ("O1",)),  # the oldest goes
        (2, "ONN", 0, ("O0",)),
        (2, "OOn", 0, ()),  # a version that does not start takes nothing away
        (2, "Oon", 0, ()),
        (1, "oN", 0, ("o0",)),
        (4, "OOOO", 1, ("O3",)),  # from four on, a quarter may be missing
    ],
)
def test_next_step(replicas: int, now: str, start: int, drain: tuple[str, ...]) -> None:
    """One step of an update, as a Deployment takes it."""
    assert decide("n", replicas, pods(now)) == Decision(start, drain)


def test_nothing_is_stopped_while_the_version_is_unknown() -> None:
    """A store that does not answer must not end what serves."""
    assert decide("", 1, pods("O")) == Decision()


def test_a_deployment_that_is_gone_ends() -> None:
    """No replicas wanted and no template: every pod leaves."""
    assert set(decide("", 0, pods("Oo")).drain) == {"O0", "o1"}


@given(
    replicas=st.integers(1, 8),
    now=st.lists(st.sampled_from("NnOo"), max_size=8),
    luck=st.lists(st.booleans(), min_size=200, max_size=200),
)
def test_an_update_ends_and_never_takes_too_much(
    replicas: int, now: list[str], luck: list[bool]
) -> None:
    """From any state, with pods becoming ready in any order, capacity holds until the end."""
    least = replicas - replicas // 4
    names = count(1000)
    state = pods("".join(now))
    for lucky in luck:
        decision = decide("n", replicas, state)
        before = sum(pod.serving for pod in state)
        state = [pod for pod in state if pod.name not in decision.drain]
        assert sum(pod.serving for pod in state) >= min(before, least)
        state += [
            PodFacts(f"n{next(names)}", "n", serving=False, age=0) for _ in range(decision.start)
        ]
        waiting = next((pod for pod in state if pod.template_hash == "n" and not pod.serving), None)
        if lucky and waiting:
            state.remove(waiting)
            state.append(PodFacts(waiting.name, "n", serving=True, age=1))
    if sum(luck) > 3 * replicas + len(now):
        assert [pod.template_hash for pod in state] == ["n"] * replicas


def test_recreate_ends_what_is_old_first() -> None:
    """Nothing of the new template starts while an old pod is there, or leaves."""
    old = [PodFacts("a", "old", serving=True, age=9), PodFacts("b", "old", serving=True, age=9)]
    strategy = {"type": "Recreate"}

    assert decide("new", 2, old, strategy) == Decision(0, ("a", "b"))
    assert decide("new", 2, [], strategy, leaving=2) == Decision()
    assert decide("new", 2, [], strategy) == Decision(2)


@pytest.mark.parametrize(
    ("rolling", "expected"),
    [
        ({"maxSurge": 1, "maxUnavailable": 0}, Decision(1)),
        ({"maxSurge": 0, "maxUnavailable": 1}, Decision(0, ("o0",))),
        ({"maxSurge": "50%", "maxUnavailable": "0%"}, Decision(2)),
        ({"maxSurge": 0, "maxUnavailable": "0%"}, Decision(0, ("o0",))),
    ],
)
def test_a_strategys_bounds_are_kept(rolling: dict[str, object], expected: Decision) -> None:
    """Of four pods, so many more and so many fewer; never both none."""
    old = [PodFacts(f"o{place}", "old", serving=True, age=9 - place) for place in range(4)]

    assert decide("new", 4, old, {"rollingUpdate": rolling}) == expected
