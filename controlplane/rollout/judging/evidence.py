"""What both versions did since a step began: counts, from Prometheus. The queries and their sense.

Counts are differences of counters between the first and the last scrape in the time since the step
began, so nothing is extrapolated, and an engine that was killed reads the same numbers again. A
counter that began anew counts from there: too little, never too much.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

STABLE, CANARY = 0, 1
FAULTS = ("error", "rejected", "deadline", "unready")
"""Outcomes that are the server's fault; what a client did wrong counts for nothing."""
Samples = Iterable[tuple[Mapping[str, str], float]]
Ask = Callable[[str], Samples]
"""PromQL → labels and value of each element."""
Pair = np.ndarray[Any, np.dtype[np.float64]]


def _pair(*shape: int) -> Pair:
    return np.zeros((2, *shape))


@dataclass(slots=True)
class Evidence:
    """Counts of one step: index 0 stable, 1 the canary; further axes are many rollouts at once."""

    requests: Pair = field(default_factory=_pair)
    """(2, …) answered, clients' own faults not among them."""
    errors: Pair = field(default_factory=_pair)
    """(2, …) of these, failed."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of the latency histogram, seconds, without infinity."""
    slower: Pair = field(default_factory=lambda: _pair(1))
    """(2, …, bounds + 1) answers that took longer than each bound; the last is all answers."""
    classes: tuple[str, ...] = ()
    answered: Pair = field(default_factory=lambda: _pair(1))
    """(2, …, classes + 1) requests answered with each class; the last is all of them."""
    confidences: tuple[float, ...] = ()
    unsure: Pair = field(default_factory=lambda: _pair(1))
    """(2, …, confidences + 1) answers that were at most so sure; the last is all of them."""


def collect(ask: Ask, namespace: str, model: str, seconds: float) -> Evidence:
    """Read both versions' counts.

    Args:
        ask: Asks Prometheus.
        namespace: The InferenceService's.
        model: The InferenceService.
        seconds: How long ago the step began.
    """
    arms = {f"{model}-predictor": STABLE, f"{model}-canary-predictor": CANARY}
    labels = f'{{namespace="{namespace}",deployment=~"{"|".join(arms)}"}}'

    def read(metric: str, by: str) -> dict[tuple[int, str], float]:
        series = f"{metric}{labels}[{max(int(seconds), 1)}s]"
        query = f"sum by (deployment, {by}) (last_over_time({series}) - min_over_time({series}))"
        return {
            (arms[found["deployment"]], found.get(by, "")): value for found, value in ask(query)
        }

    outcomes = read("predictor_requests_total", "outcome")
    evidence = Evidence()
    for (arm, outcome), count in outcomes.items():
        evidence.errors[arm] += count if outcome in FAULTS else 0
        evidence.requests[arm] += count if outcome in {"ok", *FAULTS} else 0
    evidence.bounds, at_most = _histogram(read("predictor_request_duration_seconds_bucket", "le"))
    evidence.slower = at_most[:, -1:] - at_most  # the last, all - all, becomes the total
    evidence.slower[:, -1] = at_most[:, -1]
    counted = read("predictor_answers_total", "class")
    evidence.classes = tuple(sorted({name for _, name in counted}))
    evidence.answered = _pair(len(evidence.classes) + 1)
    for (arm, name), count in counted.items():
        evidence.answered[arm, evidence.classes.index(name)] = count
        evidence.answered[arm, -1] += count
    evidence.confidences, evidence.unsure = _histogram(read("predictor_confidence_bucket", "le"))
    return evidence


def _histogram(counts: Mapping[tuple[int, str], float]) -> tuple[tuple[float, ...], Pair]:
    """Bounds without infinity, and cumulative counts with it; no series are no bounds.

    Only bounds that both versions have are of use: their images may have been made apart.
    """
    of_arm: dict[int, dict[float, float]] = {}
    for (arm, le), count in counts.items():
        of_arm.setdefault(arm, {})[float(le)] = count
    bounds = sorted(set.intersection(*map(set, of_arm.values()))) if of_arm else []
    found = _pair(max(len(bounds), 1))
    for arm, cumulative in of_arm.items():
        found[arm, : len(bounds)] = [cumulative[bound] for bound in bounds]
    return tuple(bounds[:-1]), found
