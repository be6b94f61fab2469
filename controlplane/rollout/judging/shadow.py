"""The verdict on a canary that no user sees yet: both versions' answers to the same requests. Pure.

Answers come in pairs, so each request is a trial of its own. If both versions were the same, one
that only one of them fails would be the canary's as often as stable's (McNemar's test), whatever
the requests are. How often two good versions disagree on a class nobody can say beforehand: that
has a stated limit. Both are e-processes, as in statistics.py, and may be looked at all the time.
"""

from collections.abc import Iterator

import numpy as np

from controlplane.rollout.judging.answers import Compared
from controlplane.rollout.judging.judgement import ABORT, CONTINUE, HOLD, SUSPICIOUS, Guard, Verdict
from controlplane.rollout.judging.statistics import log_evidence
from controlplane.rollout.plan import Plan
from controlplane.rollout.plan import threshold as alarm_of


def judge_shadow(found: Compared, plan: Plan) -> Verdict:
    """Judge what was compared so far.

    Args:
        found: Counts since the requests are mirrored.
        plan: How many are to be compared, and the limit for flips.
    """
    alarm = alarm_of(plan)
    guards = tuple(_guards(found, plan, alarm))
    counts = (guards, (found.compared, found.compared), found.canary_failed)
    numbers = found.as_json()
    worst = max(guards, key=lambda one: one.evidence)
    odds = f"evidence {worst.evidence:.3g}, alarm at {alarm:.3g}"
    if worst.decision == ABORT:
        return Verdict(ABORT, f"{worst.name}: {worst.text} ({odds})", *counts, numbers)
    if found.compared < plan.shadow:
        said = f"{found.compared} of {plan.shadow} mirrored requests compared"
        if not found.compared:
            said = f"{said}: no pair of answers in both versions' logs yet; are there requests?"
        elif found.canary_missing or found.stable_missing:
            missing = f"{found.canary_missing} of the canary, {found.stable_missing} of stable"
            said = f"{said}; answers missing: {missing}"
        return Verdict(HOLD, said, *counts, numbers)
    if worst.decision == HOLD:
        return Verdict(HOLD, f"suspicious, {worst.name}: {worst.text} ({odds})", *counts, numbers)
    return Verdict(CONTINUE, f"nothing is wrong: {summary(found)}", *counts, numbers)


def summary(found: Compared) -> str:
    """What was compared, in a few words."""
    if found.classed:
        mean = found.distance / found.classed
        said = (
            f"{found.flips} of {found.classed} classes flipped "
            f"({100 * found.flips / found.classed:.2g} %), "
            f"scores {mean:.2g} apart on average, {found.farthest:.2g} at most"
        )
    else:
        said = f"{found.differing} of {found.both} answers differ"
    return f"{said}; {found.canary_failed} of {found.compared} failed in the canary alone"


def _guards(found: Compared, plan: Plan, alarm: float) -> Iterator[Guard]:
    innocent = plan.tolerance / (1 + plan.tolerance)
    failed, missing = found.canary_failed, found.canary_missing
    other = found.classed - found.flips
    yield _guard(
        "shadow errors",
        log_evidence(failed, found.stable_failed, innocent),
        alarm,
        f"failed by the canary alone {failed}, by stable alone {found.stable_failed}, "
        f"of {found.compared}",
    )
    yield _guard(
        "shadow missing",
        log_evidence(missing, found.stable_missing, innocent),
        alarm,
        f"no answer of the canary {missing}, of stable {found.stable_missing}, "
        f"beside {found.compared} of both",
    )
    yield _guard(
        "shadow flips",
        log_evidence(found.flips, other, plan.shadow_flips),
        alarm,
        f"another class {found.flips} of {found.classed}; limit {plan.shadow_flips:.3g}",
    )


def _guard(name: str, log_e: np.ndarray, alarm: float, text: str) -> Guard:
    value = float(np.exp(min(float(log_e), 690.0)))
    decision = ABORT if value >= alarm else HOLD if value >= SUSPICIOUS else CONTINUE
    return Guard(name, decision, value, text)
