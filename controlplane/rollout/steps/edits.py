"""Other people's edits of what a rollout works on: found by comparing, phase by phase. Pure."""

from collections.abc import Iterator

from controlplane.rollout.steps.seen import Seen
from controlplane.rollout.steps.state import Outcome, Phase, State


def foreign(state: State, seen: Seen) -> str:
    """What somebody else changed in the spec; empty where all is as this rollout wrote it."""
    return next(_differences(state, seen), "")


def version_of(uri: str) -> str:
    """A storageUri's last part, for people."""
    return uri.rstrip("/").rsplit("/", 1)[-1] or "nothing"


def _differences(state: State, seen: Seen) -> Iterator[str]:
    if seen.spec != state.spec:
        yield "the InferenceService's spec differs from what it was at the start"
    if seen.others:
        yield "spec.canary has another entry"
    if seen.stable_uri not in _stables(state):
        yield f"stable is to serve {version_of(seen.stable_uri)}"
    if seen.canary_uri not in {"", state.canary}:
        yield f"the canary is to serve {version_of(seen.canary_uri)}"
    percents = _percents(state)
    now = seen.percent if seen.canary_uri else None
    if now not in percents:
        expected = " or ".join("no canary" if one is None else f"{one} %" for one in percents)
        found = "no canary" if now is None else f"a canary of {now} %"
        yield f"spec.canary says {found} where {expected} was set"


def _stables(state: State) -> set[str]:
    """What stable may serve in a phase."""
    if state.phase is Phase.RENEWING:
        return {state.stable, state.canary}
    later = state.phase in {Phase.DRAINING, Phase.REMOVING}
    return {state.canary if later and state.outcome is Outcome.PROMOTED else state.stable}


def _percents(state: State) -> tuple[int | None, ...]:
    """What spec.canary may say in a phase, as this rollout wrote it; None is no entry."""
    allowed: dict[Phase, tuple[int | None, ...]] = {
        Phase.PREPARING: (None, 0),
        Phase.SHADOWING: (0,),
        Phase.SCALING: (state.weight,),
        Phase.SHIFTING: tuple(dict.fromkeys((state.weight, state.percent))),
        Phase.JUDGING: (state.percent,),
        Phase.RENEWING: (100,),
        # What it had when the rollout turned to its end: any weight that it ever got.
        Phase.DRAINING: (None, 0, *state.plan.steps),
        Phase.REMOVING: (None, 0),
    }
    return allowed[state.phase]
