"""KEDA scales on requests in flight, and stands still where Prometheus is gone."""

import json
from collections.abc import Iterator

import pytest

from tests.support.cluster import CANARY, FLOWER, HOST, MODEL, Cluster, conditions, wait
from tests.support.load import Clients
from tests.support.required import ROOT

CLIENTS = 28  # in flight all the time: 28 ÷ 8 a replica → 4


@pytest.fixture
def slow(cluster: Cluster) -> Iterator[Cluster]:
    """Iris at 20 ms of processor time a request, on a fifth of a core."""
    slowed = {
        "env": [{"name": "PREDICTOR_ARTIFICIAL_CPU_SECONDS", "value": "0.02"}],
        "resources": {"limits": {"cpu": "200m"}},
    }
    cluster.patch({"predictor": {"model": slowed}})
    cluster.rolled("iris-predictor", cluster.first)
    yield cluster
    cluster.patch({"predictor": {"model": dict.fromkeys(slowed)}})
    cluster.rolled("iris-predictor", cluster.first)


def busy(cluster: Cluster) -> Clients:
    """CLIENTS that each ask again as soon as they are answered."""
    return Clients(cluster.address, HOST, MODEL, [FLOWER], CLIENTS)


def say(cluster: Cluster) -> str:
    """What KEDA and the HPA think."""
    return cluster.kubectl("-n", "models", "describe", "hpa") + json.dumps(
        cluster.get("scaledobject", "iris-predictor")["status"], indent=1
    )


@pytest.mark.smoke
def test_load_scales_out_and_its_end_scales_in(slow: Cluster) -> None:
    """1 → ≥ 3 → 1, and no request is lost on the way."""
    with busy(slow) as load:
        wait(lambda: slow.replicas() >= 3, 180, "three replicas", lambda: say(slow))
    wait(lambda: slow.replicas() == 1, 240, "one replica again", lambda: say(slow))

    assert load.failures == []


def test_a_canary_scales_by_itself(cluster: Cluster) -> None:
    """Requests in flight at a slow canary bring it replicas, and stable none."""
    model = {
        **cluster.model(cluster.first),
        "env": [{"name": "PREDICTOR_ARTIFICIAL_CPU_SECONDS", "value": "0.02"}],
        "resources": {"limits": {"cpu": "200m"}},
    }
    cluster.canary(50, model)
    cluster.rolled(CANARY, cluster.first)
    wait(lambda: cluster.weight(CANARY) == 50, 120, "the canary to have its share")
    scaling = str(ROOT / "keda" / "canary" / "iris.yaml")
    cluster.kubectl("apply", "-f", scaling)
    try:
        with busy(cluster) as load:
            wait(lambda: cluster.replicas(CANARY) >= 2, 180, "two canaries", lambda: say(cluster))
            assert cluster.replicas() == 1
    finally:
        cluster.kubectl("delete", "-f", scaling)

    assert load.failures == []


def test_a_lost_prometheus_scales_nothing_in(cluster: Cluster) -> None:
    """The fallback holds what serves, and ends once Prometheus is back."""
    wait(
        lambda: conditions(cluster, "iris-predictor").get("Fallback") != "True",
        240,
        "no fallback yet",
    )
    was = cluster.replicas()
    cluster.kubectl("-n", "monitoring", "delete", "prometheus", "serin", "--wait=true")
    try:
        wait(
            lambda: conditions(cluster, "iris-predictor").get("Fallback") == "True",
            240,
            "the fallback",
            lambda: say(cluster),
        )
        assert cluster.replicas() >= was
    finally:
        cluster.setup("--only", "prometheus", seconds=300)
    wait(
        lambda: conditions(cluster, "iris-predictor").get("Fallback") == "False",
        240,
        "the end of the fallback",
        lambda: say(cluster),
    )
