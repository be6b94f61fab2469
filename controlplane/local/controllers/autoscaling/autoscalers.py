"""A ScaledObject's status and its HorizontalPodAutoscaler, as KEDA and the HPA write them. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from controlplane.autoscale import keda, proposals
from controlplane.autoscale.decision import Decision
from controlplane.autoscale.keda import Memory
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.rule import MetricType, Resource, Rule, Trigger
from controlplane.kubernetes.conditions import condition, timed
from controlplane.kubernetes.meta import Object, owner_reference

PAUSED = "autoscaling.keda.sh/paused"
READY = "ScaledObject is defined correctly and is ready for scaling"
_BROKEN = {
    "PartialTriggerError": "Some triggers defined in ScaledObject are not working correctly",
    "TriggerError": "Triggers defined in ScaledObject are not working correctly",
}
_ACTIVE = {
    "ScalerActive": keda.ACTIVE,
    "ScalerNotActive": keda.INACTIVE,
    "ScalerCooldown": keda.COOLING,
}


def memory(scaled: Object, created_at: float) -> Memory:
    """What a ScaledObject's status remembers, for a platform that starts anew."""
    status = scaled.get("status") or {}
    last = status.get("lastActiveTime")
    return Memory(
        created_at=created_at,
        last_active_at=datetime.fromisoformat(last).timestamp() if last else None,
        failures={
            name: int(health.get("numberOfFailures") or 0)
            for name, health in (status.get("health") or {}).items()
        },
    )


def seconds(time: str) -> float:
    """A time of the API, as seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()


def status(
    scaled: Object, rule: Rule, remembered: Memory, polled: Decision | None, original: int
) -> Object:
    """The ScaledObject's status.

    Args:
        scaled: The object.
        rule: The same as values.
        remembered: What KEDA remembers of it.
        polled: The decision of the last poll, if there was one.
        original: The replicas that KEDA found first.
    """
    old = scaled.get("status") or {}
    names = [trigger.metric_name for trigger in rule.triggers if not isinstance(trigger, Resource)]
    found: Object = {
        "scaleTargetKind": "apps/v1.Deployment",
        "scaleTargetGVKR": {
            "group": "apps",
            "version": "v1",
            "kind": "Deployment",
            "resource": "deployments",
        },
        "originalReplicaCount": old.get("originalReplicaCount", original),
        "externalMetricNames": names,
        "triggersTypes": ",".join(
            dict.fromkeys(
                one.metric_name if isinstance(one, Resource) else type(one).__name__.lower()
                for one in rule.triggers
            )
        ),
        "hpaName": rule.hpa_name,
        "conditions": _conditions(rule, remembered, polled),
    }
    resources = [one.metric_name for one in rule.triggers if isinstance(one, Resource)]
    if resources:
        found["resourceMetricNames"] = list(dict.fromkeys(resources))
    if remembered.last_active_at is not None:
        last = datetime.fromtimestamp(remembered.last_active_at, UTC)
        found["lastActiveTime"] = last.strftime("%Y-%m-%dT%H:%M:%SZ")
    if rule.paused_replicas is not None:
        found["pausedReplicaCount"] = rule.paused_replicas
    if rule.fallback:
        found["health"] = {
            name: {"numberOfFailures": count, "status": "Failing" if count else "Happy"}
            for name, count in remembered.failure_counts.items()
        }
    return found


def bounded(scaled: Object, deployment: str, replicas: int, *, is_new: bool) -> int:
    """A Deployment's replicas within the bounds of a ScaledObject, if that scales it."""
    spec, metadata = scaled["spec"], scaled["metadata"]
    paused = any(name.startswith(PAUSED) for name in metadata.get("annotations") or {})
    if spec["scaleTargetRef"]["name"] != deployment or paused:
        return replicas
    if is_new or replicas:  # from zero, only load wakes it
        replicas = max(replicas, int(spec.get("minReplicaCount", 0)), 1)
    return max(min(replicas, int(spec.get("maxReplicaCount", 100))), 0)


def broken(scaled: Object, reason: str, message: str) -> Object:
    """The status of a ScaledObject that cannot be acted on."""
    ready = condition("Ready", reason, message, true=False)
    unknown = [{"type": kind, "status": "Unknown"} for kind in ("Active", "Fallback")]
    conditions = [ready, *unknown, {"type": "Paused", "status": "False"}]
    return {**(scaled.get("status") or {}), "conditions": conditions}


