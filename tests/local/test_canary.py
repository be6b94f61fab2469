"""Canaries, impossible changes and Jobs by kubectl, with real predictors behind a real Envoy."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import trained
from tests.support.kubectl import Kubectl
from tests.support.load import Load
from tests.support.platform import ROOT, Platform, wait_for

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: NAME, namespace: models}
spec:
  backoffLimit: 1
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: work
          image: any
          command: [python, -c, "SCRIPT"]
          env:
            - {name: KEY, valueFrom: {secretKeyRef: {name: s3, key: AWS_ACCESS_KEY_ID}}}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
"""


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """Kubectl, and a platform that serves iris and has a second version of it."""
    platform = Platform(tmp_path_factory.mktemp("canary") / "state")
    platform.publish(trained.brief("iris"))
    try:
        platform.serin("up", "iris")
        platform.publish(trained.artifact("iris", "--seed=7"))
        yield Kubectl(platform)
    finally:
        platform.serin("down")
        assert platform.leftovers() == []


def uri(kubectl: Kubectl) -> str:
    """What stable serves."""
    found = kubectl.get("isvc/iris")["spec"]["predictor"]["model"]["storageUri"]
    return str(found)


def other(kubectl: Kubectl) -> str:
    """A version that stable does not serve."""
    folder = kubectl.platform.home / "s3" / "models" / "iris"
    now = uri(kubectl).rsplit("/", 1)[1]
    names = (manifest.parent.name for manifest in folder.glob("*/MANIFEST.json"))
    return next(f"s3://models/iris/{name}" for name in names if name != now)


def canary(percent: int, storage_uri: str) -> dict:
    """spec.canary with one entry."""
    model = {"modelFormat": {"name": "iris"}, "storageUri": storage_uri}
    predictor = {"name": "canary", "model": model}
    return {"canary": [{"trafficPercent": percent, "predictor": predictor}]}


def test_the_drill_loses_nothing_and_shares_as_told(kubectl: Kubectl) -> None:
    """10 → 50 → 100 → promote → roll back by kubectl patch, under an open load."""
    command = [sys.executable, "tests/drills/canary.py", "--url", kubectl.platform.url]
    command += ["--to", other(kubectl), "--rate", "100", "--window", "150"]
    before = uri(kubectl)

    done = subprocess.run(
        command, env=kubectl.env, cwd=ROOT, capture_output=True, text=True, timeout=115, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["lost"] == 0
    assert found["requests"] > 1000
    assert uri(kubectl) == before
    assert "canary" not in kubectl.get("isvc/iris")["spec"]


def test_a_canary_that_never_becomes_ready_gets_no_request(kubectl: Kubectl) -> None:
    """Its condition says so, stable keeps its weight, and nothing is lost."""
    with Load(kubectl.platform, clients=1) as load:
        kubectl.patch("isvc/iris", canary(50, "s3://models/iris/000000000000"))
        kubectl.run(
            *("wait", "deploy/iris-canary-predictor", "--for=condition=Progressing=False"),
            "--timeout=50s",
        )
        answered = load.answered
        wait_for(lambda: load.answered > answered + 20, 60, "answers beside the canary")
        status = kubectl.get("isvc/iris")["status"]
        weights = kubectl.weights()
        kubectl.patch("isvc/iris", {"canary": None})

    conditions = {one["type"]: one for one in status["conditions"]}
    assert load.failures == []
    assert set(load.versions) == {uri(kubectl).rsplit("/", 1)[1]}
    assert weights == {"iris-predictor": 1}
    assert conditions["CanaryPredictorReady"]["status"] == "False"
    assert "is not published" in conditions["CanaryPredictorReady"]["message"]
    assert conditions["Ready"]["status"] == "True"
    assert status["canaryStatuses"] == [{"name": "canary", "ready": False, "trafficPercent": 50}]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"storageUri": "s3://models/iris/000000000000"}, "is not published"),
        ({"command": ["python", "-c", "raise SystemExit('no such model')"]}, "no such model"),
        ({"runtime": "nowhere"}, "names the ServingRuntime nowhere"),
    ],
)
def test_an_impossible_change_leaves_what_serves_and_says_why(
    kubectl: Kubectl, model: dict[str, object], said: str
) -> None:
    """In the conditions, the Events and `serin status`; the change back is served at once."""
    before = uri(kubectl)
    pods = {pod["pid"] for pod in kubectl.platform.pods() if pod["ready"]}
    undo = {"storageUri": before, "command": None, "runtime": "serin-iris"}
    with Load(kubectl.platform, clients=1) as load:
        kubectl.patch("isvc/iris", {"predictor": {"model": model}})
        wait_for(
            lambda: said in str(kubectl.get("isvc/iris")["status"]["conditions"]), 60, "the reason"
        )
        told = kubectl.platform.serin("status", expect=1).stdout
        events = kubectl.out("events", "--for", "InferenceService/iris")
        still = {pod["pid"] for pod in kubectl.platform.pods() if pod["ready"]}
        kubectl.patch("isvc/iris", {"predictor": {"model": undo}})
        wait_for(lambda: kubectl.platform.pods() and _is_ready(kubectl), 60, "iris to be Ready")

    assert load.failures == []
    assert set(load.versions) == {before.rsplit("/", 1)[1]}
    assert still == pods
    assert said in events
    assert said.split(maxsplit=1)[0] in told


