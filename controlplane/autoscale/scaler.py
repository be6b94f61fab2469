"""KEDA and the HPA together, one tick at a time; the same steps in a replay and on a laptop.

`poll` is due every pollingInterval, `sync` every time the HPA controller looks (15 s in a cluster).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controlplane.autoscale import hpa, keda
from controlplane.autoscale.decision import Decision
from controlplane.autoscale.hpa import Seen
from controlplane.autoscale.keda import Memory
from controlplane.autoscale.limits import History
from controlplane.autoscale.parsing import SCALE_DOWN, SCALE_UP
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.readings import PodUsage, Reading
from controlplane.autoscale.rule import (
    Behavior,
    Controller,
    Cron,
    External,
    Prometheus,
    Resource,
    Rule,
)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that both controllers remember of one ScaledObject."""

    memory: Memory
    history: History = field(default_factory=History)
    cached: Mapping[str, Reading] | None = None
    """Readings of the last poll, for triggers with useCachedMetrics."""


def start(now: float) -> State:
    """The state of a ScaledObject that was just made."""
    return State(Memory(created_at=now))


def poll(
    rule: Rule, state: State, readings: Mapping[str, Reading], scale: Scale, now: float
) -> tuple[Decision, State]:
    """KEDA's turn.

    Args:
        rule: The ScaledObject.
        state: What is remembered.
        readings: Metric name → reading, of every trigger but cpu and memory.
        scale: The Deployment.
        now: Seconds.
    """
    current = scale.spec_replicas
    if rule.paused:
        wanted = current if rule.paused_replicas is None else rule.paused_replicas
        decision = Decision("KEDA", "ScaledObjectPaused", current, wanted, "ScaledObject is paused")
        return decision, replace(state, history=History(), cached=None)
    state = replace(state, cached=dict(readings))
    answers: list[Reading] = []
    for trigger in rule.triggers:
        if not isinstance(trigger, Resource | External):
            reading = readings[trigger.metric_name]
            state, answer = _with_fallback(rule, state, trigger, reading, scale)
            answers.append(answer)
    decision, memory = keda.poll(rule, state.memory, answers, current, now)
    return decision, replace(state, memory=memory)


def sync(
    rule: Rule,
    state: State,
    readings: Mapping[str, Reading],
    scale: Scale,
    now: float,
    controller: Controller,
    pods: Mapping[str, tuple[PodUsage, ...]] | None = None,
) -> tuple[Decision, State]:
    """The HPA's turn; KEDA answers its questions about metrics.

    Args:
        rule: The ScaledObject.
        state: What is remembered.
        readings: Metric name → reading, of every trigger but cpu and memory.
        scale: The Deployment.
        now: Seconds.
        controller: The cluster's flags.
        pods: cpu or memory → the Deployment's pods, where a trigger asks for it.
    """
    if rule.paused:
        current = scale.spec_replicas
        words = "KEDA removes the HPA of a paused ScaledObject"
        return Decision("HPA", "ScaledObjectPaused", current, current, words), state
    answers: dict[str, Reading] = {}
    for trigger in rule.metrics:
        if isinstance(trigger, Resource | External) or scale.spec_replicas == 0:
            continue  # a disabled HPA asks for nothing
        name = trigger.metric_name
        reading = readings[name]
        if isinstance(trigger, Prometheus) and trigger.use_cached_metrics and state.cached:
            reading = state.cached.get(name, reading)
        state, answers[name] = _with_fallback(rule, state, trigger, reading, scale)
    effective = keda.hpa_rule(rule, Behavior(SCALE_UP, SCALE_DOWN))
    seen = Seen(scale, answers, pods or {})
    decision, history = hpa.decide(effective, state.history, seen, now, controller)
    return decision, replace(state, history=history)


def _with_fallback(
    rule: Rule, state: State, trigger: Prometheus | Cron, reading: Reading, scale: Scale
) -> tuple[State, Reading]:
    reading, memory = keda.with_fallback(rule, trigger, reading, scale, state.memory)
    return replace(state, memory=memory), reading


def wake(
    rule: Rule, state: State, held: Mapping[str, Reading], now: float
) -> tuple[Decision, State]:
    """Start a sleeping target at once, as an interceptor that holds a request asks KEDA to.

    Args:
        rule: The ScaledObject.
        state: What is remembered.
        held: What holds the request, as an active reading.
        now: Seconds.
    """
    decision, memory = keda.poll(rule, state.memory, tuple(held.values()), 0, now)
    return decision, replace(state, memory=memory)