def hpa(
    scaled: Object, rule: Rule, decision: Decision, scale: Scale, old: Object | None, now: str
) -> Object:
    """The HPA after a decision, as `kubectl get hpa` shows it.

    Args:
        scaled: The ScaledObject that owns it.
        rule: The same as values.
        decision: What the HPA just decided.
        scale: The Deployment before it.
        old: The HPA before it.
        now: The time, as the API writes it.
    """
    metadata = scaled["metadata"]
    behavior = scaled["spec"].get("advanced") or {}
    behavior = (behavior.get("horizontalPodAutoscalerConfig") or {}).get("behavior")
    spec: Object = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": rule.target},
        "minReplicas": rule.hpa_min_replicas,
        "maxReplicas": rule.max_replica_count,
        "metrics": [
            _metric(trigger, trigger.target, "target", rule.name) for trigger in rule.metrics
        ],
    }
    if behavior:
        spec["behavior"] = behavior
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": rule.hpa_name,
            "namespace": metadata["namespace"],
            "labels": {
                "app.kubernetes.io/managed-by": "keda-operator",
                "scaledobject.keda.sh/name": rule.name,
            },
            "ownerReferences": [owner_reference(scaled)],
        },
        "spec": spec,
        "status": hpa_status(
            rule, rule.metrics, decision, scale, (old or {}).get("status") or {}, now
        ),
    }


def hpa_status(
    rule: Rule,
    metrics: Iterable[Trigger],
    decision: Decision,
    scale: Scale,
    before: Object,
    now: str,
) -> Object:
    """An HPA's status after a decision.

    Args:
        rule: The HPA as values.
        metrics: The triggers in the order of the HPA's spec.
        decision: What was decided.
        scale: The Deployment before it.
        before: The status before it.
        now: The time, as the API writes it.
    """
    conditions = [
        _told("AbleToScale", decision.able_to_scale),
        _told("ScalingActive", decision.scaling_active),
        _told("ScalingLimited", decision.scaling_limited),
    ]
    asked = {
        id(trigger): proposal
        for trigger, proposal in zip(rule.metrics, decision.proposals, strict=False)
    }
    state: Object = {
        "currentReplicas": scale.spec_replicas,
        "desiredReplicas": decision.desired,
        # By position, as the HPA does: what failed is there, and says nothing.
        "currentMetrics": [
            {"type": ""}
            if asked[id(trigger)].error
            else _metric(trigger, asked[id(trigger)].usage, "current", rule.name)
            for trigger in metrics
            if id(trigger) in asked
        ],
        "conditions": timed(conditions, before.get("conditions"), now),
    }
    if last := now if decision.changes else before.get("lastScaleTime"):
        state["lastScaleTime"] = last
    return state


def scale(deployment: Object | None) -> Scale | None:
    """A Deployment's replicas, wanted and there."""
    if deployment is None:
        return None
    state = deployment.get("status") or {}
    return Scale(
        deployment["spec"].get("replicas", 1),
        state.get("replicas", 0),
        state.get("readyReplicas", 0),
    )


def _conditions(rule: Rule, remembered: Memory, polled: Decision | None) -> list[Object]:
    reason = polled.rule if polled else ""
    wrong = _BROKEN.get(reason)
    ready: Object = condition("Ready", "ScaledObjectReady", READY, true=True)
    if wrong and (rule.fallback is None or reason == "PartialTriggerError"):
        ready = condition("Ready", reason, wrong, true=False)
        ready["status"] = "Unknown" if reason == "PartialTriggerError" else "False"
    active: Object = {"type": "Active", "status": "Unknown"}
    if polled and polled.active_reason:
        told = polled.active_reason
        active = condition("Active", told, _ACTIVE[told], true=told == "ScalerActive")
    fallback = condition(
        "Fallback", "NoFallbackFound", "No fallbacks are active on this scaled object", true=False
    )
    if keda.falling_back(rule, remembered):
        words = "At least one trigger is falling back on this scaled object"
        fallback = condition("Fallback", "FallbackExists", words, true=True)
    paused: Object = {"type": "Paused", "status": "False"}
    if rule.paused:
        paused = condition("Paused", "ScaledObjectPaused", "ScaledObject is paused", true=True)
    return [ready, active, fallback, paused]


def _told(kind: str, told: tuple[bool, str, str]) -> Object:
    true, reason, message = told
    return condition(kind, reason, message, true=true)


def _metric(trigger: Any, value: int, field: str, name: str) -> Object:
    """A metric of an HPA; `field` is target or current."""
    kind = "Utilization" if trigger.metric_type is MetricType.UTILIZATION else trigger.metric_type
    key = {"Utilization": "averageUtilization", "AverageValue": "averageValue"}.get(kind, "value")
    amount: Mapping[str, Any] = {key: value if kind == "Utilization" else quantity(value)}
    told = {**amount, "type": str(kind)} if field == "target" else dict(amount)
    if isinstance(trigger, Resource):
        return {"type": "Resource", "resource": {"name": trigger.metric_name, field: told}}
    labels = proposals.selector(trigger, name)
    metric: Object = {"name": trigger.metric_name}
    if labels:
        metric["selector"] = {"matchLabels": labels}
    return {"type": "External", "external": {"metric": metric, field: told}}


def quantity(thousandths: int) -> str:
    """A Kubernetes quantity: 8000 → "8", 9667 → "9667m"."""
    whole, rest = divmod(thousandths, 1000)
    return f"{thousandths}m" if rest else str(whole)
