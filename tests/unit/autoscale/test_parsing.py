"""ScaledObjects as KEDA reads them, and what is said of those that cannot be read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.autoscale import parsing
from controlplane.autoscale.rule import Cron, Policy, PolicyType, Prometheus, Resource, SelectPolicy
from controlplane.errors import ManifestError
from tests.support.rules import document, rule

MANIFESTS = sorted(
    path
    for path in (Path(__file__).parents[3] / "keda").glob("*.yaml")
    if path.name != "kustomization.yaml"
)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_repository_manifests(path: Path) -> None:
    """Every ScaledObject of this repository can be evaluated, and keeps its promise on failure."""
    found = parsing.rule(yaml.safe_load(path.read_text()))

    assert found.fallback
    assert found.behavior
    for trigger in found.triggers:
        if isinstance(trigger, Prometheus):
            assert not trigger.ignore_null_values
            assert found.target in trigger.query


def test_defaults() -> None:
    """What a ScaledObject leaves out is what KEDA takes."""
    found = rule()

    assert (found.min_replica_count, found.max_replica_count) == (0, 100)
    assert (found.polling_interval_seconds, found.cooldown_period_seconds) == (30, 300)
    assert (found.fallback, found.behavior, found.idle_replica_count) == (None, None, None)
    assert found.hpa_name == "keda-hpa-web"
    assert found.triggers == (
        Prometheus("s0-prometheus", "", "http://p:9090", "sum(in_flight)", 10_000),
    )


def test_behavior_defaults() -> None:
    """A behavior with one direction gets the other, and what the direction leaves out."""
    found = rule({"scaleDown": {"stabilizationWindowSeconds": 7}}).behavior

    assert found
    assert found.scale_down.stabilization_window_seconds == 7
    assert found.scale_down.policies == (Policy(PolicyType.PERCENT, 100, 15),)
    assert found.scale_up.policies == (
        Policy(PolicyType.PODS, 4, 15),
        Policy(PolicyType.PERCENT, 100, 15),
    )
    assert found.scale_up.select_policy is SelectPolicy.MAX


def test_other_triggers() -> None:
    """Cron and cpu triggers, and the order of the HPA's metrics."""
    found = rule(
        triggers=[
            {"type": "cpu", "metadata": {"value": "60"}},
            {"type": "cpu", "metricType": "AverageValue", "metadata": {"value": "1500m"}},
            {
                "type": "cron",
                "metadata": {
                    "timezone": "Europe/Berlin",
                    "start": "0 8 * * 1-5",
                    "end": "0 18 * * 1-5",
                    "desiredReplicas": "4",
                },
            },
        ]
    )

    assert [type(trigger) for trigger in found.metrics] == [Cron, Resource, Resource]
    assert [trigger.target for trigger in found.metrics] == [1000, 60, 1500]
    assert found.metrics[0].metric_name == "s2-cron-Europe-Berlin-08xx1-5-018xx1-5"


def trigger(**metadata: Any) -> dict[str, Any]:
    one = document()["spec"]["triggers"][0]
    return {"triggers": [{**one, "metadata": {**one["metadata"], **metadata}}]}


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"triggers": []}, "spec.triggers: expected at least one trigger"),
        ({"minReplicaCount": -1}, "spec.minReplicaCount: expected a whole number, 0 or more"),
        ({"scaleTargetRef": {"name": "x", "kind": "StatefulSet"}}, "spec.scaleTargetRef.kind"),
        ({"scaleTargetRef": {}}, "spec.scaleTargetRef.name: expected a text, got 'nothing'"),
        (trigger(threshold="many"), "metadata.threshold: expected a number, got 'many'"),
        (trigger(threshold="0"), "metadata.threshold: expected more than 0"),
        (trigger(query=""), "spec.triggers[0].metadata.query: expected a text"),
        (trigger(ignoreNullValues="no"), "ignoreNullValues: expected true or false, got 'no'"),
        (trigger(timeout="soon"), "timeout: expected a duration such as 5s"),
        ({"triggers": [{"type": "kafka", "metadata": {}}]}, "prometheus, cpu, memory or cron"),
        (
            {"triggers": [{**trigger()["triggers"][0], "metricType": "Utilization"}]},
            "spec.triggers[0].metricType: expected AverageValue or Value, got",
        ),
        ({"fallback": {"replicas": 1}}, "spec.fallback.failureThreshold: expected a whole number"),
        (
            {"fallback": {"failureThreshold": 1, "replicas": 1, "behavior": "best"}},
            "spec.fallback.behavior: expected one of static, currentReplicas,",
        ),
        ({"advanced": {"scalingModifiers": {"formula": "a+b"}}}, "spec.advanced.scalingModifiers"),
    ],
)
def test_complaints_name_the_field(spec: dict[str, Any], complaint: str) -> None:
    """A field that cannot be read is named, with what was expected and what is there."""
    with pytest.raises(ManifestError) as caught:
        parsing.rule(document(**spec))

    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("down", "complaint"),
    [
        ({"stabilizationWindowSeconds": 4000}, "expected at most 3600, got 4000"),
        ({"policies": []}, "expected at least one policy"),
        ({"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1}]}, "[0].value"),
        ({"policies": [{"type": "Pods", "value": 1, "periodSeconds": 1801}]}, "1 to 1800"),
        ({"policies": [{"type": "Share", "value": 1, "periodSeconds": 1}]}, "Pods, Percent"),
        ({"selectPolicy": "Average"}, "scaleDown.selectPolicy: expected one of Max, Min, Disabled"),
    ],
)
def test_behavior_complaints(down: dict[str, Any], complaint: str) -> None:
    """An HPA behavior that the API server would refuse."""
    with pytest.raises(ManifestError) as caught:
        rule({"scaleDown": down})

    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"), [("timezone", "Mars/Base"), ("start", "whenever"), ("end", "0 8 * * *")]
)
def test_cron_complaints(field: str, value: str) -> None:
    """A zone or time that cannot be read, and an end that is the start."""
    metadata = {
        "timezone": "UTC",
        "start": "0 8 * * *",
        "end": "0 9 * * *",
        "desiredReplicas": "2",
        field: value,
    }
    with pytest.raises(ManifestError) as caught:
        rule(triggers=[{"type": "cron", "metadata": metadata}])

    assert f"spec.triggers[0].metadata.{field}: expected" in str(caught.value)
