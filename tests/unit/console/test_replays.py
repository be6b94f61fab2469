"""A ScaledObject's page: its rule on what was recorded, and against a load."""

import html
from typing import Any

import httpx
import pytest
import yaml

from tests.support.console_world import IMAGE, World
from tests.support.required import ROOT


def scaled(**spec: Any) -> dict[str, Any]:
    """What keda/ has for iris."""
    documents = yaml.safe_load_all((ROOT / "keda" / "iris.yaml").read_text("utf-8"))
    document: dict[str, Any] = next(one for one in documents if one["kind"] == "ScaledObject")
    document["spec"] |= spec
    return document


def busy(value: float, replicas: float = 1) -> Any:
    """A Prometheus whose queries said a value all along, until the last fifth of the time."""

    def metrics(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        start, end, step = (float(asked[key]) for key in ("start", "end", "step"))
        count = round((end - start) / step) + 1
        ours = "kube_deployment_spec_replicas" in asked["query"]
        values = [
            [start + place * step, str(replicas if ours else value * (place < 0.8 * count))]
            for place in range(count)
        ]
        result = [{"metric": {}, "values": values}]
        return httpx.Response(200, json={"status": "success", "data": {"result": result}})

    return metrics


def test_what_was_recorded_is_decided_again_with_what_would_be_otherwise() -> None:
    """The scale-down window keeps the replicas, and the page says what would be without it."""
    world = World(objects={"scaledobjects": [scaled()]}, metrics=busy(40.0))
    text = html.unescape(world.get("/scaling/iris-predictor").text)
    assert "1 → " in text
    assert "HPA" in text
    assert "without the" in text
    assert "by this rule" in text
    assert "recorded</span> <b>1</b>" in text


def test_other_bounds_are_tried_without_a_change() -> None:
    """The replay has the form's most replicas; nothing is patched."""
    world = World(objects={"scaledobjects": [scaled()]}, metrics=busy(400.0))
    text = html.unescape(world.get("/scaling/iris-predictor?to=23&threshold=1").text)
    assert "→ 23" in text
    assert not world.patches


def test_a_load_is_replayed_with_its_sums_and_its_command() -> None:
    """A spike makes replicas; the same run is named as a command."""
    world = World(objects={"scaledobjects": [scaled()]})
    answer = world.get("/scaling/iris-predictor?load=spike&low=5&high=80&service=0.5&start=3")
    text = html.unescape(answer.text)
    assert answer.status_code == 200
    assert "replica-hours" in text
    assert "simulate iris-predictor.yaml --curve spike --rates 5 80" in text
    assert "1 → " in text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("load=spike&high=9999&minutes=60", "at most 100,000 are replayed"),
        ("load=tide", "A load is one of: recorded"),
        ("load=spike&service=nan", "Seconds of one request: a number from"),
        ("from=5&to=2", "minReplicaCount"),
        ("to=9999&threshold=0.001", "At most 500 replicas"),
        ("threshold=often", "threshold"),
        ("threshold=" + IMAGE, "threshold"),
    ],
)
def test_what_cannot_be_replayed_is_a_sentence(query: str, sentence: str) -> None:
    """Numbers beyond their limits are refused with what is allowed."""
    answer = World(objects={"scaledobjects": [scaled()]}).get(f"/scaling/iris-predictor?{query}")
    assert answer.status_code == 400
    assert sentence in html.unescape(answer.text)
    assert IMAGE not in answer.text


@pytest.mark.parametrize(
    "spec",
    [
        {"triggers": None},
        {"triggers": []},
        {"triggers": [{"type": "cpu", "metadata": {"value": "60"}, "metricType": "Utilization"}]},
        {"triggers": [{"type": IMAGE, "metadata": {}}]},
        {"triggers": [IMAGE]},
        {"minReplicaCount": IMAGE},
        {"scaleTargetRef": 5},
    ],
)
def test_a_rule_that_cannot_be_replayed_says_why(spec: dict[str, Any]) -> None:
    """The page stands; nothing of the object is read as markup."""
    answer = World(objects={"scaledobjects": [scaled(**spec)]}).get("/scaling/iris-predictor")
    assert answer.status_code == 200
    assert 'class="problem"' in answer.text
    assert IMAGE not in answer.text


@pytest.mark.parametrize("least", [0, 501])
def test_a_rule_of_endless_replicas_costs_the_console_nothing(least: int) -> None:
    """Whatever an object allows and a metric asks for; the form takes a smaller number."""
    endless = scaled(minReplicaCount=least, maxReplicaCount=2**31 - 1)
    world = World(objects={"scaledobjects": [endless]}, metrics=busy(1e9))
    page = "/scaling/iris-predictor"

    assert "At most 500 replicas are replayed here, not 2147483647" in world.get(page).text
    assert "by this rule" in world.get(f"{page}?from=0&to=500").text


def test_no_scaledobject_is_a_404() -> None:
    """It names what is missing."""
    answer = World().get("/scaling/iris")
    assert answer.status_code == 404
    assert "There is no ScaledObject iris." in answer.text


def test_a_prometheus_that_is_away_is_a_sentence() -> None:
    """A load can still be replayed."""
    world = World(objects={"scaledobjects": [scaled()]}, metrics=lambda _: httpx.Response(503))
    assert 'class="problem"' in world.get("/scaling/iris-predictor").text
    assert "replica-hours" in world.get("/scaling/iris-predictor?load=step").text


def test_what_was_recorded_is_a_file_for_simulate() -> None:
    """A heading, and a line of seconds and value for each moment that has one."""
    world = World(objects={"scaledobjects": [scaled()]}, metrics=busy(4.5))
    answer = world.get("/scaling/iris-predictor/recorded.csv")
    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/csv")
    assert lines[0] == "seconds,s0-prometheus"
    assert lines[1] == "0,4.5"
    assert lines[-1].endswith(",0")


def test_nothing_recorded_is_said() -> None:
    """In the page and in place of the file."""
    world = World(objects={"scaledobjects": [scaled()]})
    for path in ("/scaling/iris-predictor", "/scaling/iris-predictor/recorded.csv"):
        assert "Prometheus has no value of these triggers" in world.get(path).text
