"""What kube-state-metrics and KEDA's operator tell of objects in a cluster, under their names."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from controlplane.autoscale import fields
from controlplane.autoscale.readings import Reading
from controlplane.kubernetes.meta import Object

_HPA = "kube_horizontalpodautoscaler"
_TARGETS = {"AverageValue": "averageValue", "Value": "value", "Utilization": "averageUtilization"}


def autoscalers(objects: Iterable[Object]) -> Iterator[Metric]:
    """HorizontalPodAutoscalers, as kube-state-metrics has them."""
    numbers = {
        "spec_min_replicas": ("Lower limit for the number of pods.", "spec", "minReplicas"),
        "spec_max_replicas": ("Upper limit for the number of pods.", "spec", "maxReplicas"),
        "status_current_replicas": ("Current number of replicas.", "status", "currentReplicas"),
        "status_desired_replicas": ("Desired number of replicas.", "status", "desiredReplicas"),
    }
    listed = list(objects)
    labels = ["namespace", "horizontalpodautoscaler"]
    for name, (text, part, field) in numbers.items():
        family = GaugeMetricFamily(f"{_HPA}_{name}", text, labels=labels)
        for one in listed:
            with _unreadable():
                if (value := (one.get(part) or {}).get(field)) is not None:
                    family.add_metric(_named(one), float(value))
        yield family
    target = GaugeMetricFamily(
        f"{_HPA}_spec_target_metric",
        "The metric specifications used by this autoscaler.",
        labels=[*labels, "metric_name", "metric_target_type"],
    )
    for one in listed:
        with _unreadable():
            for metric in one["spec"].get("metrics", ()):
                target.add_metric([*_named(one), *_kind(metric)], _value(metric))
    yield target


def canaries(objects: Iterable[Object]) -> Iterator[Metric]:
    """InferenceServices' canaries, as docs/dashboards has kube-state-metrics tell them."""
    family = GaugeMetricFamily(
        "kube_customresource_inferenceservice_canary_traffic_percent",
        "Share of the traffic that spec.canary asks for.",
        labels=["namespace", "inferenceservice"],
    )
    for one in objects:
        with _unreadable():
            for canary in one["spec"].get("canary") or ():
                family.add_metric(_named(one), float(canary.get("trafficPercent", 0)))
    yield family


class Scalers:
    """What KEDA's operator tells of its triggers."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, ...], float] = {}
        self._errors: dict[tuple[str, ...], int] = {}

    def read(self, namespace: str, name: str, readings: Mapping[str, Reading]) -> None:
        """A ScaledObject's triggers were read."""
        for place, reading in enumerate(readings.values()):
            scaler = reading.metric_name.partition("-")[2] + "Scaler"
            key = (namespace, reading.metric_name, name, scaler, str(place), "scaledobject")
            self._errors.setdefault(key, 0)
            if reading.error:
                self._errors[key] += 1
            else:
                self._values[key] = reading.value / 1000

    def collect(self) -> Iterator[Metric]:
        """The newest values, and how often a trigger could not be read."""
        labels = ["namespace", "metric", "scaledObject", "scaler", "triggerIndex", "type"]
        values = GaugeMetricFamily(
            "keda_scaler_metrics_value",
            "The current value for each scaler's metric.",
            labels=labels,
        )
        for key, value in tuple(self._values.items()):
            values.add_metric(key, value)
        yield values
        errors = CounterMetricFamily(
            "keda_scaler_detail_errors_total", "Errors of each scaler.", labels=labels
        )
        for key, count in tuple(self._errors.items()):
            errors.add_metric(key, count)
        yield errors


def _unreadable() -> contextlib.suppress:
    """An object that no controller can read has no metrics; its fault is told on it."""
    return contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError)


def _named(one: Object) -> list[str]:
    return [one["metadata"]["namespace"], one["metadata"]["name"]]


def _kind(metric: Mapping[str, Any]) -> tuple[str, str]:
    part: dict[str, Any] = metric.get("external") or metric.get("resource") or {}
    name = (part.get("metric") or {}).get("name") or part.get("name", "")
    kind = str(part.get("target", {}).get("type", ""))
    return str(name), {"AverageValue": "average"}.get(kind, kind.lower())


def _value(metric: Mapping[str, Any]) -> float:
    part: dict[str, Any] = metric.get("external") or metric.get("resource") or {}
    target = part.get("target", {})
    found = target.get(_TARGETS.get(str(target.get("type")), "value"), 0)
    return fields.quantity(found, "target") / 1000
