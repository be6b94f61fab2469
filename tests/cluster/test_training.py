"""Trainings as things in a cluster: how far one is, one that is killed, one that is cancelled."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from controlplane.store import artifacts
from controlplane.store.s3 import Store
from tests.support.cluster import Cluster, serin, store, uri, wait
from tests.support.console_pod import documents, entered, page, put
from tests.support.required import ROOT

COLUMNS = ROOT / "training" / "jobs" / "columns.txt"
FOREST = "mnist-forest"
LONG = ("trees=200", "shifts=1", f"seed={int(time.time())}")
"""Long enough to be looked at, and killed half way; no run before has published its version."""
START = ("train", FOREST, "--job", *(word for one in LONG for word in ("--set", one)))
SECONDS = 900


@pytest.fixture
def environment(cluster: Cluster) -> Iterator[Mapping[str, str]]:
    """Of verbs that know the cluster's store; afterwards each Job is of the version before."""
    were = {
        model: bool(cluster.get("jobs", f"--field-selector=metadata.name=train-{model}")["items"])
        for model in ("iris", FOREST)
    }
    with store(cluster) as found:
        yield found
        for model, there in were.items():
            if there and flags(cluster, model) != ["--smoke"]:
                serin(found, "train", model, "--job", "--set", "smoke", seconds=SECONDS)
            elif not there:
                gone = (f"job/train-{model}", "--ignore-not-found")
                cluster.kubectl("-n", "models", "delete", *gone, seconds=120)


def flags(cluster: Cluster, model: str) -> list[str]:
    """Of a model's Job."""
    job = cluster.get("job", f"train-{model}")
    found: list[str] = job["spec"]["template"]["spec"]["containers"][0].get("args", [])
    return found


def runs(environment: Mapping[str, str], model: str) -> list[dict[str, Any]]:
    """A model's runs, the newest first."""
    items = json.loads(serin(environment, "runs", "list", "-o", "json"))["items"]
    return [run for run in items if run["model"] == model]


def versions(environment: Mapping[str, str], model: str) -> set[str]:
    """Those that are published whole."""
    names = ("SERIN_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    endpoint, access, secret = (environment[name] for name in names)
    found = Store(endpoint, access, secret)
    return set(artifacts.published(found, f"s3://models/{model}"))


def percent(cluster: Cluster) -> int:
    """What the forest's Job says in its annotations; 0 before it says anything."""
    jobs = cluster.get("jobs", f"--field-selector=metadata.name=train-{FOREST}")["items"]
    told = jobs[0]["metadata"].get("annotations", {}) if jobs else {}
    return int(told.get("serin.dev/progressPercentage", 0))


@contextmanager
def started(environment: Mapping[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A verb while the block runs; it is killed where it outlives that."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "scripts.cli", *arguments],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_job_says_how_far_it_is_wherever_one_looks(
    cluster: Cluster, environment: Mapping[str, str]
) -> None:
    """In kubectl and in the runs; its record is the lineage of its version."""
    said = serin(environment, "train", "iris", "--job", "--set", "seed=7", seconds=SECONDS)
    version = said.split("s3://models/iris/")[1].split()[0]
    columns = ("get", "job/train-iris", f"-ocustom-columns-file={COLUMNS}")
    head, row = cluster.kubectl("-n", "models", *columns).splitlines()
    wide = cluster.kubectl("-n", "models", "get", "jobs", "-o", "wide")
    run = runs(environment, "iris")[0]
    shown = serin(environment, "models", "show", "iris", version)

    assert head.split()[:3] == ["NAME", "STATUS", "PROGRESS"]
    assert row.split()[:3] == ["train-iris", "Complete", "100"]
    assert version in row
    assert [line.split()[:2] for line in wide.splitlines() if line.startswith("train-iris ")] == [
        ["train-iris", "Complete"]
    ]
    assert (run["state"], run["storageUri"]) == ("Complete", uri(version))
    assert (run["flags"], run["progressPercentage"]) == (["--seed=7"], 100)
    assert [gate["passed"] for gate in run["gates"]] == [True, True]
    assert run["run"] in shown


@pytest.mark.image("console")
def test_a_training_that_is_killed_half_way_gives_one_version(
    cluster: Cluster, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """Its pod is killed and another one goes on; kubectl, runs and the console see it run."""
    before = versions(environment, FOREST)
    objects = documents(tmp_path)
    try:
        put(cluster, objects)
        with entered(cluster) as console, started(environment, *START) as watched:
            wait(lambda: 0 < percent(cluster) < 90, SECONDS, "a step of it", cluster.pods)
            (pod,) = cluster.get("pods", "-l", f"job-name=train-{FOREST}")["items"]
            wait(partial(draws, console), 60, "the console's page to show its progress")
            cluster.kubectl("-n", "models", "delete", "pod", pod["metadata"]["name"], "--now")
            run = runs(environment, FOREST)[0]
            refused = serin(environment, *START, expect=1)
            out, err = watched.communicate(timeout=SECONDS)
            assert watched.returncode == 0, err
            text = page(console, f"/training/train-{FOREST}")
    finally:
        cluster.api.delete(objects, 120)
    (version,) = versions(environment, FOREST) - before
    after = runs(environment, FOREST)[0]

    assert run["flags"] == [f"--{one}" for one in LONG]
    assert "has a training already, one at a time" in refused
    assert out == f"{uri(version, FOREST)}\n"
    assert cluster.get("job", f"train-{FOREST}")["status"]["failed"] == 1
    assert (after["run"], after["state"]) == (run["run"], "Complete")
    assert after["storageUri"] == uri(version, FOREST)
    assert version in text


def draws(console: httpx.Client) -> bool:
    """Whether the page of the run says a part of its way, and that it runs."""
    text = page(console, f"/training/train-{FOREST}")
    row = text.split('<tr class="chosen">')[1].split("</tr>")[0]
    return ">Running<" in row and " %" in row and " left" in row


def test_a_training_that_is_cancelled_publishes_nothing(
    cluster: Cluster, environment: Mapping[str, str]
) -> None:
    """Half way: its Job and pods are gone, its record says so, and there is no version of it."""
    before = versions(environment, FOREST)
    with started(environment, *START, "--set", "trees=199") as watched:
        wait(lambda: 0 < percent(cluster) < 90, SECONDS, "a step of it", cluster.pods)
        run = runs(environment, FOREST)[0]
        said = serin(environment, "runs", "cancel", run["run"])
        _, err = watched.communicate(timeout=SECONDS)
    after = runs(environment, FOREST)[0]

    assert "nothing was published" in said
    assert watched.returncode == 1
    assert "was deleted while it ran" in err
    assert (after["run"], after["state"], after["storageUri"]) == (run["run"], "Stopped", "")
    assert versions(environment, FOREST) == before
    assert cluster.get("pods", "-l", f"job-name=train-{FOREST}")["items"] == []
