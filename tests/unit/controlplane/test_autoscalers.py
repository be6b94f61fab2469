"""A ScaledObject's status and its HPA, as kubectl shows them."""

from typing import Any

import pytest

from controlplane.autoscale import parsing, scaler
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.readings import Reading
from controlplane.autoscale.rule import Controller
from controlplane.local.controllers.autoscaling import autoscalers
from tests.support.rules import document, reading

NOW = "2026-11-21T12:00:00Z"
AT = autoscalers.seconds(NOW)


def scaled(**spec: Any) -> dict[str, Any]:
    found = document(**spec)
    found["metadata"]["uid"] = "u-1"
    return found


def statuses(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one.get("reason", "")) for one in found["conditions"]}


def test_status_of_a_working_one() -> None:
    """Ready and active, with the time and what the HPA is called."""
    one = scaled()
    rule = parsing.rule(one)
    polled, state = scaler.poll(rule, scaler.start(AT), reading(5), Scale(1, 1, 1), AT)

    found = autoscalers.status(one, rule, state.memory, polled, 1)

    assert statuses(found) == {
        "Ready": ("True", "ScaledObjectReady"),
        "Active": ("True", "ScalerActive"),
        "Fallback": ("False", "NoFallbackFound"),
        "Paused": ("False", ""),
    }
    assert found["lastActiveTime"] == NOW
    assert found["hpaName"] == "keda-hpa-web"
    assert (found["triggersTypes"], found["externalMetricNames"]) == (
        "prometheus",
        ["s0-prometheus"],
    )


def test_status_of_a_failing_one() -> None:
    """Failures are counted and remembered over a restart; past the threshold it falls back."""
    one = scaled(fallback={"failureThreshold": 1, "replicas": 2})
    rule, state = parsing.rule(one), scaler.start(AT)
    for _ in range(2):
        polled, state = scaler.poll(rule, state, reading(0, error="gone"), Scale(1, 1, 1), AT)

    one["status"] = autoscalers.status(one, rule, state.memory, polled, 1)

    assert statuses(one["status"])["Fallback"] == ("True", "FallbackExists")
    assert one["status"]["health"]["s0-prometheus"] == {
        "numberOfFailures": 2,
        "status": "Failing",
    }
    assert autoscalers.memory(one, AT).failure_counts == {"s0-prometheus": 2}


def test_hpa() -> None:
    """Its target, metrics and conditions are those of the decision."""
    one = scaled(minReplicaCount=2)
    rule = parsing.rule(one)
    scale = Scale(3, 3, 3)
    decision, _ = scaler.sync(
        rule,
        scaler.start(AT),
        {"s0-prometheus": Reading("s0-prometheus", 58_000)},
        scale,
        AT,
        Controller(),
    )

    found = autoscalers.hpa(one, rule, decision, scale, None, NOW)

    assert found["metadata"]["ownerReferences"][0]["name"] == "web"
    assert (found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) == (2, 100)
    external = found["spec"]["metrics"][0]["external"]
    assert external["target"] == {"averageValue": "10", "type": "AverageValue"}
    assert found["status"]["desiredReplicas"] == 6
    assert found["status"]["currentMetrics"][0]["external"]["current"] == {"averageValue": "19334m"}
    assert statuses(found["status"])["AbleToScale"] == ("True", "SucceededRescale")
    assert found["status"]["lastScaleTime"] == NOW


@pytest.mark.parametrize(("thousandths", "text"), [(8000, "8"), (9667, "9667m"), (0, "0")])
def test_quantity(thousandths: int, text: str) -> None:
    """As Kubernetes writes them."""
    assert autoscalers.quantity(thousandths) == text
