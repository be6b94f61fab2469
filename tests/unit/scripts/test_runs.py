"""Runs as verbs see them: Jobs and records as one list, one Job a model, what is shown."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane import trainingjobs
from controlplane.console.pages import training
from controlplane.errors import SerinError
from controlplane.kubernetes import trainings
from controlplane.kubernetes.client import Conflict, Kubernetes
from controlplane.store import runs as records
from controlplane.store.s3 import Store
from scripts.runs import listed, shown, start
from scripts.runs.listed import Place
from tests.support.predictor import discovered_models

UID = "f78b7fe6-5469-403e-b03c-c2cf065cd598"
Object = dict[str, Any]


class Api:
    """A cluster's API that keeps objects by plural and name."""

    namespace = "models"

    def __init__(self, *jobs: Object) -> None:
        self.kept: dict[tuple[str, str], Object] = {
            ("jobs", job["metadata"]["name"]): job for job in jobs
        }
        self.faster: Object | None = None

    def get(self, plural: str, name: str) -> Object | None:
        """One object."""
        return self.kept.get((plural, name))

    def list(self, plural: str, labels: str = "") -> list[Object]:
        """All of a kind."""
        return [found for (kind, _), found in self.kept.items() if kind == plural]

    def create(self, plural: str, one: Object) -> Object:
        """Add an object, unless somebody was faster."""
        if self.faster:
            raise Conflict("it is there already")
        one["metadata"]["uid"] = UID
        self.kept[plural, one["metadata"]["name"]] = one
        return one

    def delete(self, plural: str, name: str) -> None:
        """Remove an object."""
        del self.kept[plural, name]


def job(kind: str = "", name: str = "train-iris", **annotations: object) -> Object:
    """A training Job of iris; `kind` is a condition."""
    return {
        "kind": "Job",
        "metadata": {
            "name": name,
            "uid": UID,
            "labels": {"app.kubernetes.io/name": "iris"},
            "annotations": {f"serin.dev/{key}": value for key, value in annotations.items()},
        },
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "train",
                            "args": ["--seed=7"],
                            "env": [{"name": "RUN_BY", "value": "ada"}],
                        }
                    ]
                }
            }
        },
        "status": {
            "ready": int(not kind),
            "startTime": "2026-11-28T12:00:00Z",
            "conditions": [{"type": kind, "status": "True"}] if kind else [],
        },
    }


def record(run: str, state: str = "Complete", **more: object) -> Object:
    """What a training kept."""
    return {
        "run": run,
        "model": "iris",
        "state": state,
        "flags": ["--seed=3"],
        "beganAt": "2026-11-28T11:00:00Z",
        "log": ["accuracy 0.98"],
        **more,
    }


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Object]:
    """The store's records."""
    found: list[Object] = []
    monkeypatch.setattr(records, "records", lambda _store: found)
    return found


def place(*jobs: Object) -> Place:
    """A cluster with these Jobs, and a store."""
    api = cast("Kubernetes", Api(*jobs))
    return Place(api, Store("http://127.0.0.1:9", "a", "b"), on_laptop=True)


def test_a_job_says_its_state_and_its_record_the_rest(kept: list[Object]) -> None:
    """What is there now comes before what was written at the beginning."""
    kept.append(record(UID[:8], "Running", code={"sha256": "1"}))
    (run,) = listed.every(place(job(progressPercentage="45", estimatedRemainingSeconds="12")))

    assert (run["state"], run["progressPercentage"], run["by"]) == ("Running", 45, "ada")
    assert run["code"] == {"sha256": "1"}
    assert run["flags"] == ["--seed=7"]


@pytest.mark.parametrize(("uri", "state"), [("", "Waiting"), ("s3://models/iris/1f2e", "Running")])
def test_a_job_whose_pod_has_published_waits_for_none(uri: str, state: str) -> None:
    """Between the end of its pod and its condition, on a cluster; the console says the same."""
    ended = job(storageUri=uri)
    ended["status"]["ready"] = 0

    assert trainings.state(ended) == training.run(ended, []).state == state


