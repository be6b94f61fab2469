"""The verdict on a step: every guard's evidence with its numbers, and what follows. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from controlplane.rollout.judging.evidence import CANARY, STABLE, Evidence
from controlplane.rollout.judging.statistics import Numbers, log_evidence, log_excess, log_shift
from controlplane.rollout.plan import Latency, Plan, threshold

CONTINUE, HOLD, ABORT = "continue", "hold", "abort"
SUSPICIOUS = 3.0
"""Evidence from which on a step is not passed, though it is far from an alarm."""


def evidences(evidence: Evidence, plan: Plan) -> Iterator[tuple[str, Numbers]]:
    """Each guard that has something to say, with the logarithm of its e-value (…).

    Args:
        evidence: Of one step of one rollout, or of many at once.
        plan: Limits and tolerance.
    """
    stable, canary = evidence.requests[STABLE], evidence.requests[CANARY]
    errors, ratio = evidence.errors, plan.tolerance
    yield "errors", log_excess(errors[CANARY], errors[STABLE], canary, stable, ratio)
    if (limit := plan.objectives.errors) is not None:
        yield "errors limit", log_evidence(errors[CANARY], canary - errors[CANARY], limit)
    if evidence.bounds:
        _, slower = felt(evidence, plan)
        yield "latency", log_shift(slower[CANARY], slower[STABLE], ratio, both_ways=False)
        if plan.objectives.latencies:
            yield (
                "latency limit",
                np.logaddexp.reduce([_above(evidence, one) for one in plan.objectives.latencies])
                - np.log(len(plan.objectives.latencies)),
            )
    if evidence.classes:
        answered = evidence.answered
        yield "classes", log_shift(answered[CANARY], answered[STABLE], ratio, both_ways=True)
    if evidence.confidences:
        unsure = evidence.unsure
        yield "confidence", log_shift(unsure[CANARY], unsure[STABLE], ratio, both_ways=True)


def felt(evidence: Evidence, plan: Plan) -> tuple[tuple[float, ...], Numbers]:
    """The latency bounds that matter, and their columns of `slower` with the total."""
    first = int(np.searchsorted(evidence.bounds, plan.floor_seconds * (1 - 1e-9)))
    return evidence.bounds[first:], evidence.slower[..., first:]


def enough(evidence: Evidence, plan: Plan, percent: int) -> npt.NDArray[np.bool_]:
    """Whether both versions, where both have requests, were asked often enough to pass a step."""
    enough_canary = evidence.requests[CANARY] >= plan.min_requests
    enough_stable = evidence.requests[STABLE] >= plan.min_requests
    return np.asarray(enough_canary & (enough_stable | (percent == 100)))


@dataclass(frozen=True, slots=True)
class Guard:
    """What one guard says."""

    name: str
    decision: str
    evidence: float
    """The e-value, at most 1e300."""
    text: str
    """The numbers, for people."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Continue, hold or abort, and why."""

    decision: str
    reason: str
    guards: tuple[Guard, ...] = ()
    requests: tuple[int, int] = (0, 0)
    """Of stable and of the canary since the step began."""
    errors: int = 0
    """The canary's, since the step began."""
    shadow: dict[str, Any] = field(default_factory=dict)
    """What the comparison of mirrored requests found; see answers.Compared."""

    def as_json(self) -> dict[str, Any]:
        """As it is stored; `shadow` is kept beside it, for as long as the rollout."""
        return {name: value for name, value in asdict(self).items() if name != "shadow"}


def judge(evidence: Evidence, plan: Plan, percent: int, seconds: float) -> Verdict:
    """Judge one step of one rollout.

    Args:
        evidence: Counts since the step began.
        plan: Limits and tolerance.
        percent: The canary's share in this step.
        seconds: How long the step has lasted.
    """
    alarm = threshold(plan)
    guards = []
    for name, log_e in evidences(evidence, plan):
        value = float(np.exp(min(float(log_e), 690.0)))
        decision = ABORT if value >= alarm else HOLD if value >= SUSPICIOUS else CONTINUE
        guards.append(Guard(name, decision, value, _text(name, evidence, plan)))
    stable, canary = (int(count) for count in evidence.requests)
    found = (tuple(guards), (stable, canary), int(evidence.errors[CANARY]))
    for guard in sorted(guards, key=lambda one: -one.evidence):
        odds = f"evidence {guard.evidence:.3g}, alarm at {alarm:.3g}"
        if guard.decision == ABORT:
            return Verdict(ABORT, f"{guard.name}: {guard.text} ({odds})", *found)
    missing = _missing(evidence, plan, percent)
    if missing:
        return Verdict(HOLD, missing, *found)
    for guard in guards:
        if guard.decision == HOLD:
            odds = f"evidence {guard.evidence:.3g}, alarm at {alarm:.3g}"
            return Verdict(HOLD, f"suspicious, {guard.name}: {guard.text} ({odds})", *found)
    if seconds < plan.step_seconds:
        left = f"{seconds:.0f} of {plan.step_seconds:.0f} s"
        return Verdict(HOLD, f"nothing is wrong; the step lasts {left}", *found)
    return Verdict(CONTINUE, f"nothing is wrong in {canary} requests", *found)


