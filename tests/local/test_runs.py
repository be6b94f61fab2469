"""Trainings as Jobs that one starts, watches, kills and cancels: `train --job` and `runs`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from predictors.runtime import read_artifact
from tests.support import trained
from tests.support.kubectl import Kubectl
from tests.support.platform import ROOT, Platform, wait_for
from tests.support.terminal import Terminal

SECONDS = 250
pytestmark = pytest.mark.timeout(600)  # several trainings, each a Python that imports scikit-learn
COLUMNS = ROOT / "training" / "jobs" / "columns.txt"
FLAGS = ("--set", "trees=60", "--set", "shifts=0")
"""Of mnist-forest: from its record to its version it takes many looks at a folder."""
LONG = ("--set", "trees=500", "--set", "shifts=0")
"""As a verb takes to start, many times."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that serves iris."""
    platform = Platform(tmp_path_factory.mktemp("runs") / "state")
    platform.publish(trained.brief("iris"))
    try:
        platform.serin("up", "iris")
        yield platform
    finally:
        platform.serin("down")


def runs(platform: Platform, model: str) -> list[dict[str, Any]]:
    """A model's runs, the newest first."""
    items: list[dict[str, Any]] = json.loads(platform.serin("runs", "list", "-o", "json").stdout)[
        "items"
    ]
    return [run for run in items if run["model"] == model]


def recorded(platform: Platform, model: str) -> list[Path]:
    """The records in a model's part of the store."""
    return list((platform.home / "s3" / "models" / model / "runs").glob("*.json"))


def versions(platform: Platform, model: str) -> list[Path]:
    """The published versions of a model."""
    manifests = (platform.home / "s3" / "models" / model).glob("*/MANIFEST.json")
    return [path.parent for path in manifests]


def trainers(platform: Platform) -> list[psutil.Process]:
    """The processes that train mnist-forest."""
    found = []
    for process in platform.processes():
        try:
            if "training.mnist_forest" in process.cmdline():
                found.append(process)
        except psutil.Error:  # it ended meanwhile
            continue
    return found


def halted(platform: Platform, before: set[Path]) -> psutil.Process:
    """The training of mnist-forest, stopped where it has its record and no version yet."""
    wait_for(lambda: set(recorded(platform, "mnist-forest")) - before, SECONDS, "the run's record")
    (trainer,) = trainers(platform)
    trainer.suspend()
    return trainer


def test_a_job_says_how_far_it_is_wherever_one_looks(platform: Platform) -> None:
    """In kubectl, status and the runs; its record is the lineage of its version."""
    made = platform.serin("train", "iris", "--job", "--set", "seed=7", seconds=SECONDS)
    version = made.stdout.strip().rpartition("/")[2]
    kubectl = Kubectl(platform)
    seen = kubectl.out("get", "job/train-iris", f"-ocustom-columns-file={COLUMNS}").splitlines()
    (run,) = runs(platform, "iris")
    (row,) = (job for job in platform.state()["jobs"] if job["name"] == "train-iris")
    shown = platform.serin("models", "show", "iris", version).stdout
    described = platform.serin("runs", "show", run["run"][:6]).stdout

    assert made.stdout == f"s3://models/iris/{version}\n"
    assert seen[0].split()[:3] == ["NAME", "STATUS", "PROGRESS"]
    assert seen[1].split()[:3] == ["train-iris", "Complete", "100"]
    assert version in seen[1]
    assert (run["state"], run["flags"], run["progressPercentage"]) == (
        "Complete",
        ["--seed=7"],
        100,
    )
    assert [gate["passed"] for gate in run["gates"]] == [True, True]
    assert run["data"]["seed"] == 7
    assert row["progress"].startswith("100 %, accuracy 0.")
    assert run["run"] in shown
    assert "--seed=7" in described
    assert "parity: 50 flowers" in platform.serin("runs", "logs", "train-iris").stdout


def test_a_killed_training_is_tried_again_and_publishes_one_version(platform: Platform) -> None:
    """The Job's next pod; a second Job of the model is refused meanwhile."""
    before = set(recorded(platform, "mnist-forest"))
    with platform.start("train", "mnist-forest", "--job", *FLAGS) as watched:
        trainer = halted(platform, before)
        refused = platform.serin("train", "mnist-forest", "--job", expect=1)
        trainer.kill()
        out, err = watched.communicate(timeout=SECONDS)
    (version,) = versions(platform, "mnist-forest")
    (row,) = (job for job in platform.state()["jobs"] if job["name"] == "train-mnist-forest")

    assert "mnist-forest has a training already, one at a time" in refused.stderr
    assert watched.returncode == 0, err
    assert out == f"s3://models/mnist-forest/{version.name}\n"
    assert (row["state"], row["tries"]) == ("Complete", 2)
    assert read_artifact(version).model == "mnist-forest"
    run = runs(platform, "mnist-forest")[0]
    assert run["storageUri"].endswith(version.name)


def test_ctrl_c_leaves_a_job_running_and_cancel_leaves_nothing_half(platform: Platform) -> None:
    """The verb says how to go on; the cancelled run has a record, and no version."""
    versions_before = set(versions(platform, "mnist-forest"))
    before = set(recorded(platform, "mnist-forest"))
    settings = {"SERIN_HOME": str(platform.home), "SERIN_S3_PORT": "0", "KUBECONFIG": ""}
    watched = Terminal(settings=settings).begin("train", "mnist-forest", "--job", *LONG)
    watched.until("Running", SECONDS)
    trainer = halted(platform, before)
    watched.interrupt()
    left = watched.ended()
    run = runs(platform, "mnist-forest")[0]
    trainer.resume()
    cancelled = platform.serin("runs", "cancel", run["run"], seconds=SECONDS)
    after = runs(platform, "mnist-forest")[0]

    assert left.code == 130
    assert f"Watch it: ./serin runs logs {run['run']} -f" in left.words
    assert (run["state"], run["flags"]) == ("Running", ["--trees=500", "--shifts=0"])
    assert "nothing was published" in cancelled.stdout
    assert (after["run"], after["state"], after["storageUri"]) == (run["run"], "Stopped", "")
    assert set(versions(platform, "mnist-forest")) == versions_before
    assert trainers(platform) == []
    again = platform.serin("runs", "cancel", run["run"], expect=1)
    assert "is over already: Stopped" in again.stderr