@pytest.mark.parametrize(("reason", "said"), [("OOMKilled", "more memory than"), ("Error", "")])
def test_a_pod_that_ran_out_of_memory_is_named(reason: str, said: str) -> None:
    """A cluster's Job says only that its limit of tries is reached."""
    where, ended = place(job("Failed")), {"terminated": {"reason": reason, "exitCode": 137}}
    status = {"containerStatuses": [{"name": "train", "state": ended}]}
    pod = {"metadata": {"name": "train-iris-x"}, "status": status}
    cast("Api", where.api).kept["pods", "train-iris-x"] = pod
    (run,) = trainingjobs.merged(listed.jobs(where.api), ())

    why = listed.killed(where, run)
    assert (said in why, bool(why)) == (True, bool(said))


def test_a_run_whose_job_went_without_a_word_is_lost(kept: list[Object]) -> None:
    """Its record says that it runs, and nothing does."""
    kept.append(record("03c1aaaa", "Running"))
    (run,) = listed.every(place())

    assert run["state"] == "Lost"


@pytest.mark.parametrize(
    "spoiled",
    [
        {"state": 1},
        {"model": None},
        {"metrics": [1]},
        {"metrics": {"accuracy": float("nan")}},
        {"gates": {"a": 1}},
        {"gates": [1]},
    ],
)
def test_a_record_of_another_form_spoils_itself_alone(spoiled: Object, kept: list[Object]) -> None:
    """Whoever may write to the store may write anything."""
    kept += [{**record("03c1aaaa"), **spoiled}, record("03c1bbbb")]

    assert [run["run"] for run in listed.every(place())] == ["03c1bbbb"]


def test_a_run_is_found_by_its_beginning_or_its_job(kept: list[Object]) -> None:
    """What several begin with, and what none does, is said with those that there are."""
    kept += [record("03c1aaaa"), record("03c1bbbb")]
    here = place(job())

    assert listed.find(here, "03c1b")["run"] == "03c1bbbb"
    assert listed.find(here, "train-iris")["run"] == UID[:8]
    with pytest.raises(SerinError, match=r"begins several runs: 03c1aaaa \(iris\), 03c1bbbb"):
        listed.find(here, "03")
    with pytest.raises(SerinError, match=r"There is no run zz\. There are: f78b7fe6 \(iris\)"):
        listed.find(here, "zz")


def test_a_run_that_is_over_leaves_the_end_of_its_log(kept: list[Object]) -> None:
    """Where its pod is gone."""
    kept.append(record("03c1aaaa"))
    here = place()

    assert listed.log(here, listed.find(here, "03c1")) == "accuracy 0.98\n"


@pytest.mark.parametrize(
    "annotations",
    [
        {"progressPercentage": "x", "metrics": "[", "gates": "{}"},
        {"progressPercentage": "nan", "metrics": '[{"name": 1, "value": "2"}, 3]'},
        {"progressPercentage": "9" * 5000, "metrics": '[{"name": "a", "value": "inf"}]'},
        {"estimatedRemainingSeconds": None, "metrics": "[" * 100_000},
    ],
)
def test_annotations_of_anybody_harm_nobody(annotations: dict[str, str]) -> None:
    """What is not of the form is as if it were not said."""
    told = trainings.progress(job(**annotations))

    assert (told.percent, told.remaining, dict(told.metrics)) == (None, None, {})
    assert trainings.words(told.percent, told.remaining, told.metrics) == ""


def test_progress_is_said_in_the_units_of_people() -> None:
    """A percentage, the time left, the first metric."""
    told = trainings.progress(
        job(
            progressPercentage="45",
            estimatedRemainingSeconds="125",
            metrics='[{"name": "loss", "value": "0.2347"}]',
        )
    )

    assert trainings.words(told.percent, told.remaining, told.metrics) == (
        "45 %, 2 min left, loss 0.2347"
    )


