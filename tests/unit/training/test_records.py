"""What is kept of a run, and what it may cost."""

import json
import threading
from typing import cast

import pytest

from training.publish import records
from training.publish.registry import Registry, StoreError
from training.run import Run


class Store:
    """A registry that keeps objects, or fails as it is told."""

    def __init__(
        self, error: Exception | None = None, until: threading.Event | None = None
    ) -> None:
        self.kept: dict[str, bytes] = {}
        self._error = error
        self._until = until

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        if self._until:
            self._until.wait(60)
        if self._error:
            raise self._error
        self.kept[key] = body


def run(job: str = "train-iris") -> Run:
    """One of seed 7."""
    environment = {"JOB_UID": "f78b7fe6-5469", "JOB_NAME": job, "RUN_BY": "ada"}
    found = Run.of(environment, ["--seed=7"])
    found.model = "iris"
    return found


def test_a_jobs_run_is_recorded_from_its_beginning_to_its_end() -> None:
    """Who, which flags, what came of it; at one key."""
    store, this = Store(), run()
    records.begin(cast("Registry", store), this)
    begun = json.loads(store.kept["iris/runs/f78b7fe6.json"])
    this.gate("accuracy", 0.98, 0.9, passed=True)
    this.published("s3://models/iris/1")
    this.end("Complete")
    this.keep()
    (raw,) = store.kept.values()
    ended = json.loads(raw)

    assert (begun["state"], begun["endedAt"]) == ("Running", "")
    assert (ended["state"], ended["by"], ended["flags"]) == ("Complete", "ada", ["--seed=7"])
    assert ended["storageUri"] == "s3://models/iris/1"
    assert ended["gates"][0]["passed"] is True
    assert ended["endedAt"]


def test_a_run_that_nobody_named_is_not_recorded() -> None:
    """A script that a person starts by itself leaves nothing beside its version."""
    store, this = Store(), Run.of({}, [])
    this.model = "iris"
    records.begin(cast("Registry", store), this)
    this.keep()

    assert store.kept == {}


def test_a_store_that_takes_no_record_fails_no_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said, and that is all."""
    store, this = Store(StoreError("the store's disk is full")), run()
    records.begin(cast("Registry", store), this)

    assert "run f78b7fe6 is not recorded" in capsys.readouterr().err


def test_a_store_that_does_not_answer_holds_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training goes on after a while."""
    monkeypatch.setattr(records, "SECONDS", 0.05)
    answered = threading.Event()
    records.begin(cast("Registry", Store(until=answered)), run())
    answered.set()

    assert "the store took too long" in capsys.readouterr().err
