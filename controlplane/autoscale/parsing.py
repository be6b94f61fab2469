"""A ScaledObject's manifest as a Rule; every fault names its field, what was expected and found."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.autoscale.cron import check
from controlplane.autoscale.fields import (
    Tree,
    boolean,
    count,
    duration_seconds,
    fault,
    number,
    one_of,
    pairs,
    quantity,
    text,
    tree,
)
from controlplane.autoscale.rule import (
    Behavior,
    Cron,
    Fallback,
    FallbackBehavior,
    MetricType,
    Policy,
    PolicyType,
    Prometheus,
    Resource,
    Rule,
    ScalingRules,
    SelectPolicy,
    Trigger,
)

SCALE_UP = ScalingRules(0, (Policy(PolicyType.PODS, 4, 15), Policy(PolicyType.PERCENT, 100, 15)))
SCALE_DOWN = ScalingRules(300, (Policy(PolicyType.PERCENT, 100, 15),))
"""autoscaling/v2's defaults (pkg/apis/autoscaling/v2/defaults.go)."""

_ANNOTATION = "autoscaling.keda.sh/"


def rule(document: Tree) -> Rule:
    """Read a ScaledObject.

    Raises:
        ManifestError: A field is missing, or holds what KEDA or this platform cannot evaluate.
    """
    metadata, spec = tree(document, "metadata", ""), tree(document, "spec", "")
    annotations = metadata.get("annotations") or {}
    target = tree(spec, "scaleTargetRef", "spec")
    if (kind := target.get("kind") or "Deployment") != "Deployment":
        raise fault("spec.scaleTargetRef.kind", "Deployment", kind)
    advanced = spec.get("advanced") or {}
    if (advanced.get("scalingModifiers") or {}).get("formula"):
        raise fault("spec.advanced.scalingModifiers", "nothing: formulas are not evaluated here")
    hpa = advanced.get("horizontalPodAutoscalerConfig") or {}
    name = text(metadata, "name", "metadata")
    idle = spec.get("idleReplicaCount")
    paused_replicas = annotations.get(_ANNOTATION + "paused-replicas")
    return Rule(
        name=name,
        namespace=metadata.get("namespace", "default"),
        target=text(target, "name", "spec.scaleTargetRef"),
        triggers=_triggers(spec.get("triggers")),
        min_replica_count=count(spec, "minReplicaCount", "spec", 0),
        max_replica_count=count(spec, "maxReplicaCount", "spec", 100),
        idle_replica_count=None if idle is None else count(spec, "idleReplicaCount", "spec", 0),
        polling_interval_seconds=count(spec, "pollingInterval", "spec", 30),
        cooldown_period_seconds=count(spec, "cooldownPeriod", "spec", 300),
        initial_cooldown_period_seconds=count(spec, "initialCooldownPeriod", "spec", 0),
        fallback=_fallback(spec.get("fallback")),
        behavior=behavior(hpa.get("behavior")),
        paused=_annotation(annotations, "paused") or paused_replicas is not None,
        paused_replicas=None
        if paused_replicas is None
        else count({"paused-replicas": paused_replicas}, "paused-replicas", "annotations", 0),
        paused_scale_in=_annotation(annotations, "paused-scale-in"),
        paused_scale_out=_annotation(annotations, "paused-scale-out"),
        force_activation=_annotation(annotations, "force-activation"),
        hpa_name=hpa.get("name") or f"keda-hpa-{name}",
    )


def behavior(
    found: Tree | None, path: str = "spec.advanced.horizontalPodAutoscalerConfig.behavior"
) -> Behavior | None:
    """Read an HPA's behavior; None stays None, which is another path of the HPA's."""
    if not found:
        return None
    return Behavior(
        _direction(found.get("scaleUp"), SCALE_UP, f"{path}.scaleUp"),
        _direction(found.get("scaleDown"), SCALE_DOWN, f"{path}.scaleDown"),
    )


def metric_name(index: int, kind: str) -> str:
    """The name under which KEDA offers a trigger to the HPA."""
    return f"s{index}-{re.sub(r'[/.:%()]', '-', kind)}"


def _direction(found: Tree | None, default: ScalingRules, path: str) -> ScalingRules:
    found = found or {}
    window = count(found, "stabilizationWindowSeconds", path, default.stabilization_window_seconds)
    if window > 3600:
        raise fault(f"{path}.stabilizationWindowSeconds", "at most 3600", window)
    policies = default.policies
    if found.get("policies") is not None:
        entries = found["policies"]
        policies = tuple(
            _policy(entry, f"{path}.policies[{index}]") for index, entry in enumerate(entries)
        )
        if not policies:
            raise fault(f"{path}.policies", "at least one policy", "none")
    tolerance = found.get("tolerance")
    return ScalingRules(
        stabilization_window_seconds=window,
        policies=policies,
        select_policy=one_of(
            SelectPolicy, found.get("selectPolicy"), f"{path}.selectPolicy", default.select_policy
        ),
        tolerance=None if tolerance is None else quantity(tolerance, f"{path}.tolerance") / 1000,
    )


