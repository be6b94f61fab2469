"""What KEDA's webhook refuses."""

from typing import Any

import pytest

from controlplane.autoscale.admission import refusals
from tests.support.rules import document

CPU = {"type": "cpu", "metadata": {"value": "50"}}
LONG = "x" * 60
HPA = {
    "metadata": {"name": "mine"},
    "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
}


def named(name: str, **spec: Any) -> dict[str, Any]:
    found = document(**spec)
    found["metadata"]["name"] = name
    return found


def test_a_sound_one_is_admitted() -> None:
    """Neighbours with other targets are no reason to refuse."""
    other = named("other", scaleTargetRef={"name": "other"})

    assert refusals(document(), [other, document()], [{"name": "c"}], []) == []


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"minReplicaCount": 5, "maxReplicaCount": 4}, "must be less than MaxReplicaCount=4"),
        ({"minReplicaCount": 2, "idleReplicaCount": 2}, "IdleReplicaCount=2 must be less"),
        ({"triggers": [CPU]}, "only cpu/memory triggers AND minReplica is 0"),
        (
            {"triggers": [{"type": "cron", "name": "a"}, {"type": "prometheus", "name": "a"}]},
            "triggerName a is defined multiple times",
        ),
        (
            {"triggers": [{"type": "cron", "useCachedMetrics": True}]},
            "useCachedMetrics is not supported for cron",
        ),
        (
            {"triggers": [CPU], "minReplicaCount": 1, "fallback": {"replicas": 1}},
            "fallback it is not supported by the CPU",
        ),
        ({"fallback": {"failureThreshold": -1}}, "must both be greater than or equal to 0"),
        (
            {"fallback": {"failureThreshold": 1, "behavior": "scalingModifiers"}},
            "requires a scalingModifiers formula",
        ),
        (
            {"advanced": {"scalingModifiers": {"formula": "a", "target": "0"}}},
            "needs to be a positive number",
        ),
        (
            {"advanced": {"scalingModifiers": {"formula": "a", "target": "1"}}},
            "one of them has no name",
        ),
        ({"advanced": {"scalingModifiers": {"target": "1"}}}, "Formula is mandatory"),
        (
            {"advanced": {"horizontalPodAutoscalerConfig": {"name": "x" * 64}}},
            "longer than 63 characters",
        ),
    ],
)
def test_refused_by_itself(spec: dict[str, Any], complaint: str) -> None:
    """Faults of the object alone."""
    found = refusals(document(**spec), [])

    assert [one for one in found if complaint in one], found


def test_two_for_one_deployment() -> None:
    """A Deployment has one ScaledObject."""
    (found,) = refusals(document(), [named("other")])

    assert found.startswith("the workload 'web' of type 'apps/v1.Deployment' is already managed")
    assert found.endswith("by the ScaledObject 'other'")


def test_two_with_one_hpa() -> None:
    """An HPA has one ScaledObject."""
    advanced = {"horizontalPodAutoscalerConfig": {"name": "shared"}}
    other = named("other", scaleTargetRef={"name": "other"}, advanced=advanced)

    (found,) = refusals(document(advanced=advanced), [other])

    assert found == "the HPA 'shared' is already managed by the ScaledObject 'other'"


def test_a_foreign_hpa() -> None:
    """Another HPA on the target refuses, unless it is handed over or says to be ignored."""
    owner = {"kind": "ScaledObject", "name": "web"}
    owned = {**HPA, "metadata": {"name": "keda-hpa-web", "ownerReferences": [owner]}}
    annotations = {"validations.keda.sh/hpa-ownership": "false"}
    ignored = {**HPA, "metadata": {"name": "mine", "annotations": annotations}}
    transfer = document(advanced={"horizontalPodAutoscalerConfig": {"name": "mine"}})
    transfer["metadata"]["annotations"] = {"scaledobject.keda.sh/transfer-hpa-ownership": "true"}

    assert "already managed by the hpa 'mine'" in refusals(document(), [], None, [HPA])[0]
    assert refusals(document(), [], None, [owned, ignored]) == []
    assert refusals(transfer, [], None, [HPA]) == []


def test_cpu_needs_a_request() -> None:
    """A utilization has nothing to be of without a request; an AverageValue needs none."""
    one = document(triggers=[CPU], minReplicaCount=1)
    absolute = document(triggers=[{**CPU, "metricType": "AverageValue"}], minReplicaCount=1)

    assert "doesn't have the cpu request defined" in refusals(one, [], [{"name": "c"}])[0]
    assert refusals(one, [], [{"name": "c", "cpu": "1"}]) == []
    assert refusals(one, [], None) == []
    assert refusals(absolute, [], [{"name": "c"}]) == []


def test_a_long_name() -> None:
    """KEDA's prefix counts."""
    (found,) = refusals(named(LONG), [])

    assert found.startswith("the HPA's name keda-hpa-xxx")
