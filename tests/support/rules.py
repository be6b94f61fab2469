"""ScaledObjects and readings for tests of the scaling rules."""

import copy
from typing import Any

from controlplane.autoscale import parsing
from controlplane.autoscale.readings import Reading
from controlplane.autoscale.rule import Rule

QUERY = "sum(in_flight)"


def document(**spec: Any) -> dict[str, Any]:
    """A ScaledObject with one prometheus trigger of threshold 10, and the given fields of spec."""
    trigger = {
        "type": "prometheus",
        "metadata": {"serverAddress": "http://p:9090", "query": QUERY, "threshold": "10"},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "web", "namespace": "models"},
        "spec": {"scaleTargetRef": {"name": "web"}, "triggers": [trigger], **copy.deepcopy(spec)},
    }


def rule(behavior: dict[str, Any] | None = None, **spec: Any) -> Rule:
    """The same as a Rule, with an HPA behavior."""
    if behavior is not None:
        spec["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": behavior}}
    return parsing.rule(document(**spec))


def reading(value: float, name: str = "s0-prometheus", *, error: str = "") -> dict[str, Reading]:
    """One trigger's reading, by its metric's name."""
    return {name: Reading(name, int(value * 1000), value > 0 and not error, error)}
