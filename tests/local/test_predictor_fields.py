"""What a predictor's fields ask for, by their effects: variables, labels, probes, strategies."""

from typing import Any

import psutil
import pytest

from tests.support.kubectl import Kubectl
from tests.support.platform import wait_for

SECONDS = 90


def pods(kubectl: Kubectl) -> dict[str, dict[str, Any]]:
    """Those of iris that carry the predictor's label, by name."""
    found = kubectl.get("pods", "-l", "team=ml")["items"]
    return {pod["metadata"]["name"]: pod for pod in found}


def ready(kubectl: Kubectl) -> list[str]:
    """The labelled pods that are ready."""
    return [
        name
        for name, pod in pods(kubectl).items()
        for condition in pod["status"]["conditions"]
        if (condition["type"], condition["status"]) == ("Ready", "True")
    ]


def test_a_predictor_has_what_it_asks_for(kubectl: Kubectl) -> None:
    """A missing Secret holds its pod and is named; then its variables and its file."""
    kubectl.patch(
        "isvc/iris",
        {
            "predictor": {
                "labels": {"team": "ml"},
                "deploymentStrategy": {"type": "Recreate"},
                "volumes": [{"name": "own", "secret": {"secretName": "own"}}],
                "model": {
                    "envFrom": [{"secretRef": {"name": "own"}}],
                    "env": [{"name": "FILE", "value": "/own/TOKEN"}],
                    "volumeMounts": [{"name": "own", "mountPath": "/own"}],
                },
            }
        },
    )
    wait_for(
        lambda: 'secret "own" not found' in kubectl.out("get", "pods", "-o", "yaml"), SECONDS, "why"
    )
    assert len(kubectl.get("pods")["items"]) == 1  # Recreate: the old one went first
    kubectl.run("create", "secret", "generic", "own", "--from-literal=TOKEN=hello")

    wait_for(lambda: len(ready(kubectl)) == 1, SECONDS, "the pod")

    (process,) = [
        found
        for found in kubectl.platform.processes()
        if "predictors.iris" in " ".join(found.cmdline())
    ]
    variables = psutil.Process(process.pid).environ()
    assert variables["TOKEN"] == "hello"
    with open(variables["FILE"], encoding="utf-8") as file:  # noqa: PTH123  its own path
        assert file.read() == "hello"


@pytest.mark.parametrize(
    ("trigger", "reason", "cause"),
    [
        (
            {"serverAddress": "http://127.0.0.1:1", "query": "up", "threshold": "1"},
            "KEDAScalerFailed",
            "127.0.0.1:1",
        ),
        (
            {"timezone": "UTC", "start": "0 0 * * 6", "end": "0 0 * * 7", "desiredReplicas": "2"},
            "ScaledObjectCheckFailed",
            "end of range (7) above maximum (6)",
        ),
    ],
)
def test_a_scaled_object_has_the_cause_as_an_event(
    kubectl: Kubectl, trigger: dict[str, str], reason: str, cause: str
) -> None:
    """As KEDA writes it, so that `kubectl describe` says more than that it does not work."""
    kind = "cron" if "start" in trigger else "prometheus"
    triggers = [{"type": kind, "metadata": trigger}]
    kubectl.patch("so/iris-predictor", {"triggers": triggers, "pollingInterval": 1})

    def told() -> str:
        return kubectl.out("events", "--for", "scaledobject/iris-predictor")

    wait_for(lambda: reason in told() and cause in told(), SECONDS, "the Event")
