"""The next step of a rollout: a function of where it is and what the cluster is like. Pure.

Every phase is written down before it is acted on, and every act may be repeated: an engine that is
killed anywhere is followed by one that does the same again. What each phase waits for is read from
the cluster, never remembered.
"""

import math
import re
from dataclasses import replace

from controlplane.rollout.judging.judgement import ABORT, CONTINUE, HOLD, Verdict
from controlplane.rollout.steps.acts import (
    EndMirror,
    GiveBack,
    Next,
    Note,
    OpenMirror,
    ParkMirror,
    RemoveCanary,
    Scale,
    SetCanary,
    SetStable,
    StartMirror,
    Wake,
)
from controlplane.rollout.steps.edits import foreign, version_of
from controlplane.rollout.steps.mirror import mark
from controlplane.rollout.steps.seen import Mirror, Seen, Workload
from controlplane.rollout.steps.state import Outcome, Phase, State

ABSENT_SECONDS = 30.0
"""How long the canary may have no pod while it has requests, or the gateway not mirror them."""


def decide(state: State, seen: Seen | None, verdict: Verdict | None, now: float) -> Next:
    """Decide one step.

    Args:
        state: Where the rollout is.
        seen: The cluster; None where the InferenceService is gone.
        verdict: On the current step, while judging; None where nothing could be asked.
        now: Unix time.
    """
    if state.is_over:
        return Next(state)
    odd = "the InferenceService is gone" if seen is None else foreign(state, seen)
    if seen and seen.mirror and (odd or not _is_wanted(state, seen.mirror)):
        return _unmirror(state, seen.mirror, now)  # whatever led out of Shadowing, this comes first
    if seen is None or odd:
        left = replace(state, phase=Phase.DONE, since=now, outcome=Outcome.LEFT, reason=odd)
        said = f"Somebody else changed what is served: {odd}. The rollout ends and leaves it so."
        given_back = GiveBack(state.replicas) if seen and state.replicas else None
        return Next(left, given_back, (Note("RolloutSteppedBack", said, warning=True),))
    if state.phase is Phase.JUDGING:
        return _judge(state, seen, verdict, now)
    if state.phase is Phase.SHADOWING:
        return _shadow(state, seen, verdict, now)
    return _PHASES[state.phase](state, seen, now)


def command(state: State, word: str, by: str, now: float) -> Next:
    """What a person asked for: pause, resume, promote or abort."""
    if state.is_over:
        return Next(state)
    said = f"{by} asked to {word}"
    match word:
        case "pause":
            return Next(replace(state, paused=True), None, (Note("RolloutPaused", said),))
        case "resume":
            return Next(replace(state, paused=False), None, (Note("RolloutResumed", said),))
        case "promote" if state.outcome is None:
            forced = replace(state, forced=True, paused=False, reason=said)
            return Next(forced, None, (Note("RolloutForced", said),))
        case "abort" if state.outcome is not Outcome.ABORTED:
            return _abort(state, said, now)
        case _:
            return Next(state)


def _prepare(state: State, seen: Seen, now: float) -> Next:
    if seen.canary_uri != state.canary:
        return Next(state, SetCanary(state.canary, 0))
    if seen.canary.uri == state.canary and seen.canary.rolled and seen.canary.available:
        dark = state.plan.shadow and not state.forced
        return replace(_at(state, Phase.SHADOWING if dark else Phase.SCALING, now), act=Wake())
    return _start_or_give_up(state, seen, now)


def _is_wanted(state: State, mirror: Mirror) -> bool:
    """Whether what the gateway mirrors is what this rollout wants mirrored now."""
    return state.phase is Phase.SHADOWING and mirror.mark == mark(state.id, state.canary)


def _unmirror(state: State, mirror: Mirror, now: float) -> Next:
    if mirror.copies:
        return Next(state, ParkMirror())
    return Next(state, EndMirror() if mirror.is_settled(now) else None)