def _policy(found: Tree, path: str) -> Policy:
    value, period = count(found, "value", path), count(found, "periodSeconds", path)
    if value < 1:
        raise fault(f"{path}.value", "at least 1", value)
    if not 1 <= period <= 1800:
        raise fault(f"{path}.periodSeconds", "1 to 1800", period)
    return Policy(one_of(PolicyType, found.get("type"), f"{path}.type"), value, period)


def _fallback(found: Tree | None) -> Fallback | None:
    if not found:
        return None
    path = "spec.fallback"
    chosen = found.get("behavior")
    if chosen == "scalingModifiers":
        raise fault(f"{path}.behavior", "a behavior without formulas", chosen)
    return Fallback(
        failure_threshold=count(found, "failureThreshold", path),
        replicas=count(found, "replicas", path),
        behavior=one_of(FallbackBehavior, chosen, f"{path}.behavior", FallbackBehavior.STATIC),
    )


def _triggers(found: object) -> tuple[Trigger, ...]:
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise fault("spec.triggers", "at least one trigger", found or "none")
    return tuple(_trigger(index, entry) for index, entry in enumerate(found))


def _trigger(index: int, found: Tree) -> Trigger:
    path = f"spec.triggers[{index}]"
    metadata = tree(found, "metadata", path)
    match kind := text(found, "type", path):
        case "prometheus":
            return _prometheus(index, found, metadata, path)
        case "cron":
            return _cron(index, found, metadata, path)
        case "cpu" | "memory":
            return _resource(kind, found, metadata, path)
    raise fault(f"{path}.type", "prometheus, cpu, memory or cron, which are evaluated here", kind)


def _prometheus(index: int, found: Tree, metadata: Tree, path: str) -> Prometheus:
    at = f"{path}.metadata"
    if metadata.get("authModes"):
        raise fault(f"{at}.authModes", "none: the laptop's Prometheus asks for no one")
    namespace = (("namespace", str(metadata["namespace"])),) if metadata.get("namespace") else ()
    threshold = number(metadata, "threshold", at)
    if threshold <= 0:
        raise fault(f"{at}.threshold", "more than 0", threshold)
    return Prometheus(
        metric_name=metric_name(index, "prometheus"),
        name=str(found.get("name") or ""),
        server_address=text(metadata, "serverAddress", at),
        query=text(metadata, "query", at),
        target=int(threshold * 1000),
        activation=number(metadata, "activationThreshold", at, 0.0),
        metric_type=_external_type(found, path),
        ignore_null_values=boolean(metadata, "ignoreNullValues", at, default=True),
        timeout_seconds=duration_seconds(metadata, "timeout", at, 3.0),
        use_cached_metrics=bool(found.get("useCachedMetrics")),
        headers=pairs(metadata, "customHeaders", at),
        parameters=pairs(metadata, "queryParameters", at) + namespace,
    )


def _cron(index: int, found: Tree, metadata: Tree, path: str) -> Cron:
    at = f"{path}.metadata"
    zone, start, end = (text(metadata, name, at) for name in ("timezone", "start", "end"))
    if start == end:
        raise fault(f"{at}.end", "another time than start", end)
    plain = [
        time.replace(" ", "").replace("*", "x").replace("/", "Sl").replace("?", "Qm")
        for time in (start, end)
    ]
    cron = Cron(
        metric_name=metric_name(index, "-".join(["cron", zone, *plain])),
        name=str(found.get("name") or ""),
        timezone=zone,
        start=start,
        end=end,
        desired_replicas=count(metadata, "desiredReplicas", at),
        metric_type=_external_type(found, path),
    )
    if cron.desired_replicas == 0:
        raise fault(f"{at}.desiredReplicas", "1 or more: no desiredReplicas specified", "0")
    check(cron, at)
    return cron


def _resource(resource: str, found: Tree, metadata: Tree, path: str) -> Resource:
    kind = one_of(MetricType, found.get("metricType"), f"{path}.metricType", MetricType.UTILIZATION)
    value = metadata.get("value")
    if kind is MetricType.VALUE:
        raise fault(f"{path}.metricType", "Utilization or AverageValue", kind)
    if kind is MetricType.UTILIZATION:
        target = count(metadata, "value", f"{path}.metadata")
    else:
        target = quantity(value, f"{path}.metadata.value")
    if target < 1:
        raise fault(f"{path}.metadata.value", "more than 0", value)
    return Resource(str(found.get("name") or ""), kind, target, resource)


def _external_type(found: Tree, path: str) -> MetricType:
    kind = one_of(
        MetricType, found.get("metricType"), f"{path}.metricType", MetricType.AVERAGE_VALUE
    )
    if kind is MetricType.UTILIZATION:
        raise fault(f"{path}.metricType", "AverageValue or Value", kind)
    return kind


def _annotation(annotations: Mapping[str, Any], name: str) -> bool:
    """KEDA's reading: present is true, unless it says a boolean that is false."""
    value = annotations.get(_ANNOTATION + name)
    return value is not None and str(value) not in {"0", "f", "F", "FALSE", "false", "False"}
