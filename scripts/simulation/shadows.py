"""Thousands of comparisons of mirrored requests, judged by the product's own code.

    python -m scripts.simulation.shadows        prints the table of docs/rollouts.md

Every 50 requests each comparison is judged, and it goes on, passes or aborts as the engine would.
"""

import sys
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta  # type: ignore[import-untyped]  # it has no types

from controlplane.rollout.effects.podlogs import MOST
from controlplane.rollout.judging.answers import Compared
from controlplane.rollout.judging.judgement import ABORT, CONTINUE, HOLD, Verdict
from controlplane.rollout.judging.shadow import judge_shadow
from controlplane.rollout.plan import Plan

PLAN = Plan(shadow=500)
LOOK_REQUESTS = 50


@dataclass(frozen=True, slots=True)
class Pair:
    """How a canary differs from stable; shares of the requests."""

    flips: float = 0.02
    canary_fails: float = 0.001
    stable_fails: float = 0.001
    missing: float = 0.0


SAME = {
    "2 % of classes flip, 0.1 % fail on either side": Pair(),
    "5 % flip, as many as `--shadow-flips` allows": Pair(flips=0.05),
    "5 % fail on either side, each by itself": Pair(canary_fails=0.05, stable_fails=0.05),
}
WORSE = {
    "30 % flip": Pair(flips=0.3),
    "15 % flip": Pair(flips=0.15),
    "8 % flip": Pair(flips=0.08),
    "2 % fail in the canary, 0.1 % in stable": Pair(canary_fails=0.02),
    "10 % fail in the canary, 0.1 % in stable": Pair(canary_fails=0.1),
    "the canary answers nothing": Pair(missing=1.0),
}


def compare(pair: Pair, random: np.random.Generator, plan: Plan = PLAN) -> tuple[Verdict, int]:
    """One comparison: its last verdict, and after how many requests."""
    found, asked, verdict = Compared(), 0, Verdict(HOLD, "nothing was asked")
    while verdict.decision == HOLD and asked < MOST * plan.shadow:
        asked += LOOK_REQUESTS
        gone = random.binomial(LOOK_REQUESTS, pair.missing)
        failed = random.binomial(LOOK_REQUESTS - gone, pair.canary_fails)
        also = random.binomial(LOOK_REQUESTS - gone - failed, pair.stable_fails)
        both = LOOK_REQUESTS - gone - failed - also
        found.canary_missing += gone
        found.canary_failed += failed
        found.stable_failed += also
        found.both += both
        found.classed += both
        found.flips += random.binomial(both, pair.flips)
        verdict = judge_shadow(found, plan)
    return verdict, asked


def main() -> None:
    """Print the table."""
    lines = ["| canary | comparisons | aborted | passed | requests until the abort |"]
    lines += ["|---|---|---|---|---|"]
    random = np.random.default_rng(8)
    for pairs, count in ((SAME, 5000), (WORSE, 1000)):
        for name, pair in pairs.items():
            ends = [compare(pair, random) for _ in range(count)]
            aborted = [asked for verdict, asked in ends if verdict.decision == ABORT]
            passed = sum(verdict.decision == CONTINUE for verdict, _ in ends) / count
            share = f"{100 * len(aborted) / count:.2f} %"
            until = "–"
            if pairs is SAME:  # Clopper, Pearson: Biometrika 26 (1934)
                upper = beta.ppf(0.95, len(aborted) + 1, count - len(aborted))
                share = f"{share} (at most {100 * upper:.2f} %)"
            elif aborted:
                until = f"{np.median(aborted):,.0f} ({np.quantile(aborted, 0.95):,.0f})"
            lines.append(f"| {name} | {count:,} | {share} | {100 * passed:.1f} % | {until} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
