"""What a trigger's metric says now: a value in thousandths, or an error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.autoscale.cron import is_active
from controlplane.autoscale.rule import MAX_INT32, Cron, Prometheus


@dataclass(frozen=True, slots=True)
class Reading:
    """One trigger's metric at one time."""

    metric_name: str
    value: int = 0
    """Thousandths; meaningless where there is an error."""
    active: bool = False
    """Whether it asks for more than zero replicas."""
    error: str = ""
    stands_for: str = ""
    """What a stand-in for a metric that fails is, in words; empty where it was read."""


def prometheus(trigger: Prometheus, samples: Sequence[float], error: str = "") -> Reading:
    """What KEDA makes of an instant query's result.

    Args:
        trigger: The trigger that asked.
        samples: The values of the result's elements; exactly one is right.
        error: Why there is no result: Prometheus cannot be reached, or refused the query.
    """
    if not error and len(samples) > 1:
        error = f"prometheus query {trigger.query} returned multiple elements"
    if not error and not samples and not trigger.ignore_null_values:
        error = "prometheus metrics target may be lost, the result is empty"
    value = samples[0] if samples else 0.0
    if not error and not math.isfinite(value):
        if not trigger.ignore_null_values:
            error = f"prometheus query returns {value}"
        value = 0.0
    if error:
        return Reading(trigger.metric_name, error=error)
    value = max(value, 0.0)
    return Reading(trigger.metric_name, int(value * 1000), value > trigger.activation)


def cron(trigger: Cron, now: float) -> Reading:
    """A cron trigger's metric: its replicas while active, else one."""
    active = is_active(trigger, now)
    replicas = trigger.desired_replicas if active else 1
    return Reading(trigger.metric_name, replicas * 1000, active)


@dataclass(frozen=True, slots=True)
class PodUsage:
    """What a pod uses of a resource, as the metrics server and the pod's status say it."""

    name: str
    request: int
    """Thousandths of a core or byte; 0 where a container requests none."""
    usage: int | None = None
    """The same; None where there is no sample."""
    phase: str = "Running"
    ready: bool = True
    deleting: bool = False
    started_at: float | None = 0.0
    ready_changed_at: float = 0.0
    """When readiness last changed."""
    sample_at: float = MAX_INT32
    sample_window_seconds: float = 30.0