def _shadow(state: State, seen: Seen, verdict: Verdict | None, now: float) -> Next:
    """The canary gets a copy of each request; nobody gets its answers."""
    if state.forced:
        return _at(state, Phase.SCALING, now)
    if seen.mirror and seen.mirror.refused:
        return _absent(state, f"the gateway does not mirror: {seen.mirror.refused}", now)
    if seen.mirror and not seen.mirror.copies:
        known = replace(state, absent_since=0.0)
        return Next(known, OpenMirror() if seen.mirror.is_settled(now) else None)
    if seen.mirror:
        return _judge(state, seen, verdict, now)
    # All requests are copied, so it needs what stable has.
    return _with_pods(state, seen, 100, Next(state, StartMirror(state.id, state.canary)), now)


def _scale(state: State, seen: Seen, now: float) -> Next:
    return _with_pods(state, seen, state.percent, _at(state, Phase.SHIFTING, now), now)


def _with_pods(state: State, seen: Seen, percent: int, then: Next, now: float) -> Next:
    """What comes once the canary has the pods for a share of the requests; until then, those."""
    needed = replicas(seen.stable, seen.canary, percent) if seen.external else 1
    if waiting := _scaled(state, seen.canary, needed, canary=True):
        return waiting
    return then if seen.canary.available >= needed else _start_or_give_up(state, seen, now)


def _shift(state: State, seen: Seen, now: float) -> Next:
    if seen.percent != state.percent:
        return Next(state, SetCanary(state.canary, state.percent))
    if seen.routed == state.percent:
        text = f"{state.percent} % of the requests go to {version_of(state.canary)}"
        judging = replace(
            state,
            phase=Phase.JUDGING,
            since=now + state.plan.settle_seconds,
            weight=state.percent,
            verdict={},
            absent_since=0.0,
        )
        return Next(judging, None, (Note("RolloutStep", text),))
    return _start_or_give_up(state, seen, now)


def _judge(state: State, seen: Seen, verdict: Verdict | None, now: float) -> Next:
    if state.forced:
        return _onwards(state, now, "a person's word")
    if not seen.canary.available:
        said = f"no pod of the canary is available: {seen.canary.failed}".rstrip(": ")
        return _absent(state, said, now)
    state = replace(state, absent_since=0.0)
    if verdict is None:
        return Next(state)
    told = _kind(str(state.verdict.get("reason", "")))
    shadow = verdict.shadow or state.shadow
    state = replace(state, verdict={**verdict.as_json(), "at": now}, shadow=shadow)
    if verdict.decision == ABORT:
        return _abort(_recorded(state, verdict, now), verdict.reason, now)
    if verdict.decision == CONTINUE and not state.paused:
        passed = Note("RolloutContinues", f"{state.percent} %: {verdict.reason}")
        onwards = _onwards(_recorded(state, verdict, now), now, verdict.reason)
        return replace(onwards, notes=(passed, *onwards.notes))
    new = verdict.decision == HOLD and _kind(verdict.reason) != told
    held = Note("RolloutHolds", f"{state.percent} %: {verdict.reason}")
    return Next(state, None, (held,) if new else ())


def _kind(reason: str) -> str:
    """A reason without its numbers: what is told once, however they change."""
    return re.sub(r"\d[\d.e+-]*", "", reason.split(":", maxsplit=1)[0])


def _absent(state: State, why: str, now: float) -> Next:
    since = state.absent_since or now
    if now - since > ABSENT_SECONDS:
        return _abort(state, f"for {now - since:.0f} s, {why}", now)
    return Next(replace(state, absent_since=since))


def _renew(state: State, seen: Seen, now: float) -> Next:
    """Stable serves the new version too, while it has no weight; or the old one again."""
    uri = state.stable if state.outcome is Outcome.ABORTED else state.canary
    if seen.stable_uri != uri:
        return Next(state, SetStable(uri))
    # Without load it was scaled in; soon it has all the load that the canary has now.
    needed = min(seen.canary.wanted, seen.stable.most or seen.canary.wanted)
    if seen.stable.scaled_by and (waiting := _scaled(state, seen.stable, needed, canary=False)):
        return waiting
    enough = seen.stable.available >= needed or not seen.stable.scaled_by
    if seen.stable.uri == uri and seen.stable.rolled and enough:
        return _at(state, Phase.DRAINING, now)
    return Next(state)


