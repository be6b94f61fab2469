"""Pods under load, and a rule that scales them."""

import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from controlplane.autoscale.rule import Controller
from controlplane.simulation import load
from controlplane.simulation.load import Load, built_in
from controlplane.simulation.outcome import outcome
from controlplane.simulation.replay import Run, replay
from controlplane.simulation.service import PodModel, Service
from controlplane.simulation.signals import Recorded, Signal, Simulated, meaning, window_seconds
from scripts.simulation.picture import of_metric, of_service, picture
from tests.support.rules import rule

ONE = PodModel(cold_start_seconds=10, service_seconds=0.5, concurrency=1)
FAST = {"scaleUp": {}, "scaleDown": {"stabilizationWindowSeconds": 30}}


def test_one_place_serves_in_order() -> None:
    """Three at once on one place: one runs, two wait, and the third takes three times as long."""
    service = Service(ONE, iter([0.0, 0.0, 0.0]), 1)
    service.run(0, 0.25)

    assert (service.running, service.waiting) == (1, 2)

    service.run(0.25, 10)

    assert [latency for _, latency in service.latencies] == [0.5, 1.0, 1.5]


def test_a_started_pod_helps_after_its_cold_start() -> None:
    """A pod that starts takes nothing before it is ready."""
    service = Service(ONE, iter([0.0] * 60), 1)
    service.scale(2, 0)
    for second in range(10):
        service.run(second, second + 1)

    assert len(service.latencies) in {20, 21}

    for second in range(10, 15):
        service.run(second, second + 1)

    assert len(service.latencies) in {40, 41, 42}


def test_an_ended_pod_finishes_its_request() -> None:
    """Scaling in starts nothing more, and loses nothing."""
    service = Service(ONE, iter([0.0, 0.0]), 2)
    service.run(0, 0.1)
    service.scale(0, 0.1)
    service.run(0.1, 1)

    assert len(service.latencies) == 2
    assert service.in_flight == 0


def played(load: Load, behavior: dict[str, Any] | None = None, **spec: Any) -> Run:
    wanted = rule(behavior, **spec)
    model = PodModel(cold_start_seconds=10, service_seconds=0.1, concurrency=10)
    service = Service(model, load.arrivals(random.Random(1)), max(wanted.min_replica_count, 0))
    source = Simulated(wanted, service, None)
    return replay(wanted, load, service, source, Controller())


def test_a_spike_scales_out_and_back() -> None:
    """Replicas follow the load up to the maximum and back, and misses come with the spike only."""
    load = built_in("spike", 20, 350, 1000)
    run = played(load, FAST, minReplicaCount=1, maxReplicaCount=4)
    sums = outcome(run, slo_seconds=0.5)

    wanted = [moment.wanted for moment in run.moments]
    assert (wanted[0], max(wanted), wanted[-1]) == (1, 4, 1)
    assert min(at for at, _ in run.changes) >= 200
    assert sums.requests == sum(1 for _ in load.arrivals(random.Random(1)))
    assert 0 < sums.slo_missed_share < 0.9
    assert sums.replica_hours == pytest.approx(sum(wanted) / 3600)


def test_a_quiet_load_sleeps_and_wakes() -> None:
    """With minReplicaCount 0 the target sleeps after the cooldown and wakes at a poll."""
    load = Load((0.0, 10.0, 200.0, 220.0), (5.0, 0.0, 5.0, 0.0), 400.0)
    run = played(load, cooldownPeriod=30, pollingInterval=5)

    reasons = [decision.rule for _, decision in run.changes]
    asleep = [moment.at for moment in run.moments if moment.wanted == 0 and moment.at > 1]
    assert reasons[0] == "KEDAScaleTargetActivated"
    assert "KEDAScaleTargetDeactivated" in reasons
    assert min(asleep) < 100
    assert max(latency for _, latency in run.latencies) > 10  # the first one's cold start


@pytest.mark.parametrize("start", [0.0, 8 * 3600.0])
def test_a_recorded_metric(tmp_path: Path, start: float) -> None:
    """Decisions on recorded values, at any time of day; a failed query waits for the fallback."""
    path = tmp_path / "metric.csv"
    path.write_text("seconds,value\n0,10\n60,40\n120,error\n200,10\n400,10\n", "utf-8")
    wanted = rule(
        {"scaleUp": {}, "scaleDown": {"stabilizationWindowSeconds": 0}},
        minReplicaCount=1,
        fallback={"failureThreshold": 2, "replicas": 6},
    )
    source = Recorded(wanted, load.table(path, 2), start)
    service = Service(PodModel(1, 1, 1), iter(()), 1)
    wave = Load((0.0,), (0.0,), source.duration)
    run = replay(wanted, wave, service, source, Controller(), start)

    assert [(at, decision.desired) for at, decision in run.changes] == [(60, 4), (135, 6), (210, 1)]


@pytest.mark.parametrize(
    ("query", "signal", "window"),
    [
        ("sum(avg_over_time(predictor_requests_in_flight[1m]))", Signal.IN_FLIGHT, 60),
        ("sum(rate(predictor_requests_total[30s]))", Signal.RATE, 30),
        ("sum(vllm:num_requests_waiting)", Signal.WAITING, 5),
        ("up", Signal.IN_FLIGHT, 5),
    ],
)
def test_what_a_query_means(query: str, signal: Signal, window: float) -> None:
    """Told by the words and the range in it."""
    assert (meaning(query), window_seconds(query)) == (signal, window)


def test_the_picture_is_whole(tmp_path: Path) -> None:
    """An SVG that an XML parser takes, with a panel for each curve."""
    run = played(built_in("spike", 5, 100, 300), FAST, minReplicaCount=1)
    drawn = ET.fromstring(picture(run, of_service(run, 0.5), "a < b"))  # noqa: S314  our own text

    titles = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "requests that wait" in titles
    assert "a < b" in titles
    assert "<polyline" in picture(run, of_metric(run), "")


def test_a_request_that_no_scrape_sees_counts_for_a_hundredth_where_the_query_says_so() -> None:
    """As keda/ asks: enough to be active, and no more however many there are."""
    query = "sum(avg_over_time(predictor_requests_in_flight[1m]))"
    brief = f"{query} + (clamp_max(sum(rate(predictor_requests_total[1m])), 0.01) or vector(0))"
    found = []
    for asked in (query, brief):
        metadata = {"serverAddress": "http://p:9090", "threshold": "8", "query": asked}
        wanted = rule(triggers=[{"type": "prometheus", "metadata": metadata}])
        service = Service(PodModel(0, 0.001, 1), iter([1.0]), 1)
        source = Simulated(wanted, service, None)
        service.run(0, 4)
        source.scrape(5)
        (reading,) = source.read(6).values()
        found.append((reading.value, reading.active))

    assert found == [(0, False), (10, True)]
