"""Pages of hostile objects: everything is text, and what cannot be read spoils itself alone."""

import html
import json
import time
from typing import Any

import httpx
import pytest

from controlplane.rollout.effects.record import STATE
from tests.support.console_world import (
    IMAGE,
    TURNED,
    World,
    deployment,
    pod,
    published,
    service,
)

PAGES = ["/", "/rollouts", "/training", "/scaling", "/alerts", "/registry"]
ODD: list[Any] = [None, 5, "text", [], [1], {}, {"metadata": 3}, {"metadata": {"name": ["x"]}}]
KINDS = [
    *("inferenceservices", "deployments", "pods", "leases", "jobs", "events"),
    *("scaledobjects", "horizontalpodautoscalers", "replicasets"),
]


def hostile() -> World:
    """Every text that somebody else may choose begins a tag."""
    waiting = {"state": {"waiting": {"reason": IMAGE, "message": IMAGE}}}
    return World(
        objects={
            "inferenceservices": [service(IMAGE), service("iris", f"{IMAGE}{TURNED}")],
            "deployments": [deployment()],
            "pods": [pod("iris-predictor-1", "iris", containerStatuses=[waiting])],
            "events": [
                {
                    "metadata": {},
                    "involvedObject": {"kind": IMAGE, "name": "iris"},
                    "reason": IMAGE,
                    "message": IMAGE,
                }
            ],
            "leases": [{"metadata": {"name": f"rollout-{IMAGE}", "annotations": {STATE: IMAGE}}}],
            "jobs": [
                {
                    "metadata": {
                        "name": IMAGE,
                        "annotations": {"x/metrics": json.dumps({IMAGE: IMAGE})},
                    },
                    "spec": {},
                    "status": {
                        "conditions": [{"type": "Failed", "status": "True", "reason": IMAGE}]
                    },
                }
            ],
            "scaledobjects": [
                {
                    "metadata": {"name": IMAGE},
                    "spec": {
                        "scaleTargetRef": {"name": IMAGE},
                        "triggers": [
                            {"type": IMAGE, "metadata": {"query": IMAGE, "threshold": IMAGE}}
                        ],
                    },
                }
            ],
        },
        log=f"{IMAGE}\n\x1b[31m{IMAGE}\n"
        + json.dumps({"time": IMAGE, "level": IMAGE, "event": IMAGE}),
        metrics=labelled,
        metadata={
            "inputs": [{"name": IMAGE, "datatype": "BYTES", "shape": [-1]}],
            "outputs": [{"name": IMAGE, "datatype": "BYTES", "shape": [-1]}],
        },
        answer={"outputs": [{"name": IMAGE, "datatype": IMAGE, "shape": [1], "data": [IMAGE]}]},
        versions=[
            published(IMAGE, IMAGE, metrics={IMAGE: IMAGE}, engine=IMAGE, data={"name": IMAGE})
        ],
    )


def labelled(request: httpx.Request) -> httpx.Response:
    """Series whose labels are hostile."""
    names = ("deployment", "model_version", "alertname", "severity", "inferenceservice")
    labels = dict.fromkeys(names, IMAGE) | {"alertstate": "firing"}
    entry = {"metric": labels, "value": [0, "1"], "values": [[time.time(), "1"]]}
    return httpx.Response(200, json={"status": "success", "data": {"result": [entry]}})


@pytest.mark.parametrize("path", [*PAGES, "/models/iris", "/models/iris/try"])
def test_texts_of_others_are_never_markup(path: str) -> None:
    """Names, messages, logs, labels and metrics are shown as they are written."""
    answer = hostile().get(path)

    assert answer.status_code == 200, answer.text
    assert "<img" not in answer.text
    assert html.escape(IMAGE, quote=False)[:8] in answer.text
    assert TURNED[0] not in answer.text


def test_an_answer_of_a_model_is_never_markup() -> None:
    """Nor are the lines that ask the same again."""
    answer = hostile().ask("POST", "/models/iris/try", {"f0.0": IMAGE})

    assert answer.status_code == 200
    assert "<img" not in answer.text
    assert answer.text.count("&lt;img") >= 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", [*PAGES, "/models/iris", "/rollouts/iris"])
def test_an_object_of_no_form_spoils_itself_alone(kind: str, path: str) -> None:
    """Whatever stands where an object should, the page answers and shows the others."""
    world = World(objects={"inferenceservices": [service()], "deployments": [deployment()]})
    world.objects[kind] = [*ODD, *world.objects.get(kind, [])]
    answer = world.get(path)

    assert answer.status_code == (404 if path == "/rollouts/iris" else 200), answer.text
    if path == "/":
        assert '<a href="/models/iris">iris</a>' in answer.text


@pytest.mark.parametrize("spec", ODD)
def test_a_service_whose_spec_is_anything_has_its_row(spec: Any) -> None:
    """And the next one is as it was."""
    broken = {**service("broken"), "spec": spec}
    answer = World(objects={"inferenceservices": [broken, service()]}).get("/")

    assert "Unreadable" in answer.text
    assert '<a href="/models/iris">iris</a>' in answer.text


