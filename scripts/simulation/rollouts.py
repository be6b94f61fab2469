"""Thousands of rollouts at once, judged by the product's own code: how often, and how soon.

    python -m scripts.simulation.rollouts       writes docs/rollouts.json and prints its table

Requests come at a steady rate and are dealt out by chance; every five seconds each rollout is
judged, and its step is passed, held or ended as the engine would. Nothing here decides anything.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, lognorm  # type: ignore[import-untyped]  # it has no types

from controlplane.rollout.judging.evidence import CANARY, STABLE, Evidence
from controlplane.rollout.judging.judgement import SUSPICIOUS, enough, evidences
from controlplane.rollout.plan import Objectives, Plan, threshold

RESULT = Path(__file__).parents[2] / "docs" / "rollouts.json"
LOOK_SECONDS = 5
MOST_LOOKS = 240
"""A step that is undecided after 20 minutes stays so."""
# The predictor's own, seconds.
BOUNDS = (
    *(5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 1.5e-3, 2.5e-3, 3.5e-3, 5e-3, 7e-3),
    *(1e-2, 1.5e-2, 2.5e-2, 3.5e-2, 5e-2, 7e-2, 0.1, 0.15, 0.25, 0.35, 0.5),
)
CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SHARES = (0.2, 0.15, 0.13, 0.11, 0.1, 0.09, 0.08, 0.07, 0.05, 0.02)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Version:
    """How one version behaves."""

    errors: float = 0.001
    slower: float = 1.0
    """Factor on every latency; stable's are lognormal, median 2 ms, p99 6.4 ms."""
    tail: float = 1.0
    """Factor on the slowest twentieth only."""
    classes: tuple[float, ...] = SHARES
    confidence: tuple[float, float] = (8.0, 1.0)
    """Of a beta distribution of the likeliest class' score."""

    def latency_bins(self) -> Floats:
        """Chances of (bounds + 1) bins."""
        fast = lognorm(0.5, scale=0.002 * self.slower)
        at_most = fast.cdf(BOUNDS)
        edge = fast.ppf(0.95)
        beyond = np.maximum(fast.cdf(np.asarray(BOUNDS) / self.tail), 0.95)
        at_most = np.where(np.asarray(BOUNDS) > edge, beyond, at_most)
        return np.diff(np.concatenate([[0.0], at_most, [1.0]]))

    def confidence_bins(self) -> Floats:
        """Chances of (confidences + 1) bins."""
        return np.diff(np.concatenate([[0.0], beta(*self.confidence).cdf(CONFIDENCES), [1.0]]))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A canary beside stable."""

    name: str
    canary: Version = field(default_factory=Version)
    stable: Version = field(default_factory=Version)
    per_second: int = 100
    bursts: float = 0.0
    """The error rate of both versions in every twentieth look, as of a failing dependency."""


def _moved(share: float) -> tuple[float, ...]:
    """SHARES with the fifth class at `share`."""
    rest = (1 - share) / (1 - SHARES[4])
    return tuple(share if place == 4 else one * rest for place, one in enumerate(SHARES))


SCENARIOS = (
    Scenario("the same version"),
    Scenario("the same, a dependency fails 5 % in bursts", bursts=0.05),
    Scenario("the same, 10 requests a second", per_second=10),
    Scenario("2 % errors against 0.1 %", Version(errors=0.02)),
    Scenario("1 % errors against 0.1 %", Version(errors=0.01)),
    Scenario("p99 +30 %: all latencies × 1.3", Version(slower=1.3)),
    Scenario("p99 +30 %: only the slowest twentieth × 1.3", Version(tail=1.3)),
    Scenario("a class at 20 % of the answers, not 10 %", Version(classes=_moved(0.2))),
    Scenario("confidence 0.8 on average, not 0.89", Version(confidence=(4.0, 1.0))),
)
PLAN = Plan(objectives=Objectives(errors=0.005))


@dataclass(frozen=True, slots=True)
class Ends:
    """How many rollouts ended; arrays over rollouts."""

    aborted: npt.NDArray[np.bool_]
    undecided: npt.NDArray[np.bool_]
    step: npt.NDArray[np.int64]
    """In which it ended."""
    requests: npt.NDArray[np.int64]
    """The canary's, over all steps."""
    seconds: npt.NDArray[np.int64]


def simulate(scenario: Scenario, plan: Plan, rollouts: int, seed: int) -> Ends:
    """Run many rollouts of one scenario."""
    rng = np.random.default_rng(seed)
    aborted, undecided = np.zeros((2, rollouts), bool)
    ended_in, requests, seconds = np.zeros((3, rollouts), np.int64)
    alarm = np.log(threshold(plan))
    for step, percent in enumerate(plan.steps):
        ended_in[~(aborted | undecided)] = step
        going = np.flatnonzero(~(aborted | undecided))
        counts = _nothing(len(going))
        for look in range(1, MOST_LOOKS + 1):
            if not going.size:
                break
            requests[going] += _more(counts, scenario, percent, look, rng)
            seconds[going] += LOOK_SECONDS
            worst = np.max([one for _, one in evidences(counts, plan)], axis=0)
            ends = worst >= alarm
            aborted[going[ends]] = True
            waited = look * LOOK_SECONDS >= plan.step_seconds
            passes = enough(counts, plan, percent) & (worst < np.log(SUSPICIOUS)) & waited
            stays = ~(ends | passes)
            going, counts = going[stays], _only(counts, stays)
        undecided[going] = True
    return Ends(aborted, undecided, ended_in, requests, seconds)