def _is_ready(kubectl: Kubectl) -> bool:
    return bool(kubectl.platform.state()["models"]["iris"]["state"] == "Ready")


def test_a_weight_reaches_envoy(kubectl: Kubectl) -> None:
    """A patch of trafficPercent alone: Envoy's file and an Event tell it, the same pods serve."""
    kubectl.patch("isvc/iris", canary(20, other(kubectl)))
    kubectl.run("wait", "isvc/iris", "--for=condition=CanaryPredictorReady", "--timeout=60s")
    routes = kubectl.platform.home / "envoy" / "rds" / "routes.json"
    before = [pod["pid"] for pod in kubectl.platform.pods()]

    kubectl.patch("isvc/iris", canary(70, other(kubectl)))
    wait_for(lambda: '"weight": 70' in routes.read_text("utf-8"), 60, "the weight in Envoy's file")
    after = [pod["pid"] for pod in kubectl.platform.pods()]
    kubectl.patch("isvc/iris", {"canary": None})

    def described(*events: str) -> bool:
        shown = kubectl.out("describe", "isvc/iris")
        return all(event in shown for event in events)

    assert after == before
    assert described("Canary [canary] is ready", "canary [canary] 0 → 20 %, stable 100 → 80 %")
    assert described("canary [canary] 20 → 70 %, stable 80 → 30 %")
    wait_for(lambda: described("canary [canary] 70 → 0 %, stable 30 → 100 %"), 60, "the last Event")


def job(name: str, script: str) -> str:
    """A Job that runs a line of Python."""
    return JOB.replace("NAME", name).replace("SCRIPT", script)


def test_a_job_runs_and_tells(kubectl: Kubectl) -> None:
    """Logs while it runs, the Secret's key in its environment, TMPDIR of its own, completion."""
    script = "import os, tempfile; print(len(os.environ['KEY']) > 0, tempfile.gettempdir())"
    kubectl.run("apply", "-f", "-", text=job("talks", script))

    log = kubectl.out("logs", "-f", "--pod-running-timeout=30s", "job/talks")
    kubectl.run("wait", "--for=condition=complete", "job/talks", "--timeout=30s")

    assert log.startswith("True /")
    assert "volumes" in log
    assert kubectl.get("job/talks")["status"]["succeeded"] == 1
    kubectl.run("delete", "job/talks")
    assert "talks" not in kubectl.out("get", "pods", "-o", "name")


def test_a_job_that_fails_is_tried_again_up_to_its_limit(kubectl: Kubectl) -> None:
    """One pod a try; the Job says why it gave up."""
    kubectl.run("apply", "-f", "-", text=job("fails", "raise SystemExit(3)"))

    kubectl.run("wait", "--for=condition=failed", "job/fails", "--timeout=40s")

    status = kubectl.get("job/fails")["status"]
    pods = kubectl.out("get", "pods", "-l", "job-name=fails", "-o", "name").split()
    assert status["failed"] == len(pods) == 2
    assert status["conditions"][-1]["reason"] == "BackoffLimitExceeded"
    kubectl.run("delete", "job/fails")


def test_deleting_a_job_ends_its_process(kubectl: Kubectl) -> None:
    """And its pod goes with it."""
    kubectl.run("apply", "-f", "-", text=job("sleeps", "import time; time.sleep(600)"))
    wait_for(lambda: _sleepers(kubectl) == 1, 90, "the Job's process")

    kubectl.run("delete", "job/sleeps")

    wait_for(lambda: _sleepers(kubectl) == 0, 60, "the process's end")
    wait_for(
        lambda: "sleeps" not in kubectl.out("get", "pods", "-o", "name"), 60, "the pod's removal"
    )


def _sleepers(kubectl: Kubectl) -> int:
    return sum("time.sleep(600)" in " ".join(p.cmdline()) for p in kubectl.platform.processes())