def down(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def slow(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("slow")


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (down, "Prometheus does not answer: refused"),
        (slow, "Prometheus did not answer in 3 s."),
        (lambda _: httpx.Response(200, text="<html>"), "without a JSON object"),
        (lambda _: httpx.Response(500, json=[1]), "answers 500 without a JSON object"),
        (lambda _: httpx.Response(200, json={"status": "success"}), "unexpected form"),
        (lambda _: httpx.Response(422, json={"status": "error", "error": "no"}), "refuses: no"),
    ],
)
def test_prometheus_spoils_its_own_boxes_alone(metrics: Any, sentence: str) -> None:
    """Models are listed without numbers, and the page says why."""
    world = World(
        objects={"inferenceservices": [service()], "deployments": [deployment()]}, metrics=metrics
    )
    for path in ("/", "/models/iris", "/scaling", "/alerts"):
        answer = world.get(path)
        assert answer.status_code == 200
        assert path == "/scaling" or sentence in answer.text, path
    assert '<a href="/models/iris">iris</a>' in world.get("/").text


def test_a_huge_answer_is_not_read_to_its_end() -> None:
    """The box says that it is too long."""
    world = World(metrics=lambda _: httpx.Response(200, content=b" " * (17 << 20)))

    assert "more than 16,777,216 bytes" in world.get("/alerts").text


@pytest.mark.parametrize("metrics", [None, 5, "x", [1], {"a": {"b": []}}, {"a": "x" * 10**5}])
def test_a_manifest_of_any_form_is_a_row(metrics: Any) -> None:
    """S3 holds what its writers put there."""
    world = World(
        versions=[
            published("odd", "v1", metrics=metrics, data=metrics, code=metrics),
            published("iris", "v2", metrics={"accuracy": 0.5}),
        ],
        objects={"inferenceservices": [service()], "deployments": [deployment()]},
    )
    for path in ("/registry", "/models/iris"):
        answer = world.get(path)
        assert answer.status_code == 200
        assert "accuracy <b>0.5</b>" in answer.text
        assert len(answer.text) < 100_000


def test_a_thousand_versions_are_a_page_each_hundred() -> None:
    """The next page is named."""
    world = World(versions=[published("iris", f"v{n}") for n in range(1000)])
    answer = world.get("/registry")

    assert answer.text.count("<code>v") == 100
    assert "first=100" in answer.text
    assert world.get("/registry?first=900").text.count("<code>v") == 100


@pytest.mark.parametrize(
    "path",
    [
        "/models/none",
        "/rollouts/none",
        "/alerts/none",
        "/nothing",
        "/models/..%2F..%2Fsecrets",
        "/alerts/..%2FREADME",
        "/static/..%2fapp.py",
    ],
)
def test_what_is_not_there_is_a_404(path: str) -> None:
    """Also what would leave its folder."""
    assert World().get(path).status_code == 404


def test_names_stay_one_segment_of_the_api_path() -> None:
    """No page can be made to read another kind of object."""
    world = World()
    world.get("/models/x%2F..%2F..%2Fsecrets%2Fs3")

    paths = [request.url.raw_path for request in world.asked]
    assert all(b"secrets" not in path or b"%2F" in path for path in paths), paths


class Silent(World):
    """Kubernetes does not answer."""

    def _cluster(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")


def test_a_page_that_could_not_be_read_follows_changes() -> None:
    """So that an open one heals; the answer to an action is no page to ask for again."""
    read = Silent().get("/models/iris")
    acted = Silent().ask("POST", "/models/iris/actions/weight", {"percent": "5"})

    assert (read.status_code, acted.status_code) == (502, 502)
    assert 'id="page" data-live' in read.text
    assert "data-live" not in acted.text


def test_an_alert_that_is_only_pending_says_so() -> None:
    """On the model's page it does not look like one that fires."""

    def metrics(request: httpx.Request) -> httpx.Response:
        labels = {"alertname": "CanaryStuck", "alertstate": "pending", "inferenceservice": "iris"}
        result = [{"metric": labels, "value": [0, "1"]}] if "ALERTS" in str(request.url) else []
        return httpx.Response(200, json={"status": "success", "data": {"result": result}})

    answer = World(objects={"inferenceservices": [service()]}, metrics=metrics).get("/models/iris")

    assert '<a class="tag" href="/alerts">CanaryStuck, pending</a>' in answer.text


def test_there_is_nothing_to_roll_back_to_but_another_version() -> None:
    """What serves is no choice, and where nothing else is published there is no form."""
    world = World(
        objects={"inferenceservices": [service("iris", "v2")], "deployments": [deployment()]},
        versions=[published("iris", "v2"), published("iris", "v1")],
    )
    assert "<option>v1</option>" in world.get("/models/iris").text
    assert "<option>v2</option>" not in world.get("/models/iris").text
    world.versions.pop()
    assert "Roll back" not in world.get("/models/iris").text


def test_versions_that_are_not_read_are_counted() -> None:
    """The list does not pass for the whole of a large store."""
    world = World(versions=[published("iris", "v1")], unread=7)

    assert "1 published version, 7 older ones are not listed" in world.get("/registry").text
    world.unread = 0
    assert "not listed" not in world.get("/registry").text