@pytest.mark.parametrize("model", discovered_models())
def test_every_models_job_can_be_started(model: str) -> None:
    """With its account before it, its flags after those of the manifest, and who started it."""
    api = Api()
    made = start.start(cast("Kubernetes", api), model, start.documents(model, None), ["--seed=7"])
    container = made["spec"]["template"]["spec"]["containers"][0]

    assert container["args"] == ["--seed=7"]
    assert [one["name"] for one in container["env"]].count("RUN_BY") == 1
    assert [plural for plural, _ in api.kept] == [
        "serviceaccounts",
        "roles",
        "rolebindings",
        "jobs",
    ]


@pytest.mark.parametrize("name", ["train-iris", "train-iris-again"])
def test_a_model_trains_once_at_a_time(name: str) -> None:
    """The one that runs is named, with how far it is and how to watch or cancel it."""
    api = cast("Kubernetes", Api(job(name=name, progressPercentage="45")))

    with pytest.raises(SerinError) as refused:
        start.start(api, "iris", start.documents("iris", None), [])

    assert "run f78b7fe6 is running (45 %)" in str(refused.value)
    assert "./serin runs cancel f78b7fe6" in str(refused.value)


def test_a_job_that_is_over_gives_way() -> None:
    """And one that somebody else creates in the same moment does not."""
    api = Api(job("Complete"))
    start.start(cast("Kubernetes", api), "iris", start.documents("iris", None), [])
    made = api.kept["jobs", "train-iris"]
    api.kept.clear()
    api.faster = made

    assert not trainings.is_over(made)
    with pytest.raises(SerinError, match="Another training of iris began just now"):
        start.start(cast("Kubernetes", api), "iris", start.documents("iris", None), [])


def test_a_model_without_a_job_says_so(tmp_path: Path) -> None:
    """By the folder where it would be."""
    with pytest.raises(SerinError, match="training/jobs/wine does not exist: wine has no Job"):
        start.documents("wine", None)


def test_two_runs_differ_in_what_decides_them() -> None:
    """Flags, metrics, gates, data and code; not in when they were."""
    gate = {"name": "accuracy", "limit": 0.9, "passed": True}
    first = record("03c1aaaa", gates=[{**gate, "value": 0.96}], data={"seed": 3})
    second = record("03c1bbbb", gates=[{**gate, "value": 0.98}], data={"seed": 4})
    second["beganAt"] = "2026-11-28T12:00:00Z"

    assert trainingjobs.differences(first, second) == [
        ("data.seed", 3, 4),
        ("gate accuracy", "passed: 0.96 (limit 0.9)", "passed: 0.98 (limit 0.9)"),
    ]


def test_a_row_has_dashes_for_what_is_not_known() -> None:
    """Of a run that began, and said nothing yet."""
    now = datetime(2026, 11, 28, 12, 0, 30, tzinfo=UTC)
    row = shown.row(trainingjobs.run_of(job()), now)

    assert row == ("f78b7fe6", "iris", "Running", "–", "–", "30 s", "--seed=7")
    assert "--seed=7" in shown.description(trainingjobs.run_of(job()))


def test_a_narrow_terminal_has_no_column_of_flags() -> None:
    """What is left fits into 80 columns, whole."""
    running = job(
        progressPercentage="45",
        estimatedRemainingSeconds="2700",
        metrics='[{"name": "samples_per_second", "value": "310.5"}]',
    )
    running["metadata"]["labels"]["app.kubernetes.io/name"] = "mnist-forest"
    over = record("03c1aaaa", metrics={"accuracy": 0.98765}, progressPercentage=100)
    over["storageUri"] = "s3://models/iris/31f3a9ed26f7"
    header, *rows = shown.table([trainingjobs.run_of(running), over], 80)
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]

    assert header == shown.HEADER[:-1]
    assert shown.table([over], None)[0] == shown.HEADER
    assert sum(widths) + 2 * (len(widths) - 1) <= 80
    assert rows[0][3] == "45 %, 45 min left"
