"""What people do on the second day, on a real platform: what they chose stays theirs."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.kubectl import Kubectl
from tests.support.platform import ROOT, Platform, wait_for

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: breaks, namespace: models}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: work, image: any, command: [python, -c, "raise SystemExit('no such data')"]}
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Two versions of iris; the second serves, by a patch."""
    made = Platform(tmp_path / "state")
    made.home.mkdir()
    made.serin("up", "iris")
    yield made
    made.serin("down")
    assert made.leftovers() == []


def train(platform: Platform, seed: int) -> str:
    """Publish another version of iris; its name."""
    printed = platform.serin("train", "iris", "--seed", str(seed)).stdout
    return printed.splitlines()[-1].rpartition("/")[2]


def canary(version: str, share: int) -> dict[str, Any]:
    """An entry of spec.canary."""
    model = {"modelFormat": {"name": "iris"}, "storageUri": f"s3://models/iris/{version}"}
    return {"trafficPercent": share, "predictor": {"name": "canary", "model": model}}


def shares(platform: Platform) -> tuple[int, ...]:
    """What `status --json` says that stable and its canaries get."""
    model = platform.state()["models"]["iris"]
    return (model["share"], *(one["share"] for one in model["canaries"]))


def serving(platform: Platform) -> str:
    """The version that answers."""
    return str(platform.infer()[1]["model_version"])


def kill_everything(platform: Platform) -> None:
    """What a power cut leaves: nothing."""
    for process in platform.processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # the kernel was first
            process.kill()
    wait_for(lambda: not platform.processes(), 60, "the end of all processes")


@pytest.mark.timeout(300)  # two trainings, three rollouts and two starts
def test_what_was_rolled_back_stays_so(platform: Platform) -> None:
    """Through a canary, a rollback, `kubectl apply`, a crash and `up`; `up --newest` moves on."""
    kubectl = Kubectl(platform)
    first = serving(platform)
    again = platform.serin("train", "iris").stderr
    assert "Already published; nothing new" in again
    second = train(platform, 7)
    assert "--seed 8" in platform.serin("train", "iris", "--seed", "7").stderr  # not the same again

    told = platform.serin("up", "iris").stderr
    assert f"iris serves {first}; {second} is newer: ./serin up --newest iris" in told
    assert serving(platform) == first

    kubectl.patch("isvc/iris", {"canary": [canary(second, 10)]})
    kubectl.run("wait", "isvc/iris", "--for=condition=CanaryPredictorReady", "--timeout=60s")
    wait_for(lambda: shares(platform) == (90, 10), 60, "the canary's share")
    for version in (first, second):  # each by its name, whatever the shares are
        asked = [platform.ask(f"/v2/models/iris/versions/{version}") for _ in range(20)]
        assert {(code, found["versions"][0]) for code, found in asked} == {(200, version)}
    lines = platform.serin("status").stdout.splitlines()
    assert lines[1].split() == ["iris", first, "1/1", "Ready"]
    assert lines[2].split() == ["└", "canary", "10", "%", second, "1/1", "Ready"]
    kubectl.patch("isvc/iris", {"canary": None})

    platform.serin("up", "--newest", "iris")
    assert serving(platform) == second

    rolled = platform.serin("rollback", "iris")
    assert rolled.stdout == f"iris serves {first}.\n"
    assert serving(platform) == first

    kubectl.run("apply", "-k", ROOT / "kserve")
    assert kubectl.out("diff", "-k", ROOT / "kserve") == ""
    placeholder = {"storageUri": "s3://models/iris/untrained"}  # as a cluster's overlay has it
    kubectl.patch("isvc/iris", {"predictor": {"model": placeholder}})
    assert serving(platform) == first
    kill_everything(platform)
    platform.serin("up", "iris")
    assert serving(platform) == first


@pytest.mark.timeout(400)
def test_status_says_what_is_wrong_with_what(platform: Platform) -> None:
    """A model without a version, a bad setting and a failed Job: each its row with its reason."""
    kubectl = Kubectl(platform)
    first = serving(platform)
    stranger = kubectl.get("isvc/iris")
    stranger["metadata"] = {"name": "grape", "namespace": "models"}
    stranger["spec"]["predictor"]["model"]["storageUri"] = "s3://models/grape"
    kubectl.run("apply", "-f", "-", text=json.dumps(stranger))
    kubectl.run("apply", "-f", "-", text=JOB)
    env = [{"name": "PREDICTOR_THREADS", "value": "many"}]
    kubectl.patch("isvc/iris", {"predictor": {"model": {"env": env}}})

    def rows() -> dict[str, str]:
        process = platform.start("status")
        out, _ = process.communicate(timeout=60)
        return {line.split(" ")[0]: line for line in out.splitlines() if line}

    wait_for(lambda: "Failed" in rows()["iris"], 60, "the bad setting to be told")
    wait_for(lambda: "Failed" in rows().get("breaks", ""), 60, "the Job to fail")
    seen = rows()
    condition = kubectl.out(
        *("get", "isvc/iris", "-o"),
        "jsonpath={.status.conditions[?(@.type=='PredictorReady')].message}",
    )

    assert "Unpublished  s3://models/grape has no published version" in seen["grape"]
    assert "bad settings: PREDICTOR_THREADS" in seen["iris"]
    assert seen["iris"].endswith(f"; {first} goes on serving")
    assert "bad settings: PREDICTOR_THREADS" in condition
    assert "no such data" in seen["breaks"]
    assert platform.infer()[0] == 200
