"""A model that sleeps: the first request waits for it, and it goes back to sleep."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from tests.support import required
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for

SHIPPED = yaml.safe_load((required.ROOT / "keda" / "iris.yaml").read_text("utf-8"))
QUERY = SHIPPED["spec"]["triggers"][0]["metadata"]["query"]
RULE: dict[str, Any] = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "iris-predictor", "namespace": "models"},
    "spec": {
        "scaleTargetRef": {"name": "iris-predictor"},
        "minReplicaCount": 0,
        "maxReplicaCount": 2,
        "pollingInterval": 2,
        # A rate needs two scrapes, 5 s apart, of a pod that has just begun, and a look at it.
        "cooldownPeriod": 20,
        "triggers": [
            {
                "type": "prometheus",
                "metadata": {
                    "serverAddress": "http://prometheus-operated.monitoring:9090",
                    "threshold": "100",
                    "ignoreNullValues": "false",
                    # Over a shorter time: pods report it, or who holds requests.
                    "query": QUERY.replace("[1m]", "[15s]"),
                },
            }
        ],
    },
}


@pytest.mark.timeout(300)
def test_the_first_request_waits_for_the_cold_start(fresh: Callable[..., Platform]) -> None:
    """Asleep, woken by REST and gRPC requests that are all answered, and asleep again."""
    required.binary("prometheus")
    platform = fresh("iris")
    kubectl = Kubectl(platform)
    kubectl.run("delete", "scaledobject", "iris-predictor")
    kubectl.run("apply", "-f", "-", text=json.dumps(RULE))
    wait_for(lambda: kubectl.replicas() == 0 and not platform.pods("iris"), 60, "sleep")

    with ThreadPoolExecutor() as pool:
        rest = [pool.submit(platform.infer) for _ in range(4)]
        grpc = pool.submit(platform.serin, "infer", "iris", "5.1", "3.5", "1.4", "0.2", "--grpc")
        answers = [one.result() for one in rest]
        assert "setosa" in grpc.result().stdout

    assert [status for status, _ in answers] == [200] * 4
    assert kubectl.replicas() == 1
    platform.serin("load", "iris", "--rate", "0.5", "--even", "--duration", "30", seconds=60)
    # It may have slept until the load began; asleep amid it, it would be some 10 s old.
    (awake,) = platform.pods("iris")
    lived = datetime.now(UTC) - datetime.fromisoformat(awake["started_at"])
    assert lived > timedelta(seconds=20), "asked each two seconds, it slept between"
    wait_for(lambda: _asked_and_active(platform, kubectl), 60, "an active ScaledObject")
    wait_for(lambda: kubectl.replicas() == 0 and not platform.pods("iris"), 90, "sleep again")
    wait_for(lambda: _trigger(platform) == [0], 60, "the trigger to have a value without a pod")
    events = kubectl.out("get", "events", "-o", "jsonpath={.items[*].message}")
    assert "from 0 to 1, triggered by held-request" in events
    assert "Deactivated apps/v1.Deployment models/iris-predictor from 1 to 0" in events


def _trigger(platform: Platform) -> list[float]:
    """What the ScaledObject's query finds; the pods' last samples leave its window."""
    held = platform.prometheus('predictor_requests_in_flight{pod="",deployment="iris-predictor"}')
    return [float(one["value"][1]) for one in held]


def _asked_and_active(platform: Platform, kubectl: Kubectl) -> bool:
    """Asked each time: a rate needs requests between two of Prometheus's looks."""
    assert platform.infer()[0] == 200
    return kubectl.condition("Active") == "True"


@pytest.mark.timeout(400)
def test_what_nothing_wakes_is_refused(fresh: Callable[..., Platform]) -> None:
    """Without a ScaledObject a Deployment at zero says so at once, with a 503."""
    platform = fresh("iris")
    kubectl = Kubectl(platform)
    kubectl.run("delete", "scaledobject", "iris-predictor")
    kubectl.run("scale", "deployment", "iris-predictor", "--replicas=0")
    wait_for(lambda: not platform.pods("iris"), 60, "no pod")

    status, body = platform.infer()

    assert status == 503
    assert body["error"] == "iris-predictor has no replicas, and no ScaledObject starts any"
