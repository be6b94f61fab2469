"""Replicas for one metric of an HPA: pkg/controller/podautoscaler/replica_calculator.go.

Ratios are floating point and counts are rounded up, as there; metrics are integers in thousandths.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.autoscale.decision import Proposal
from controlplane.autoscale.readings import PodUsage, Reading
from controlplane.autoscale.rule import (
    MAX_INT32,
    Controller,
    Cron,
    External,
    MetricType,
    Prometheus,
    Resource,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A Deployment's scale subresource, and how many of its pods are ready."""

    spec_replicas: int
    status_replicas: int
    ready_replicas: int


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far from 1 a ratio may be without a consequence."""

    scale_down: float
    scale_up: float

    def hold(self, ratio: float) -> bool:
        """Whether the change would be too small."""
        return 1.0 - self.scale_down <= ratio <= 1.0 + self.scale_up


def selector(trigger: Prometheus | Cron | External, rule: str) -> dict[str, str]:
    """The labels by which an HPA asks for a trigger's metric: KEDA's own name the ScaledObject."""
    if isinstance(trigger, External):
        return dict(trigger.labels)
    return {"scaledobject.keda.sh/name": rule}


def external(
    trigger: Prometheus | Cron | External,
    reading: Reading,
    scale: Scale,
    tolerances: Tolerances,
    rule: str,
) -> Proposal:
    """Propose replicas for a metric that KEDA offers.

    AverageValue looks at the total and never multiplies by replicas, so one reading gives the
    final answer; Value multiplies what is ready by the ratio, and so compounds while pods start.
    """
    labels = "".join(f"{key}: {value}," for key, value in sorted(selector(trigger, rule).items()))
    name = (
        f"external metric {reading.metric_name}(&LabelSelector{{MatchLabels:map[string]string{{"
        f"{labels}}},MatchExpressions:[]LabelSelectorRequirement{{}},}})"
    )
    if reading.error:
        return Proposal(name, error=reading.error)
    usage, target = reading.value, trigger.target
    if trigger.metric_type is MetricType.AVERAGE_VALUE:
        # Never called with 0 replicas: the HPA is disabled then.
        ratio = usage / (target * scale.status_replicas) if scale.status_replicas else math.inf
        within = tolerances.hold(ratio)
        replicas = scale.status_replicas if within else _up(usage / target)
        average = math.ceil(usage / scale.status_replicas) if scale.status_replicas else usage
        return Proposal(name, replicas, average, target, within, stands_for=reading.stands_for)
    ratio = usage / target
    within = tolerances.hold(ratio)
    replicas = scale.spec_replicas if within else _up(ratio * scale.ready_replicas)
    return Proposal(name, replicas, usage, target, within, stands_for=reading.stands_for)


def resource(
    trigger: Resource,
    pods: Sequence[PodUsage],
    scale: Scale,
    tolerances: Tolerances,
    controller: Controller,
    now: float,
) -> Proposal:
    """Propose replicas for processor time or memory, per pod or in percent of the requests."""
    percent = trigger.metric_type is MetricType.UTILIZATION
    kind = trigger.metric_name
    name = f"{kind} resource utilization (percentage of request)" if percent else f"{kind} resource"
    groups = _group(pods, kind, controller, now)
    metrics = {pod.name: pod.usage or 0 for pod in groups.ready}
    requests = {pod.name: pod.request for pod in pods}
    if error := _unmeasured(pods, metrics, kind if percent else ""):
        return Proposal(name, error=error)
    ratio, usage = _ratio(metrics, requests, trigger)
    stays = Proposal(name, scale.spec_replicas, usage, trigger.target, within_tolerance=True)
    unready_count = bool(groups.unready) and ratio > 1.0
    if not unready_count and not groups.missing:
        if tolerances.hold(ratio):
            return stays
        return Proposal(name, _up(ratio * len(groups.ready)), usage, trigger.target)

    # Missing pods are taken to need all on the way down and nothing on the way up.
    full = max(100, trigger.target) if percent else trigger.target
    for pod in groups.missing:
        if ratio < 1.0:
            metrics[pod.name] = pod.request * full // 100 if percent else full
        elif ratio > 1.0:
            metrics[pod.name] = 0
    if unready_count:
        metrics.update((pod.name, 0) for pod in groups.unready)
    again, _ = _ratio(metrics, requests, trigger)
    turned = (ratio < 1.0 < again) or (again < 1.0 < ratio)
    replicas = _up(again * len(metrics))
    overshot = (again < 1.0 and replicas > scale.spec_replicas) or (
        again > 1.0 and replicas < scale.spec_replicas
    )
    if tolerances.hold(again) or turned or overshot:
        return stays
    return Proposal(name, replicas, usage, trigger.target)


def _unmeasured(pods: Sequence[PodUsage], metrics: Mapping[str, int], requested: str) -> str:
    """Why there is nothing to compare; pods must request some of a resource that is `requested`."""
    if not pods:
        return "no pods returned by selector while calculating replica count"
    if not metrics:
        return "did not receive metrics for targeted pods (pods might be unready)"
    for pod in pods:
        if requested and not pod.request:
            said = f"failed to get {requested} utilization: missing request for {requested} in Pod"
            return f"{said} {pod.name}"
    return ""


@dataclass(frozen=True, slots=True)
class _Groups:
    ready: tuple[PodUsage, ...]
    unready: tuple[PodUsage, ...]
    missing: tuple[PodUsage, ...]


def _group(pods: Sequence[PodUsage], kind: str, controller: Controller, now: float) -> _Groups:
    ready: list[PodUsage] = []
    unready: list[PodUsage] = []
    missing: list[PodUsage] = []
    for pod in pods:
        if pod.deleting or pod.phase == "Failed":
            continue
        if pod.phase == "Pending":
            unready.append(pod)
        elif pod.usage is None:
            missing.append(pod)
        elif kind == "cpu" and _too_young(pod, controller, now):
            unready.append(pod)
        else:
            ready.append(pod)
    return _Groups(tuple(ready), tuple(unready), tuple(missing))


def _too_young(pod: PodUsage, controller: Controller, now: float) -> bool:
    if pod.started_at is None:
        return True
    if pod.started_at + controller.cpu_initialization_period_seconds > now:
        fresh = pod.ready_changed_at + pod.sample_window_seconds
        return not pod.ready or pod.sample_at < fresh
    grace = pod.started_at + controller.initial_readiness_delay_seconds
    return not pod.ready and grace > pod.ready_changed_at


def _ratio(
    metrics: Mapping[str, int], requests: Mapping[str, int], trigger: Resource
) -> tuple[float, int]:
    total = sum(metrics.values())
    if trigger.metric_type is MetricType.AVERAGE_VALUE:
        average = total // len(metrics)
        return average / trigger.target, average
    requested = sum(requests[name] for name in metrics)
    percent = total * 100 // requested  # whole percent: an integer division in the HPA too
    return percent / trigger.target, percent


def _up(replicas: float) -> int:
    return MAX_INT32 if replicas > MAX_INT32 else math.ceil(replicas)
