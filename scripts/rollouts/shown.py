"""A rollout in words: where it is, what each guard says, what was before."""

import json
from datetime import UTC, datetime
from typing import Any

from controlplane.rollout.effects.record import Record
from controlplane.rollout.plan import threshold
from controlplane.rollout.steps.state import JUDGED, Phase, State

GUARDS = ("GUARD", "SAYS", "EVIDENCE", "ALARM AT", "NUMBERS")
HISTORY = ("STARTED", "FROM", "TO", "OUTCOME", "STEP", "REASON")


def as_json(record: Record) -> str:
    """The state, with who acts on it."""
    assert record.state is not None  # noqa: S101  the caller asked
    return json.dumps({**record.state.as_json(), "held": record.is_held}, indent=1)


def description(model: str, record: Record) -> str:
    """Some lines; `guards` has the numbers."""
    state = record.state
    assert state is not None  # noqa: S101  the caller asked
    lines = [
        f"{model}: {_version(state.stable)} → {_version(state.canary)}",
        f"phase    {line(state)}",
    ]
    if state.reason:
        lines.append(f"reason   {state.reason}")
    lines += [
        f"step     {one['percent']} %: {one['decision']} after {one['seconds']} s, "
        f"{one['requests']} requests of the canary, {one['errors']} failed: {one['reason']}"
        for one in state.steps
    ]
    if state.shadow:
        lines += _shadow(state.shadow)
    if state.phase in JUDGED and state.verdict:
        lines.append(f"verdict  {state.verdict['decision']}: {state.verdict['reason']}")
    if not state.is_over and not record.is_held:
        lines.append(f"engine   none acts: go on with serin rollout resume {model}")
    return "\n".join(lines) + "\n"


def guards(record: Record) -> list[tuple[str, ...]]:
    """A row of GUARDS for each guard that has judged."""
    state = record.state
    assert state is not None  # noqa: S101  the caller asked
    alarm = f"{threshold(state.plan):.3g}"
    return [
        (one["name"], one["decision"], f"{one['evidence']:.3g}", alarm, one["text"])
        for one in state.verdict.get("guards") or ()
    ]


def line(state: State) -> str:
    """Where it is, in a few words."""
    if state.is_over:
        return str(state.outcome)
    words = [str(state.phase)]
    if state.phase in {Phase.SCALING, Phase.SHIFTING, Phase.JUDGING}:
        words.append(f"{state.percent} %")
    if state.paused:
        words.append("(paused)")
    return " ".join(words)


def row(stored: dict[str, Any]) -> tuple[str, ...]:
    """One rollout of the history."""
    state = State.of(stored)
    begun = datetime.fromtimestamp(state.started, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    served = _version(state.stable), _version(state.canary)
    return (begun, *served, str(state.outcome), f"{state.percent} %", state.reason)


def _shadow(found: dict[str, Any]) -> list[str]:
    """What the comparison of mirrored requests found."""
    if found["classed"]:
        said = (
            f"{found['flips']} classes flipped; scores {found['mean_distance']:g} apart on "
            f"average, {found['max_distance']:g} at most"
        )
    else:
        said = f"{found['differing']} answers differ"
    failed = f"canary {found['canary_failed']}, stable {found['stable_failed']}"
    missing = f"canary {found['canary_missing']}, stable {found['stable_missing']}"
    twice = found["repeated"]
    lines = [
        f"shadow   {found['compared']} mirrored requests compared: {said}",
        f"         failed in one alone: {failed}; no answer: {missing}; ids used twice: {twice}",
    ]
    return lines + [
        f"         {one['request']}: stable {one['stable']}, canary {one['canary']}"
        for one in found["examples"]
    ]


def _version(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]
