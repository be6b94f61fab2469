"""What a predictor's fields ask for, by their effects: variables, labels, probes, strategies."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.support import trained
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for

SECONDS = 90


@pytest.fixture
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """Kubectl, and a platform that serves iris."""
    platform = Platform(tmp_path_factory.mktemp("fields") / "state")
    platform.publish(trained.brief("iris"))
    try:
        platform.serin("up", "iris")
        yield Kubectl(platform)
    finally:
        platform.serin("down")


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
