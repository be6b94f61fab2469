"""What both versions answered to the same requests, joined by request id, and counted. Pure.

A predictor logs a line for each request that a gateway mirrors
(predictors/runtime/dataplane/shadow.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.rollout.judging.evidence import CANARY, STABLE

GRACE_SECONDS = 10.0
"""How much later than the one version's answer the other's may come: queues, logs on their way."""
EXAMPLES = 5
_LEFT = "cancelled"


@dataclass(frozen=True, slots=True)
class Answer:
    """One line."""

    pod: str
    time: str
    outcome: str
    """As predictors count it: ok, error, …"""
    label: str = ""
    """The first row's likeliest class; empty for models without classes, and where it failed."""
    scores: tuple[float, ...] = ()
    digest: str = ""
    """Of the whole answer, for models without classes."""

    @classmethod
    def of(cls, pod: str, line: Mapping[str, Any]) -> "Answer":
        """From a line's fields."""
        return cls(
            pod,
            str(line["time"]),
            str(line["outcome"]),
            str(line.get("class", "")),
            tuple(float(score) for score in line.get("scores", ())),
            str(line.get("digest", "")),
        )


@dataclass(slots=True)
class Compared:
    """Counts of requests."""

    both: int = 0
    """Answered by both; the next ones are of these."""
    classed: int = 0
    """With a class from both."""
    flips: int = 0
    """With another class from the canary."""
    differing: int = 0
    """Of models without classes: with another answer, to the last bit."""
    distance: float = 0.0
    """The sum over `classed` of the total variation distance between both's scores, each 0 to 1."""
    farthest: float = 0.0
    canary_failed: int = 0
    """Answered by stable, while the canary's answer was an error."""
    stable_failed: int = 0
    """And the other way round."""
    canary_missing: int = 0
    """Answered by stable; of the canary there is nothing, though it had time."""
    stable_missing: int = 0
    waiting: int = 0
    """Answered by one, and the other still has time."""
    repeated: int = 0
    """Ids that clients used more than once: nobody knows which answer belongs to which."""
    examples: list[dict[str, str]] = field(default_factory=list)
    """Some requests that were not answered alike: their ids and both answers."""

    @property
    def compared(self) -> int:
        """Requests of which both versions' end is known, and good for one of them at least."""
        return self.both + self.canary_failed + self.stable_failed

    def as_json(self) -> dict[str, Any]:
        """As it is stored and shown."""
        mean = self.distance / self.classed if self.classed else 0.0
        return {
            "compared": self.compared,
            "classed": self.classed,
            "flips": self.flips,
            "differing": self.differing,
            "mean_distance": round(mean, 4),
            "max_distance": round(self.farthest, 4),
            "canary_failed": self.canary_failed,
            "stable_failed": self.stable_failed,
            "canary_missing": self.canary_missing,
            "stable_missing": self.stable_missing,
            "repeated": self.repeated,
            "examples": self.examples,
        }


@dataclass(slots=True)
class _Request:
    """One request id."""

    seen_at: float
    answers: dict[int, Answer] = field(default_factory=dict)
    repeated: bool = False


class Answers:
    """Every answer to mirrored requests that is known."""

    def __init__(self) -> None:
        self._requests: dict[str, _Request] = {}

    def add(self, arm: int, request: str, answer: Answer, now: float) -> None:
        """Take a line; one that was taken before changes nothing.

        Args:
            arm: STABLE or CANARY.
            request: The x-request-id; without one, nothing can be joined.
            answer: What the line says.
            now: Of a clock that only goes forward, seconds.
        """
        if not request:
            return
        one = self._requests.setdefault(request, _Request(now))
        if one.answers.setdefault(arm, answer) != answer:
            one.repeated = True

    def count(self, now: float) -> Compared:
        """Count them as they are now."""
        found = Compared()
        for request, one in self._requests.items():
            stable, canary = one.answers.get(STABLE), one.answers.get(CANARY)
            if one.repeated:
                found.repeated += 1
            elif stable and canary:
                _compare(found, request, stable, canary)
            elif now - one.seen_at < GRACE_SECONDS:
                found.waiting += 1
            elif stable and stable.outcome == "ok":
                found.canary_missing += 1
                _show(found, request, _said(stable), "no answer")
            elif canary and canary.outcome == "ok":
                found.stable_missing += 1
        return found


def _compare(found: Compared, request: str, stable: Answer, canary: Answer) -> None:
    if _LEFT in {stable.outcome, canary.outcome}:
        return
    good = stable.outcome == "ok", canary.outcome == "ok"
    if good == (True, False):
        found.canary_failed += 1
        _show(found, request, _said(stable), canary.outcome)
    elif good == (False, True):
        found.stable_failed += 1
    elif all(good):
        found.both += 1
        if stable.label and canary.label:
            found.classed += 1
            distance = _distance(stable.scores, canary.scores)
            found.distance += distance
            found.farthest = max(found.farthest, distance)
            if stable.label != canary.label:
                found.flips += 1
                _show(found, request, _said(stable), _said(canary))
        elif stable.digest != canary.digest:
            found.differing += 1
            _show(found, request, _said(stable), _said(canary))


def _show(found: Compared, request: str, stable: str, canary: str) -> None:
    if len(found.examples) < EXAMPLES:
        found.examples.append({"request": request, "stable": stable, "canary": canary})


def _said(answer: Answer) -> str:
    if answer.label:
        return f"{answer.label} {max(answer.scores, default=0.0):.2f}"
    return answer.digest or answer.outcome


def _distance(stable: tuple[float, ...], canary: tuple[float, ...]) -> float:
    """Half the sum of the differences; 1 where they are of different classes altogether."""
    if len(stable) != len(canary):
        return 1.0
    return sum(abs(a - b) for a, b in zip(stable, canary, strict=True)) / 2
