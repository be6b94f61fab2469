"""A rollout: where it is, each guard's evidence and what would end it, and those before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import log
from typing import Any

from controlplane.console.pages import words
from controlplane.console.sources.answer import Answer, answered, each
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.rollout.effects.record import HISTORY, STATE, read_record
from controlplane.rollout.plan import threshold
from controlplane.rollout.steps.state import JUDGED, State

PREFIX = "rollout-"


@dataclass(frozen=True, slots=True)
class Step:
    """A share of the requests, and what became of it."""

    percent: int
    state: str
    """done, now or ahead."""
    text: str


@dataclass(frozen=True, slots=True)
class Guard:
    """One comparison."""

    name: str
    decision: str
    evidence: str
    part: float
    """Of the way to the alarm, on a scale of logarithms: 0 … 1."""
    text: str


@dataclass(frozen=True, slots=True)
class Past:
    """A rollout that is over."""

    at: datetime | None
    stable: str
    canary: str
    outcome: str
    percent: int
    reason: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """One model's."""

    model: str
    stable: str
    canary: str
    phase: str
    over: bool
    outcome: str
    reason: str
    paused: bool
    held: bool
    """Whether an engine acts on it."""
    percent: int
    started: datetime | None
    steps: tuple[Step, ...]
    guards: tuple[Guard, ...]
    alarm: str
    verdict: str
    limits: tuple[tuple[str, str], ...]
    history: tuple[Past, ...]
    error: str = ""


async def every(sources: Sources) -> Answer[list[Rollout]]:
    """The last rollout of each model, those under way first."""
    leases = await answered(sources.cluster.list("leases"), [])
    own = [lease for lease in leases.value if _model(lease)]
    rollouts = each(own, of_lease, _unreadable)
    rollouts.sort(key=lambda rollout: (rollout.over, rollout.model))
    return Answer(rollouts, leases.error)


async def page(sources: Sources, model: str) -> Rollout | None:
    """One model's; None where it had none.

    Raises:
        SourceError: The Kubernetes API does not answer.
    """
    lease = await sources.cluster.get("leases", f"{PREFIX}{model}")
    if lease is None:
        return None
    (rollout,) = each([lease], of_lease, _unreadable)
    return rollout


def of_lease(lease: Object) -> Rollout:
    """A rollout from the Lease that holds it."""
    record = read_record(lease)
    state = record.state
    if state is None:
        raise ValueError("a Lease without a rollout")
    alarm = threshold(state.plan)
    verdict = state.verdict if state.phase in JUDGED or state.is_over else {}
    return Rollout(
        model=_model(lease),
        stable=words.version_of(state.stable),
        canary=words.version_of(state.canary),
        phase=str(state.phase),
        over=state.is_over,
        outcome=str(state.outcome or ""),
        reason=words.short(state.reason, 600),
        paused=state.paused,
        held=record.is_held,
        percent=state.percent,
        started=words.instant(state.started),
        steps=tuple(_steps(state)),
        guards=tuple(_guard(guard, alarm) for guard in verdict.get("guards") or ()),
        alarm=f"{alarm:,.0f}",
        verdict=words.short(f"{verdict['decision']}: {verdict['reason']}", 600) if verdict else "",
        limits=tuple(_limits(state)),
        history=tuple(
            each(reversed(record.history), _past, lambda _: Past(None, "", "", "Unreadable", 0, ""))
        ),
    )


def _model(lease: Object) -> str:
    metadata = lease.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    notes = (metadata.get("annotations") or {}) if isinstance(metadata, dict) else {}
    known = isinstance(notes, dict) and (STATE in notes or HISTORY in notes)
    return words.short(name.removeprefix(PREFIX), 120) if name.startswith(PREFIX) and known else ""


def _steps(state: State) -> list[Step]:
    judged = {int(step["percent"]): step for step in state.steps}
    steps = []
    for place, percent in enumerate(state.plan.steps):
        entry = judged.get(percent)
        if entry is not None:
            text = (
                f"{entry['decision']} after {words.duration(float(entry['seconds']))}: "
                f"{int(entry['requests']):,} requests of the canary, {entry['errors']} failed; "
                f"{entry['reason']}"
            )
            steps.append(Step(percent, "done", words.short(text, 400)))
        else:
            now = place == state.step and not state.is_over
            steps.append(Step(percent, "now" if now else "ahead", ""))
    return steps


def _guard(guard: Mapping[str, Any], alarm: float) -> Guard:
    evidence = float(guard["evidence"])
    part = log(max(evidence, 1.0)) / log(alarm) if alarm > 1 else 0.0
    return Guard(
        name=words.short(guard["name"], 40),
        decision=words.short(guard["decision"], 20),
        evidence=f"{evidence:.3g}",
        part=min(max(part, 0.0), 1.0),
        text=words.short(guard["text"], 400),
    )


def _limits(state: State) -> list[tuple[str, str]]:
    """What the rollout asks of each step, in words."""
    plan = state.plan
    limits = [
        ("Requests of each version", f"{plan.min_requests:,} at least"),
        ("A step lasts", f"{plan.step_seconds:g} s at least"),
        ("Tolerance", f"{plan.tolerance:g} times as often as in stable"),
        ("False alarm", f"{100 * plan.alpha:g} % of good rollouts at most"),
    ]
    if plan.objectives.errors is not None:
        limits.append(("Failed requests", f"{100 * plan.objectives.errors:g} % at most"))
    limits += [
        (limit.name, f"{words.latency(limit.seconds)} at most")
        for limit in plan.objectives.latencies
    ]
    return limits


def _past(stored: Mapping[str, Any]) -> Past:
    state = State.of(dict(stored))
    return Past(
        words.instant(state.started),
        words.version_of(state.stable),
        words.version_of(state.canary),
        str(state.outcome or ""),
        state.percent,
        words.short(state.reason, 400),
    )


def _unreadable(lease: Object) -> Rollout:
    return Rollout(
        *(_model(lease), "", "", "", True, "", "", False, False, 0, None, (), (), "", "", (), ()),
        error="The Lease does not have a rollout's form.",
    )
