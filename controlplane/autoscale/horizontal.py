"""A HorizontalPodAutoscaler that somebody wrote by hand, as a Rule; faults name their field.

What the API server refuses is refused in the same places (pkg/apis/autoscaling/validation), and so
is what a laptop cannot measure.
"""

from collections.abc import Mapping
from typing import Any

from controlplane.autoscale import parsing
from controlplane.autoscale.fields import Tree, count, fault, one_of, quantity, text, tree
from controlplane.autoscale.rule import External, MetricType, Resource, Rule, Trigger
from controlplane.errors import ManifestError

DEFAULT = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
"""The API server's metric where none is given."""
_SOURCES = {
    "Resource": "resource",
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "ContainerResource": "containerResource",
}
_INSTEAD = {
    "Pods": "a laptop has no adapter of custom metrics",
    "Object": "a laptop has no adapter of custom metrics",
    "ContainerResource": "a pod of a laptop is one process, so Resource is the same",
}
_AMOUNTS = {
    MetricType.UTILIZATION: "averageUtilization",
    MetricType.AVERAGE_VALUE: "averageValue",
    MetricType.VALUE: "value",
}


def fill(hpa: dict[str, Any]) -> None:
    """Write what the API server fills in."""
    spec = hpa.get("spec")
    if isinstance(spec, dict):
        spec["minReplicas"] = 1 if spec.get("minReplicas") is None else spec["minReplicas"]
        spec["metrics"] = spec.get("metrics") or [DEFAULT]


def rule(hpa: Tree) -> Rule:
    """Read a HorizontalPodAutoscaler, filled in.

    Raises:
        ManifestError: A field is missing, or holds what a cluster or a laptop does not take.
    """
    metadata, spec = tree(hpa, "metadata", ""), tree(hpa, "spec", "")
    target = tree(spec, "scaleTargetRef", "spec")
    kind = text(target, "kind", "spec.scaleTargetRef")
    if (kind, target.get("apiVersion") or "apps/v1") != ("Deployment", "apps/v1"):
        expected = "a Deployment of apps/v1: a laptop scales nothing else"
        raise fault("spec.scaleTargetRef", expected, f"{kind} of {target.get('apiVersion')}")
    least = count(spec, "minReplicas", "spec", 1)
    most = count(spec, "maxReplicas", "spec")
    if least < 1:
        raise fault("spec.minReplicas", "1 or more: an HPA does not scale to zero", least)
    if most < least:
        raise fault("spec.maxReplicas", f"minReplicas, {least}, or more", most)
    triggers = tuple(
        _metric(entry, f"spec.metrics[{index}]") for index, entry in enumerate(spec["metrics"])
    )
    names = [trigger.metric_name for trigger in triggers]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise fault(f"spec.metrics[{index}]", "another metric than before", name)
    return Rule(
        name=text(metadata, "name", "metadata"),
        namespace=metadata.get("namespace", "default"),
        target=text(target, "name", "spec.scaleTargetRef"),
        triggers=triggers,
        min_replica_count=least,
        max_replica_count=most,
        behavior=parsing.behavior(spec.get("behavior"), "spec.behavior"),
        hpa_name=metadata["name"],
    )


def _metric(entry: object, path: str) -> Trigger:
    if not isinstance(entry, Mapping):
        raise fault(path, "an object", entry)
    kind = text(entry, "type", path)
    if kind not in _SOURCES:
        raise fault(f"{path}.type", f"one of {', '.join(sorted(_SOURCES))}", kind)
    if kind in _INSTEAD:
        raise fault(f"{path}.type", f"Resource or External: {_INSTEAD[kind]}", kind)
    for name in _SOURCES.values():
        if name in entry and name != _SOURCES[kind]:
            raise fault(f"{path}.{name}", f"nothing beside {_SOURCES[kind]}, which type names")
    name = _SOURCES[kind]
    read = _resource if kind == "Resource" else _external
    return read(tree(entry, name, path), f"{path}.{name}")


def _resource(found: Tree, path: str) -> Resource:
    name = text(found, "name", path)
    if name not in {"cpu", "memory"}:
        raise fault(f"{path}.name", "cpu or memory, which are measured here", name)
    kind, target = _target(found, path, (MetricType.UTILIZATION, MetricType.AVERAGE_VALUE))
    return Resource("", kind, target, name)


def _external(found: Tree, path: str) -> External:
    metric = tree(found, "metric", path)
    selector = metric.get("selector") or {}
    if selector.get("matchExpressions"):
        raise fault(f"{path}.metric.selector.matchExpressions", "matchLabels, as KEDA reads alone")
    labels = {str(key): str(value) for key, value in (selector.get("matchLabels") or {}).items()}
    kind, target = _target(found, path, (MetricType.AVERAGE_VALUE, MetricType.VALUE))
    name = text(metric, "name", f"{path}.metric")
    return External(name, tuple(sorted(labels.items())), kind, target)


def _target(found: Tree, path: str, kinds: tuple[MetricType, ...]) -> tuple[MetricType, int]:
    target, path = tree(found, "target", path), f"{path}.target"
    kind = one_of(MetricType, target.get("type"), f"{path}.type")
    if kind not in kinds:
        raise fault(f"{path}.type", f"{' or '.join(kinds)} for this metric", kind)
    field = f"{path}.{_AMOUNTS[kind]}"
    for other in _AMOUNTS.values():
        if other in target and other != _AMOUNTS[kind]:
            raise fault(f"{path}.{other}", f"nothing beside {_AMOUNTS[kind]}, which type names")
    if kind is MetricType.UTILIZATION:
        amount = count(target, _AMOUNTS[kind], path)
    else:
        amount = quantity(target.get(_AMOUNTS[kind]), field)
    if amount < 1:
        raise fault(field, "more than 0", target.get(_AMOUNTS[kind]))
    return kind, amount


def by_hand(hpa: Tree) -> bool:
    """Whether an HPA is none that KEDA made of a ScaledObject."""
    owners = (hpa.get("metadata") or {}).get("ownerReferences")
    owners = owners if isinstance(owners, list) else []
    return not any(isinstance(one, dict) and one.get("kind") == "ScaledObject" for one in owners)


def refusal(hpa: Tree) -> tuple[str, str] | None:
    """The field that is wrong and what is wrong with it; None admits it."""
    try:
        rule(hpa)
    except ManifestError as error:
        path, _, words = str(error).partition(": ")
        return path, words
    return None