def _nothing(rollouts: int) -> Evidence:
    def zeros(*shape: int) -> Floats:
        return np.zeros((2, rollouts, *shape))

    return Evidence(
        requests=zeros(),
        errors=zeros(),
        bounds=BOUNDS,
        slower=zeros(len(BOUNDS) + 1),
        classes=tuple(map(str, range(len(SHARES)))),
        answered=zeros(len(SHARES) + 1),
        confidences=CONFIDENCES,
        unsure=zeros(len(CONFIDENCES) + 1),
    )


def _more(
    counts: Evidence, scenario: Scenario, percent: int, look: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Add one look's requests; returns the canary's."""
    total = scenario.per_second * LOOK_SECONDS
    canary = rng.binomial(total, percent / 100, counts.requests.shape[1])
    versions = ((STABLE, scenario.stable, total - canary), (CANARY, scenario.canary, canary))
    for arm, version, asked in versions:
        burst = scenario.bursts if look % 20 == 10 else 0.0
        counts.requests[arm] += asked
        counts.errors[arm] += rng.binomial(asked, max(version.errors, burst))
        bins = rng.multinomial(asked, version.latency_bins())
        counts.slower[arm, :, :-1] += asked[:, None] - bins.cumsum(axis=-1)[:, :-1]
        counts.slower[arm, :, -1] += asked
        counts.answered[arm, :, :-1] += rng.multinomial(asked, version.classes)
        counts.answered[arm, :, -1] += asked
        counts.unsure[arm] += rng.multinomial(asked, version.confidence_bins()).cumsum(axis=-1)
    return np.asarray(canary)


def _only(counts: Evidence, chosen: npt.NDArray[np.bool_]) -> Evidence:
    names = ("requests", "errors", "slower", "answered", "unsure")
    kept = {name: getattr(counts, name)[:, chosen] for name in names}
    return Evidence(
        **kept, bounds=counts.bounds, classes=counts.classes, confidences=counts.confidences
    )


def summary(scenario: Scenario, ends: Ends) -> dict[str, Any]:
    """What the table shows; requests and seconds until the abort, where one is right."""
    rollouts = len(ends.aborted)
    count = int(ends.aborted.sum())
    # Clopper, Pearson: Biometrika 26 (1934).
    upper = 1.0 if count == rollouts else float(beta.ppf(0.95, count + 1, rollouts - count))
    found: dict[str, Any] = {
        "scenario": scenario.name,
        "rollouts": rollouts,
        "aborted": count,
        "aborted_upper_95": round(upper, 5),
        "undecided": int(ends.undecided.sum()),
        "aborted_in_first_step": int((ends.aborted & (ends.step == 0)).sum()),
    }
    if scenario.canary != scenario.stable and count:
        requests, seconds = ends.requests[ends.aborted], ends.seconds[ends.aborted]
        found["canary_requests_p50"] = int(np.median(requests))
        found["canary_requests_p95"] = int(np.quantile(requests, 0.95))
        found["seconds_p50"] = int(np.median(seconds))
        found["seconds_p95"] = int(np.quantile(seconds, 0.95))
    return found


def table(results: list[dict[str, Any]]) -> str:
    """The documentation's table, in Markdown."""
    lines = [
        "| canary | rollouts | aborted | in the first step | its requests until then | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for one in results:
        share = f"{100 * one['aborted'] / one['rollouts']:.2f} %"
        cells = [one["scenario"], f"{one['rollouts']:,}"]
        if "canary_requests_p50" in one:
            first = f"{100 * one['aborted_in_first_step'] / one['rollouts']:.1f} %"
            cells += [share, first]
            cells += [f"{one['canary_requests_p50']:,} ({one['canary_requests_p95']:,})"]
            cells += [f"{one['seconds_p50']} ({one['seconds_p95']})"]
        else:
            cells += [f"{share} (at most {100 * one['aborted_upper_95']:.2f} %)", "–", "–", "–"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def run(rollouts: Callable[[Scenario], int], seed: int) -> list[dict[str, Any]]:
    """Every scenario's summary."""
    return [
        summary(one, simulate(one, PLAN, rollouts(one), seed + index))
        for index, one in enumerate(SCENARIOS)
    ]


def main() -> None:
    """Write the result and print its table."""
    results = run(lambda one: 5000 if one.canary == one.stable else 1000, seed=8)
    facts = {"plan": PLAN.as_json(), "seed": 8, "results": results}
    RESULT.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    sys.stdout.write(table(results))


if __name__ == "__main__":
    main()