def _drain(state: State, seen: Seen, now: float) -> Next:
    if not seen.canary_uri:
        return _at(state, Phase.REMOVING, now)
    if seen.percent:
        return Next(state, SetCanary(state.canary, 0))
    return _at(state, Phase.REMOVING, now) if seen.routed == 0 else Next(state)


def _remove(state: State, seen: Seen, now: float) -> Next:
    if seen.canary_uri:
        return Next(state, RemoveCanary())
    if seen.canary.uri or seen.routed:
        return Next(state)
    if state.replicas:  # given back, then forgotten: a kill between the two repeats the first
        return Next(replace(state, replicas={}), GiveBack(state.replicas))
    over = replace(state, phase=Phase.DONE, since=now)
    promoted = state.outcome is Outcome.PROMOTED
    served = version_of(state.canary if promoted else state.stable)
    said = f"{state.outcome}: {served} serves all requests. {state.reason}"
    return Next(over, None, (Note(f"Rollout{state.outcome}", said, not promoted),))


def _onwards(state: State, now: float, why: str) -> Next:
    if state.phase is Phase.SHADOWING:  # the first step needs fewer pods than all requests did
        going = _at(replace(state, verdict={}, replicas={}), Phase.SCALING, now)
        return replace(going, act=GiveBack(state.replicas))
    if state.step + 1 < len(state.plan.steps):
        step = len(state.plan.steps) - 1 if state.forced else state.step + 1
        return _at(replace(state, step=step), Phase.SCALING, now)
    promoting = replace(state, outcome=Outcome.PROMOTED, reason=state.reason or why)
    return _at(promoting, Phase.RENEWING, now)


def _abort(state: State, why: str, now: float) -> Next:
    promoting = state.outcome is Outcome.PROMOTED
    if promoting and state.phase is not Phase.RENEWING:  # stable serves the new version
        said = f"{why}: too late, it is promoted; serin rollback serves the version before"
        return Next(state, None, (Note("RolloutPromoting", said, warning=True),))
    going = replace(
        state,
        phase=Phase.RENEWING if promoting else Phase.DRAINING,
        since=now,
        outcome=Outcome.ABORTED,
        reason=why,
        paused=False,
    )
    note = Note("RolloutAborting", f"The canary gives its weight back: {why}", warning=True)
    return Next(going, None, (note,))


def _start_or_give_up(state: State, seen: Seen, now: float) -> Next:
    if seen.canary.failed:
        return _abort(state, f"the canary does not start: {seen.canary.failed}", now)
    if now - state.since > state.plan.start_seconds:
        said = f"the canary was not ready within {state.plan.start_seconds:.0f} s ({state.phase})"
        return _abort(state, said, now)
    return Next(state)


def replicas(stable: Workload, canary: Workload, percent: int) -> int:
    """How many pods of the canary carry a share of what stable's carry now."""
    needed = max(math.ceil(stable.available * percent / 100), 1)
    return min(needed, canary.most) if canary.scaled_by else needed


def _scaled(state: State, workload: Workload, needed: int, *, canary: bool) -> Next | None:
    """What is to be done for so many replicas; None once they are asked for."""
    by = workload.scaled_by
    if by and by not in state.replicas:  # written down first, so that it can be given back
        return Next(replace(state, replicas={**state.replicas, by: workload.least}))
    if (workload.least if by else workload.wanted) < needed:
        return Next(state, Scale(canary, needed))
    return None


def _recorded(state: State, verdict: Verdict, now: float) -> State:
    step = {
        "percent": state.percent,
        "seconds": round(now - state.since),
        "decision": verdict.decision,
        "reason": verdict.reason,
        "requests": verdict.requests[1],
        "errors": verdict.errors,
    }
    return replace(state, steps=(*state.steps, step))


def _at(state: State, phase: Phase, now: float) -> Next:
    return Next(replace(state, phase=phase, since=now))


_PHASES = {
    Phase.PREPARING: _prepare,
    Phase.SCALING: _scale,
    Phase.SHIFTING: _shift,
    Phase.RENEWING: _renew,
    Phase.DRAINING: _drain,
    Phase.REMOVING: _remove,
}
