"""A HorizontalPodAutoscaler that somebody wrote: what is read of it, and what is refused."""

import copy
from typing import Any

import pytest

from controlplane.autoscale import horizontal, parsing, proposals
from controlplane.autoscale.proposals import Scale, Tolerances
from controlplane.autoscale.readings import PodUsage
from controlplane.autoscale.rule import Controller, External, MetricType, Resource

CPU = horizontal.DEFAULT
EXTERNAL = {
    "type": "External",
    "external": {
        "metric": {
            "name": "s0-prometheus",
            "selector": {"matchLabels": {"scaledobject.keda.sh/name": "queue"}},
        },
        "target": {"type": "AverageValue", "averageValue": "1500m"},
    },
}


def hpa(**spec: Any) -> dict[str, Any]:
    """An HPA of iris-predictor, filled in, with the given fields of spec."""
    found: dict[str, Any] = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "iris", "namespace": "models"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 5,
            **copy.deepcopy(spec),
        },
    }
    horizontal.fill(found)
    return found


def metric(source: dict[str, Any], **target: Any) -> dict[str, Any]:
    """A spec whose only metric has another target."""
    found = copy.deepcopy(source)
    found[str(source["type"]).lower()]["target"] = target
    return {"metrics": [found]}


def test_what_the_api_server_fills_in() -> None:
    """One replica at least, and 80 % of the requested processor time."""
    found = horizontal.rule(hpa())

    assert (found.target, found.hpa_min_replicas, found.max_replica_count) == ("web", 1, 5)
    assert found.triggers == (Resource("", MetricType.UTILIZATION, 80, "cpu"),)
    assert found.behavior is None


def test_metrics_are_read_in_their_order() -> None:
    """Amounts are in thousandths; a direction that is given fills in the other."""
    memory = {"name": "memory", "target": {"type": "AverageValue", "averageValue": "64Mi"}}
    metrics = [CPU, {"type": "Resource", "resource": memory}, EXTERNAL]
    found = horizontal.rule(hpa(metrics=metrics, behavior={"scaleUp": {"selectPolicy": "Min"}}))

    assert found.triggers[1:] == (
        Resource("", MetricType.AVERAGE_VALUE, 64 * 2**20 * 1000, "memory"),
        External(
            *("s0-prometheus", (("scaledobject.keda.sh/name", "queue"),)),
            *(MetricType.AVERAGE_VALUE, 1500),
        ),
    )
    assert found.behavior
    assert found.behavior.scale_down == parsing.SCALE_DOWN


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({"minReplicas": 0}, "spec.minReplicas", "1 or more"),
        ({"minReplicas": 6}, "spec.maxReplicas", "minReplicas, 6, or more"),
        ({"maxReplicas": None}, "spec.maxReplicas", "a whole number"),
        ({"scaleTargetRef": {"kind": "StatefulSet", "name": "x"}}, "spec.scaleTargetRef", "Deplo"),
        ({"scaleTargetRef": {"kind": "Deployment"}}, "spec.scaleTargetRef.name", "a text"),
        ({"metrics": [{}]}, "spec.metrics[0].type", "a text"),
        ({"metrics": [{"type": "Weather"}]}, "spec.metrics[0].type", "one of ContainerResource"),
        ({"metrics": [{"type": "Pods", "pods": {}}]}, "spec.metrics[0].type", "custom metrics"),
        ({"metrics": [{"type": "Resource"}]}, "spec.metrics[0].resource", "an object"),
        ({"metrics": [{**CPU, "external": {}}]}, "spec.metrics[0].external", "nothing beside"),
        ({"metrics": [CPU, CPU]}, "spec.metrics[1]", "another metric"),
        (
            metric(CPU, type="Utilization"),
            "spec.metrics[0].resource.target.averageUtilization",
            "a whole number",
        ),
        (
            metric(CPU, type="Utilization", averageUtilization=0),
            "spec.metrics[0].resource.target.averageUtilization",
            "more than 0",
        ),
        (metric(CPU, type="Value", value="1"), "spec.metrics[0].resource.target.type", "Utili"),
        (
            metric(EXTERNAL, type="Value", value="1", averageValue="1"),
            "spec.metrics[0].external.target.averageValue",
            "nothing beside value",
        ),
        (
            {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 9999}}},
            "spec.behavior.scaleUp.stabilizationWindowSeconds",
            "at most 3600",
        ),
    ],
)
def test_what_is_refused_names_its_field(spec: dict[str, Any], path: str, words: str) -> None:
    """What a cluster or a laptop does not take, with what is expected."""
    wrong = horizontal.refusal(hpa(**spec))

    assert wrong
    assert wrong[0] == path
    assert words in wrong[1]


@pytest.mark.parametrize(
    ("usage", "expected"), [((900, 900), 4), ((100, 100), 1), ((500, 505), 2), ((900, None), 2)]
)
def test_memory_is_compared_with_the_requests(usage: tuple[Any, Any], expected: int) -> None:
    """A young pod's memory counts at once, unlike its processor time; a missing one's does not."""
    trigger = Resource("", MetricType.UTILIZATION, 50, "memory")
    pods = [PodUsage(f"p{n}", 1000, one, started_at=990.0) for n, one in enumerate(usage)]

    found = proposals.resource(
        trigger, pods, Scale(2, 2, 2), Tolerances(0.1, 0.1), Controller(), 1000.0
    )

    assert (found.replicas, found.error) == (expected, "")
    assert found.metric.startswith("memory resource")


def test_a_pod_without_a_request_has_no_utilization() -> None:
    """The HPA says which, and does not divide by nothing."""
    trigger = Resource("", MetricType.UTILIZATION, 50, "cpu")

    found = proposals.resource(
        trigger, [PodUsage("p", 0, 1)], Scale(1, 1, 1), Tolerances(0.1, 0.1), Controller(), 1000.0
    )

    assert found.error == "failed to get cpu utilization: missing request for cpu in Pod p"