def _missing(evidence: Evidence, plan: Plan, percent: int) -> str:
    """What has no answer yet; empty where everything has one. No data is never a pass."""
    names = ("stable", "the canary")
    arms = (CANARY,) if percent == 100 else (CANARY, STABLE)
    for arm in arms:
        count = int(evidence.requests[arm])
        if not count:
            return f"Prometheus has no request of {names[arm]} since the step began"
        if count < plan.min_requests:
            return f"{count} of {plan.min_requests} requests of {names[arm]}"
        if not evidence.bounds or not evidence.slower[arm, -1]:
            return f"Prometheus has no latencies of {names[arm]}"
        for one in plan.objectives.latencies:
            if bucket(evidence.bounds, one.seconds) is None:
                last = f"{evidence.bounds[-1]:g} s"
                return f"{one.name} cannot be judged: the histogram's last bound is {last}"
        if evidence.classes and not evidence.answered[arm, -1]:
            return f"Prometheus has no classes of {names[arm]}, but of the other"
    return ""


def _above(evidence: Evidence, limit: Latency) -> Numbers:
    slower = evidence.slower[CANARY]
    index = bucket(evidence.bounds, limit.seconds)
    if index is None:
        return np.zeros(slower.shape[:-1])
    above = slower[..., index]
    return log_evidence(above, slower[..., -1] - above, 1 - limit.quantile)


def bucket(bounds: tuple[float, ...], seconds: float) -> int | None:
    """The histogram's first bound that is not below a time; None above all."""
    index = int(np.searchsorted(bounds, seconds * (1 - 1e-9)))
    return index if index < len(bounds) else None


def _text(name: str, evidence: Evidence, plan: Plan) -> str:
    match name:
        case "errors" | "errors limit":
            said = _shares("failed", evidence.errors, evidence.requests)
            limit = plan.objectives.errors
            return said if name == "errors" or limit is None else f"{said}; limit {limit:.3g}"
        case "latency":
            bounds, slower = felt(evidence, plan)
            index = _worst(slower, plan.tolerance, both_ways=False)
            return _shares(f"above {bounds[index] * 1e3:g} ms", slower[:, index], slower[:, -1])
        case "latency limit":
            parts = []
            for one in plan.objectives.latencies:
                limited = bucket(evidence.bounds, one.seconds)
                if limited is None:
                    parts.append(f"{one.name}: no answer")
                    continue
                above = _shares(
                    f"above {evidence.bounds[limited] * 1e3:g} ms",
                    evidence.slower[:, limited],
                    evidence.slower[:, -1],
                )
                parts.append(f"{above}; {one.name} allows {1 - one.quantile:.3g}")
            return "; ".join(parts)
        case "classes":
            index = _worst(evidence.answered, plan.tolerance, both_ways=True)
            counted = evidence.answered
            return _shares(f"class {evidence.classes[index]}", counted[:, index], counted[:, -1])
        case _:
            index = _worst(evidence.unsure, plan.tolerance, both_ways=True)
            bound = evidence.confidences[index]
            said = f"confidence up to {bound:g}"
            return _shares(said, evidence.unsure[:, index], evidence.unsure[:, -1])


def _worst(counts: Numbers, ratio: float, *, both_ways: bool) -> int:
    """The column with the most evidence."""
    canary, stable = counts[CANARY], counts[STABLE]
    found = log_excess(canary[:-1], stable[:-1], canary[-1], stable[-1], ratio)
    if both_ways:
        fell = log_excess(stable[:-1], canary[:-1], stable[-1], canary[-1], ratio)
        found = np.maximum(found, fell)
    return int(np.argmax(found))


def _shares(what: str, counts: Numbers, totals: Numbers) -> str:
    """`above 5 ms: canary 12 of 100 (12 %), stable 3 of 900 (0.33 %)`."""
    parts = []
    for name, arm in (("canary", CANARY), ("stable", STABLE)):
        count, total = counts[arm], totals[arm]
        share = f" ({100 * count / total:.3g} %)" if total else ""
        parts.append(f"{name} {count:.0f} of {total:.0f}{share}")
    return f"{what}: {', '.join(parts)}"
