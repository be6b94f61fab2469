"""KEDA's own decisions: between 0 and 1, pauses, and what stands in for a metric that fails.

pkg/scaling/executor/scale_scaledobjects.go and pkg/fallback/fallback.go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.autoscale.decision import Counterfactual, Decision
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.readings import Reading
from controlplane.autoscale.rule import (
    Behavior,
    Cron,
    FallbackBehavior,
    MetricType,
    Prometheus,
    Rule,
    ScalingRules,
    SelectPolicy,
)

ACTIVE = "Scaling is performed because triggers are active"
FORCED = "Scaling is performed because activation is being forced by annotation"
INACTIVE = "Scaling is not performed because triggers are not active"
COOLING = "Scaler cooling down because triggers are not active"


@dataclass(frozen=True, slots=True)
class Memory:
    """What a ScaledObject's status remembers."""

    created_at: float
    last_active_at: float | None = None
    """Whole seconds, as the API writes times."""
    failures: Mapping[str, int] | None = None
    """Metric name → failures in a row; kept only where there is a fallback."""

    @property
    def failure_counts(self) -> Mapping[str, int]:
        """The failures, none where nothing was counted."""
        return self.failures or {}


def with_fallback(
    rule: Rule, trigger: Prometheus | Cron, reading: Reading, scale: Scale, memory: Memory
) -> tuple[Reading, Memory]:
    """Count a failure or forget them, and past the threshold put a stand-in for the metric.

    The stand-in is the metric that makes the HPA arrive at the fallback's replicas; it is active.
    """
    fallback = rule.fallback
    if fallback is None:
        return reading, memory
    name = reading.metric_name
    failures = memory.failure_counts.get(name, 0) + 1 if reading.error else 0
    memory = replace(memory, failures={**memory.failure_counts, name: failures})
    if failures <= fallback.failure_threshold:
        return reading, memory
    current = scale.spec_replicas
    match fallback.behavior:
        case FallbackBehavior.CURRENT_REPLICAS:
            replicas = float(current)
        case FallbackBehavior.CURRENT_REPLICAS_IF_HIGHER:
            replicas = float(max(current, fallback.replicas))
        case FallbackBehavior.CURRENT_REPLICAS_IF_LOWER:
            replicas = float(min(current, fallback.replicas))
        case _:
            replicas = float(fallback.replicas)
    asked = replicas
    if trigger.metric_type is MetricType.VALUE:
        if not scale.ready_replicas:
            return replace(reading, error="error performing fallback"), memory
        replicas /= scale.ready_replicas
    words = f"fallback to {asked:g} replicas after {failures} failures"
    return Reading(name, int(trigger.target * replicas), active=True, stands_for=words), memory


def falling_back(rule: Rule, memory: Memory) -> bool:
    """Whether some trigger failed often enough: the condition Fallback."""
    counts = memory.failure_counts.values()
    return rule.fallback is not None and max(counts, default=0) > rule.fallback.failure_threshold


def poll(
    rule: Rule, memory: Memory, readings: Sequence[Reading], current: int, now: float
) -> tuple[Decision, Memory]:
    """Decide once in a polling interval: only from and to zero (or the idle number).

    Args:
        rule: The ScaledObject, not paused.
        memory: Its status.
        readings: All triggers but cpu.
        current: The Deployment's replicas.
        now: Seconds.
    """
    failed = any(reading.error for reading in readings)
    wanted = [reading.metric_name for reading in readings if reading.active and not reading.error]
    active = bool(wanted) or rule.force_activation or (rule.only_resources and not failed)
    if active:
        decision, memory = _awake(rule, memory, wanted, failed, current, now)
        reason = "ScalerActive"
    elif failed and (rule.fallback is None or rule.fallback.replicas):
        words = "Triggers defined in ScaledObject are not working correctly"
        decision, reason = _stays("TriggerError", current, words), "ScalerNotActive"
    else:
        decision = _quiet(rule, memory, current, now)
        reason = decision.rule if decision.rule == "ScalerCooldown" else "ScalerNotActive"
    return replace(decision, active_reason=reason), memory


def _awake(
    rule: Rule,
    memory: Memory,
    wanted: Sequence[str],
    failed: bool,  # noqa: FBT001  one of several facts
    current: int,
    now: float,
) -> tuple[Decision, Memory]:
    idle = rule.idle_replica_count is not None and current < rule.min_replica_count
    if current == 0 or idle:
        if rule.paused_scale_out:
            return _stays("PausedScaleOut", current, "scaling out is paused"), memory
        why = f"triggered by {';'.join(wanted)}" if wanted else "caused by forced activation"
        decision = _moves(rule, "KEDAScaleTargetActivated", current, rule.hpa_min_replicas, why)
        return decision, _active(memory, now)
    if failed:
        words = "Some triggers defined in ScaledObject are not working correctly"
        return _stays("PartialTriggerError", current, words), memory
    return _stays("ScalerActive", current, ACTIVE if wanted else FORCED), _active(memory, now)


def _quiet(rule: Rule, memory: Memory, current: int, now: float) -> Decision:
    idle = rule.idle_replica_count
    may_sleep = current > 0 and rule.min_replica_count == 0
    if may_sleep or (idle is not None and current > idle):
        return _sleep(rule, memory, current, now)
    if current < rule.min_replica_count and idle is None:
        return Decision(
            "KEDA", "MinReplicas", current, rule.min_replica_count, "below minReplicaCount"
        )
    return _stays("ScalerNotActive", current, INACTIVE)


def hpa_rule(rule: Rule, defaults: Behavior) -> Rule:
    """The rule as the HPA that KEDA writes has it: a paused direction is a disabled policy."""
    if not (rule.paused_scale_in or rule.paused_scale_out):
        return rule
    behavior = rule.behavior or defaults
    up = _disabled(behavior.scale_up) if rule.paused_scale_out else behavior.scale_up
    down = _disabled(behavior.scale_down) if rule.paused_scale_in else behavior.scale_down
    return replace(rule, behavior=Behavior(up, down))


def _sleep(rule: Rule, memory: Memory, current: int, now: float) -> Decision:
    if rule.paused_scale_in:
        return _stays("PausedScaleIn", current, "scaling in is paused")
    least = rule.min_replica_count if rule.idle_replica_count is None else rule.idle_replica_count
    if memory.last_active_at is None:
        since, period = memory.created_at, rule.initial_cooldown_period_seconds
    else:
        since, period = memory.last_active_at, rule.cooldown_period_seconds
    if since + period < now:
        return _moves(rule, "KEDAScaleTargetDeactivated", current, least, "")
    other = Counterfactual(least, f"the {period} s cooldown, of which {now - since:.0f} s are over")
    return replace(_stays("ScalerCooldown", current, COOLING), counterfactuals=(other,))


def _moves(rule: Rule, reason: str, current: int, desired: int, why: str) -> Decision:
    word = "Scaled" if desired > current else "Deactivated"
    text = f"{word} apps/v1.Deployment {rule.namespace}/{rule.target} from {current} to {desired}"
    event = f"{text}, {why}" if why else text
    return Decision("KEDA", reason, current, desired, why or INACTIVE, event=event)


def _stays(reason: str, current: int, words: str) -> Decision:
    return Decision("KEDA", reason, current, current, words)


def _active(memory: Memory, now: float) -> Memory:
    return replace(memory, last_active_at=float(int(now)))


def _disabled(rules: ScalingRules) -> ScalingRules:
    return replace(rules, select_policy=SelectPolicy.DISABLED)
