"""The laptop's Prometheus: the real one, with the labels and rules of a cluster."""

import os
import signal
from collections.abc import Callable

from tests.support import required
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for


def test_what_is_scraped(trained: Platform) -> None:
    """Predictors with a PodMonitor's labels, Deployments, and the recording rules."""
    required.binary("prometheus")
    series = 'predictor_requests_in_flight{deployment="iris-predictor"}'
    wait_for(lambda: trained.prometheus(series), 60, "a sample of iris")

    (found,) = trained.prometheus(series)
    (pod,) = trained.pods("iris")
    labels = {"namespace": "models", "inferenceservice": "iris", "pod": pod["name"]}
    assert labels.items() <= found["metric"].items()
    assert found["metric"]["job"] == "models/predictors"
    ready = 'kube_deployment_status_replicas_ready{namespace="models",deployment="iris-predictor"}'
    wait_for(
        lambda: [one["value"][1] for one in trained.prometheus(ready)] == ["1"],
        60,
        "a ready replica",
    )
    recorded = 'deployment:predictor_requests_in_flight:sum_avg1m{deployment="iris-predictor"}'
    wait_for(lambda: trained.prometheus(recorded), 60, "the recording rules")
    assert trained.state()["prometheus_url"] in trained.serin("status").stdout


def test_it_comes_back_with_its_data(fresh: Callable[..., Platform]) -> None:
    """Killed, Prometheus is started again and still knows what it scraped before."""
    required.binary("prometheus")
    platform = fresh("iris")
    wait_for(lambda: platform.prometheus("predictor_requests_in_flight"), 60, "a first sample")
    (before,) = platform.prometheus("predictor_requests_in_flight[10m]")
    (process,) = [one for one in platform.processes() if "prometheus" in one.name()]

    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.is_running(), 60, "the end of Prometheus")
    wait_for(lambda: platform.prometheus("predictor_requests_in_flight"), 60, "a sample after it")

    (after,) = platform.prometheus("predictor_requests_in_flight[10m]")
    assert after["metric"] == before["metric"]
    assert after["values"][0] == before["values"][0]


def test_without_prometheus_everything_else_works(trained: Platform, tmp_path: object) -> None:
    """A laptop without the program serves, and says what is missing and how to get it."""
    platform = trained.copy(trained.home.parent / "without")
    try:
        os.environ["SERIN_PROMETHEUS"] = "/nowhere/prometheus"
        platform.serin("up", "iris")
        status = platform.serin("status")
        kubectl = Kubectl(platform)

        assert platform.infer()[0] == 200
        assert "SERIN_PROMETHEUS names /nowhere/prometheus" in status.stderr
        assert platform.state()["prometheus_url"] == ""
        wait_for(lambda: kubectl.condition("Ready") == "False", 60, "a ScaledObject that says so")
        assert kubectl.replicas() == 1  # and no fallback for what was never there
    finally:
        del os.environ["SERIN_PROMETHEUS"]
        platform.serin("down")
