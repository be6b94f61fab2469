"""HorizontalPodAutoscalers in autoscaling/v1, as the API server converts them to v2 and back. Pure.

v1 has one field for the CPU. What it has no field for is in annotations, under the API server's
names and in its forms (pkg/apis/autoscaling/v1/conversion.go).
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from controlplane.kubernetes.kinds import OLD_AUTOSCALER, Kind
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import BadRequest

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _BEHAVIOR = f"{_PREFIX}metrics", f"{_PREFIX}behavior"
_OF_STATUS = {f"{_PREFIX}conditions": "conditions", f"{_PREFIX}current-metrics": "currentMetrics"}
_CPU = "targetCPUUtilizationPercentage"
_AMOUNTS = {
    "averageUtilization": "Utilization",
    "averageValue": "AverageValue",
    "value": "Value",
}


def served(kind: Kind, one: Object) -> Object:
    """An object as a kind's version has it; only HorizontalPodAutoscalers have two."""
    if kind != OLD_AUTOSCALER:
        return one
    metadata, spec = dict(one["metadata"]), dict(one.get("spec") or {})
    status = dict(one.get("status") or {})
    notes: dict[str, Any] = {}
    metrics = spec.pop("metrics", None) or []
    cpu = next((metric for metric in metrics if _percent(metric, "target") is not None), None)
    if cpu:
        spec[_CPU] = _percent(cpu, "target")
    if rest := [_old(metric, "target") for metric in metrics if metric is not cpu]:
        notes[_METRICS] = rest
    if behavior := spec.pop("behavior", None):
        notes[_BEHAVIOR] = _renamed(behavior, str.upper)
    current = status.get("currentMetrics") or []
    measured = [value for one in current if (value := _percent(one, "current")) is not None]
    if current:
        status["currentMetrics"] = [_old(metric, "current") for metric in current]
    for note, field in _OF_STATUS.items():
        if content := status.pop(field, None):
            notes[note] = content
    if measured:
        status["currentCPUUtilizationPercentage"] = measured[0]
    if notes:
        told = {name: json.dumps(value, separators=(",", ":")) for name, value in notes.items()}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **told}
    found = {**one, "apiVersion": kind.api_version, "metadata": metadata, "spec": spec}
    return {**found, "status": status} if status else found


def stored(old: Object, api_version: str) -> Object:
    """An object of autoscaling/v1 as v2 has it, without its status, which only controllers write.

    Args:
        old: The object, by its schema.
        api_version: The version that is stored.

    Raises:
        BadRequest: An annotation holds no metrics.
    """
    metadata, spec = dict(old["metadata"]), dict(old.get("spec") or {})
    annotations = dict(metadata.get("annotations") or {})
    metrics = [_new(entry) for entry in _read(annotations, _METRICS, list)]
    if (cpu := spec.pop(_CPU, None)) is not None:
        target = {"type": "Utilization", "averageUtilization": cpu}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    if behavior := _renamed(_read(annotations, _BEHAVIOR, dict), str.lower):
        spec["behavior"] = behavior
    for note in (_METRICS, _BEHAVIOR, *_OF_STATUS):
        annotations.pop(note, None)
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    rest = {name: value for name, value in old.items() if name != "status"}
    return {**rest, "apiVersion": api_version, "metadata": metadata, "spec": spec}


def _read(annotations: Mapping[str, str], name: str, form: type) -> Any:
    try:
        found = json.loads(annotations.get(name) or json.dumps(form()))
    except ValueError as error:
        raise BadRequest(f"metadata.annotations[{name}] is not JSON: {error}") from error
    entries = found if isinstance(found, list) else []
    if type(found) is not form or not all(isinstance(entry, dict) for entry in entries):
        expected = "a list of metrics" if form is list else "an object"
        raise BadRequest(f"metadata.annotations[{name}] must be {expected}, as JSON")
    return found


def _percent(metric: Object, field: str) -> int | None:
    """A CPU metric's share of what the pods request."""
    resource = metric.get("resource") or {}
    if resource.get("name") != "cpu":
        return None
    percent: int | None = (resource.get(field) or {}).get("averageUtilization")
    return percent


def _old(metric: Object, field: str) -> Object:
    """A metric of v2 in v1's form; field is target or current."""
    kind = str(metric.get("type"))
    inner = metric.get(kind.lower()) or {}
    amounts = {
        f"{field}{name[0].upper()}{name[1:]}": value
        for name, value in (inner.get(field) or {}).items()
        if name in _AMOUNTS
    }
    if kind == "Resource":
        return {"type": kind, "resource": {"name": inner.get("name"), **amounts}}
    if kind != "External":
        return {"type": kind}
    named = inner.get("metric") or {}
    names = {"metricName": named.get("name")}
    if selector := named.get("selector"):
        names |= {"metricSelector": selector}
    return {"type": kind, "external": {**names, **amounts}}


def _new(entry: Object) -> Object:
    """A metric of v1 in v2's form; of kinds that are not served, the name alone."""
    kind = entry.get("type")
    inner = entry.get(str(kind).lower())
    if kind not in ("Resource", "External") or not isinstance(inner, dict):
        return {"type": kind}
    target: Object = {}
    for name, word in _AMOUNTS.items():
        amount = inner.get(f"target{name[0].upper()}{name[1:]}")
        if amount is not None:
            target |= {"type": target.get("type", word), name: amount}
    if kind == "Resource":
        return {"type": kind, "resource": {"name": inner.get("name"), "target": target}}
    metric = {"name": inner.get("metricName"), "selector": inner.get("metricSelector")}
    metric = {name: value for name, value in metric.items() if value is not None}
    return {"type": kind, "external": {"metric": metric, "target": target}}


def _renamed(value: Any, case: Callable[[str], str]) -> Any:
    """With the first letters of names in another case: the annotation has those of Go's fields."""
    if isinstance(value, list):
        return [_renamed(entry, case) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        case(name[:1]) + name[1:]: _renamed(entry, case)
        for name, entry in value.items()
        if entry is not None
    }
