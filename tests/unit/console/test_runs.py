"""/api/runs: what programs list, start, watch and cancel."""

import json
from typing import Any

import pytest
import yaml

from controlplane.console import runs
from controlplane.console.rights import Rights
from controlplane.console.runs import Runs
from controlplane.console.settings import Settings
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Access
from tests.support.console_world import IMAGE, TRUST, World
from tests.support.required import ROOT

UID = "f78b7fe6-5469-403e-b03c-c2cf065cd598"


def job(kind: str = "", **annotations: str) -> dict[str, Any]:
    """A training Job of iris; `kind` is a condition."""
    return {
        "metadata": {
            "name": "train-iris",
            "uid": UID,
            "labels": {"app.kubernetes.io/name": "iris"},
            "annotations": {f"serin.dev/{key}": value for key, value in annotations.items()},
        },
        "spec": {"template": {"spec": {"containers": [{"name": "train", "args": ["--seed=7"]}]}}},
        "status": {
            "ready": int(not kind),
            "conditions": [{"type": kind, "status": "True"}] if kind else [],
        },
    }


def world(*jobs: Any, read_only: bool = False) -> World:
    """A cluster with these Jobs."""
    return World(objects={"jobs": [*jobs]}, read_only=read_only)


def start(where: World, **body: Any) -> tuple[int, dict[str, Any]]:
    """Status and answer of a request to start one."""
    answer = where.ask("POST", "/api/runs", json.dumps(body).encode())
    return answer.status_code, answer.json()


def test_runs_are_listed_with_how_far_they_are() -> None:
    """What cannot be read is left out, and spoils nothing."""
    where = world(job(progressPercentage="45"), {"metadata": {"name": IMAGE}})
    (run,) = where.get("/api/runs").json()["items"]

    assert (run["run"], run["state"], run["progressPercentage"]) == ("f78b7fe6", "Running", 45)
    assert where.get("/api/runs/f78b").json() == run


def test_a_run_that_is_not_there_is_404_as_json() -> None:
    """With a sentence, on every route."""
    for path in ("/api/runs/zz", "/api/runs/zz/events"):
        answer = world().get(path)
        assert (answer.status_code, answer.json()) == (404, {"error": "There is no run zz."})


def test_a_training_is_started_with_its_account_and_flags() -> None:
    """In place of one that is over."""
    where = world(job("Complete"))
    status, run = start(where, model="iris", flags=["--seed=8"])
    (made,) = where.objects["jobs"]

    assert (status, run["model"], run["flags"]) == (201, "iris", ["--seed=8"])
    assert made["spec"]["template"]["spec"]["containers"][0]["args"] == ["--seed=8"]
    assert {"serviceaccounts", "roles", "rolebindings"} <= set(where.objects)


def test_a_model_trains_once_at_a_time() -> None:
    """The second is refused, and the first is named."""
    where = world(job(progressPercentage="45"))
    status, told = start(where, model="iris")

    assert status == 409
    assert "run f78b7fe6 is running (45 %)" in told["error"]
    assert len(where.objects["jobs"]) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"model": 1}', 400),
        (b'{"model": "iris", "flags": "--seed=7"}', 400),
        (b'{"model": "iris", "flags": [7]}', 400),
        (b'{"model": "iris", "more": 1}', 400),
        (b'{"model": "iris", "flags": ["' + b"x" * 1000 + b'"]}', 400),
        (b"[" * 100_000, 400),
        (b'{"model": "../../kserve"}', 404),
        (b'{"model": ".."}', 404),
        (b'{"model": "wine"}', 404),
    ],
)
def test_what_cannot_be_started_is_refused(body: bytes, status: int) -> None:
    """In one sentence, and nothing is created."""
    where = world()
    answer = where.ask("POST", "/api/runs", body)

    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert where.objects["jobs"] == []


def test_a_run_is_cancelled_by_removing_its_job() -> None:
    """One that is over is not."""
    where = world(job())
    answer = where.ask("POST", "/api/runs/f78b7fe6/cancel", b"")
    over = world(job("Complete")).ask("POST", "/api/runs/f78b7fe6/cancel", b"")

    assert (answer.status_code, where.objects["jobs"]) == (202, [])
    assert (over.status_code, over.json()["error"]) == (
        409,
        "Run f78b7fe6 is over already: Complete.",
    )


def test_a_console_that_only_looks_changes_nothing() -> None:
    """Neither starts nor cancels."""
    where = world(job(), read_only=True)

    assert start(where, model="nli")[0] == 403
    assert where.ask("POST", "/api/runs/f78b/cancel", b"").status_code == 403
    assert len(where.objects["jobs"]) == 1


def test_a_right_that_is_missing_is_403_with_the_servers_sentence() -> None:
    """To list, to start in place of a run that is over, and to cancel: nothing is changed."""
    blind = World(forbidden=("list jobs",))
    refused = blind.get("/api/runs")
    assert refused.status_code == 403
    assert refused.json() == {"error": f"The Kubernetes API refuses: jobs is forbidden: {IMAGE}"}
    assert blind.get("/training/compare").status_code == 403

    over = World(objects={"jobs": [job("Complete")]}, forbidden=("create roles",))
    status, told = start(over, model="iris")
    assert (status, "may not create roles" in told["error"]) == (403, True)
    assert over.objects == {"jobs": [job("Complete")]}

    runs_on = World(objects={"jobs": [job()]}, forbidden=("delete jobs",))
    answer = runs_on.ask("POST", "/api/runs/f78b/cancel", b"")
    assert (answer.status_code, "may not delete jobs" in answer.json()["error"]) == (403, True)
    assert runs_on.objects == {"jobs": [job()]}


def test_a_run_is_watched_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event for each change; the last one says how it ended."""
    monkeypatch.setattr(runs, "LOOK_SECONDS", 0)
    where, looks = world(), iter([job(), job(), job(progressPercentage="45"), job("Complete")])

    class Moving(list[Any]):
        def __iter__(self) -> Any:
            return iter([next(looks)])

    where.objects["jobs"] = Moving([None])
    answer = where.get("/api/runs/f78b7fe6/events")
    events = [json.loads(part[6:]) for part in answer.text.strip().split("\n\n")]

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [event["state"] for event in events] == ["Running", "Running", "Complete"]
    assert events[1]["progressPercentage"] == 45


def test_the_description_has_every_route() -> None:
    """docs/api/runs.yaml, path by path and method by method."""
    document = yaml.safe_load((ROOT / "docs" / "api" / "runs.yaml").read_text("utf-8"))
    described = {
        (path, method.upper()) for path, item in document["paths"].items() for method in item
    }
    settings = Settings("t" * 32)
    sources = Sources.of(settings, Access("https://cluster", "models", TRUST, lambda: "t"))
    served = {
        (route.path, method)  # type: ignore[attr-defined]  # each is a Route
        for route in Runs(settings, sources, Rights(settings, sources.cluster)).routes()
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]  # same
    }

    assert described == served
