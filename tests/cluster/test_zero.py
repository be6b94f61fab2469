"""A model at 0 replicas: the activator holds who asks, KEDA wakes it, nobody is lost."""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from controlplane.cluster.kubectl import render
from predictors.runtime.lean_kserve import pb
from tests.support.cluster import CANARY, FLOWER, MODEL, Cluster, wait
from tests.support.required import ROOT

pytestmark = pytest.mark.image("activator")
DEPLOYMENT = "iris-predictor"
COLD = 55  # seconds: more than a start takes, less than the route's limit
SOON = {"cooldownPeriod": 5, "initialCooldownPeriod": 5}
REQUEST = {"inputs": [FLOWER]}
Say = Callable[[str], None]


def flower() -> Any:
    """The request over gRPC."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="input-0", datatype="FP32", shape=[1, 4])
    message = pb.ModelInferRequest(model_name=MODEL, inputs=[tensor])
    message.raw_input_contents.append(np.array(FLOWER["data"], np.float32).tobytes())
    return message


@pytest.fixture(scope="module")
def sleepy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Iris with the component, asleep seconds after the last request."""
    folder = tmp_path_factory.mktemp("zero")
    kserve = Path(os.path.relpath(ROOT / "kserve", folder))  # kustomize's way
    overlay = {
        "resources": [str(kserve / "overlays" / "testbed")],
        "components": [str(kserve / "components" / "scale-to-zero")],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    documents = render(folder)
    (scaled,) = ours(documents, "ScaledObject", DEPLOYMENT)
    scaled["spec"] |= SOON
    metadata = scaled["spec"]["triggers"][0]["metadata"]
    metadata["query"] = metadata["query"].replace("[1m]", "[15s]")
    activator = [one for one in documents if one["metadata"]["name"] == "activator"]
    cluster.api.apply([*activator, scaled])
    status = ("-n", "models", "rollout", "status", "deployment/activator", "--timeout=120s")
    cluster.kubectl(*status, seconds=130)
    wait(lambda: seen(cluster), 240, "Prometheus to see the activator, after its new configuration")
    yield cluster
    awake = ours(render(ROOT / "kserve" / "overlays" / "testbed"), "ScaledObject", DEPLOYMENT)
    cluster.api.apply(awake)
    wait(lambda: cluster.replicas() >= 1, 120, "iris to be awake again", cluster.pods)
    cluster.api.delete(activator, 120)


def seen(cluster: Cluster) -> bool:
    """Whether Prometheus has a sample of the activator."""
    prometheus = "/api/v1/namespaces/monitoring/services/prometheus-operated:9090/proxy"
    said = cluster.kubectl("get", "--raw", f"{prometheus}/api/v1/query?query=activator_connections")
    return len(json.loads(said)["data"]["result"]) > 0


def ours(documents: list[Any], kind: str, name: str) -> list[Any]:
    """The objects of a kind and name."""
    return [one for one in documents if (one["kind"], one["metadata"]["name"]) == (kind, name)]


def stand_ins(cluster: Cluster) -> set[str]:
    """The pods of the activator that are endpoints of iris' Service."""
    selector = f"kubernetes.io/service-name={DEPLOYMENT}"
    manager = "endpointslice.kubernetes.io/managed-by=serin-activator"
    slices = cluster.get("endpointslices", "-l", f"{selector},{manager}")["items"]
    return {one["metadata"]["ownerReferences"][0]["name"] for one in slices}


def asleep(cluster: Cluster) -> None:
    """Wait until iris has no pod."""

    def done() -> bool:
        return not cluster.pods_of(DEPLOYMENT) and len(stand_ins(cluster)) > 0

    def why() -> str:
        status = cluster.get("scaledobject", DEPLOYMENT)["status"]
        return cluster.pods() + json.dumps(status, indent=1)

    wait(done, 240, "iris to sleep", why)


def through(cluster: Cluster) -> float:
    """Connections that are open through the activator, of all its pods."""
    path = "/api/v1/namespaces/models/pods/{}:8082/proxy/metrics"
    pods = cluster.get("pods", "-l", "app.kubernetes.io/name=activator")["items"]
    said = [cluster.kubectl("get", "--raw", path.format(one["metadata"]["name"])) for one in pods]
    lines = [line for one in said for line in one.splitlines()]
    return sum(float(line.split()[-1]) for line in lines if "activator_connections{" in line)


def test_the_first_request_is_answered(sleepy: Cluster, say: Say) -> None:
    """REST wakes the model, and gRPC does; each waits for its start, and is answered by a pod."""
    asleep(sleepy)
    started = time.monotonic()
    rest = sleepy.ask(REQUEST, seconds=COLD)
    say(f"REST answered {time.monotonic() - started:.1f} s after it woke iris")
    assert rest.status == 200, rest.body
    assert rest.json["model_version"] == sleepy.first

    asleep(sleepy)
    started = time.monotonic()
    answer = sleepy.ask_grpc(flower(), COLD)
    say(f"gRPC answered {time.monotonic() - started:.1f} s after it woke iris")
    assert answer.model_version == sleepy.first
    conditions = sleepy.get("scaledobject", DEPLOYMENT)["status"]["conditions"]
    assert {"Fallback": "False"}.items() <= {c["type"]: c["status"] for c in conditions}.items()


def test_a_burst_at_zero_is_answered_whole(sleepy: Cluster) -> None:
    """Each of many at once, by both protocols; then requests go straight to the pods."""
    asleep(sleepy)
    with ThreadPoolExecutor(60) as pool:
        rest = [pool.submit(sleepy.ask, REQUEST, seconds=COLD) for _ in range(40)]
        grpc = [pool.submit(sleepy.ask_grpc, flower(), COLD) for _ in range(20)]
        statuses = [one.result().status for one in rest]
        versions = {one.result().model_version for one in grpc}

    assert statuses == [200] * 40
    assert versions == {sleepy.first}
    with sleepy.load() as load:
        wait(lambda: not stand_ins(sleepy), 30, "the stand-ins to go")
        wait(lambda: through(sleepy) == 0, 60, "nothing to go through the activator any more")
        now = load.answered
        wait(lambda: load.answered > now + 100, 60, "answers without it")
    assert load.failures == []


def test_nothing_is_lost_on_the_way_to_zero_and_back(sleepy: Cluster) -> None:
    """Under load the last pod is taken away: requests wait for the next one.

    Once the ScaledObject asks for a replica meanwhile, as a rollout's engine has it do.
    """
    wait(lambda: sleepy.ask(REQUEST, seconds=COLD).status == 200, 60, "iris to be awake")
    scale = ("-n", "models", "scale", f"deployment/{DEPLOYMENT}", "--replicas=0")
    floor = ("-n", "models", "patch", "so", DEPLOYMENT, "--type", "merge", "-p")

    def least(replicas: int) -> None:
        # Not as kubectl() of the tests: KEDA warns that pollingInterval then means nothing.
        sleepy.api.run(*floor, json.dumps({"spec": {"minReplicaCount": replicas}}))

    with sleepy.load() as load:
        for wanted in (0, 1, 0):
            old = {one["metadata"]["name"] for one in sleepy.pods_of(DEPLOYMENT)}
            sleepy.kubectl(*scale)
            wait(lambda: len(stand_ins(sleepy)) > 0, 30, "a stand-in")
            try:
                least(wanted)
                wait(lambda: not stand_ins(sleepy), COLD, "a pod that is ready", sleepy.pods)
                assert old.isdisjoint(
                    one["metadata"]["name"]
                    for one in sleepy.pods_of(DEPLOYMENT)
                    if "deletionTimestamp" not in one["metadata"]
                )
            finally:
                least(0)
            now = load.answered
            wait(lambda: load.answered > now + 100, 60, "answers")  # noqa: B023 - used at once

    assert load.failures == []


def test_the_activator_is_replaced_while_somebody_waits(sleepy: Cluster) -> None:
    """What it holds is answered all the same, and its successors hold what comes."""
    asleep(sleepy)
    old = stand_ins(sleepy)
    pause = ("-n", "models", "annotate", f"so/{DEPLOYMENT}", "--overwrite")
    sleepy.kubectl(*pause, "autoscaling.keda.sh/paused=true")  # so that they wait long enough
    with ThreadPoolExecutor(8) as pool:
        try:
            before = [pool.submit(sleepy.ask, REQUEST, seconds=COLD) for _ in range(4)]
            wait(lambda: through(sleepy) == 4, 20, "four to be held")
            sleepy.kubectl("-n", "models", "delete", "pod", "--wait=false", *old)
            wait(lambda: len(stand_ins(sleepy) - old) == 2, 60, "successors", sleepy.pods)
            after = [pool.submit(sleepy.ask, REQUEST, seconds=COLD) for _ in range(4)]
        finally:
            sleepy.kubectl(*pause, "autoscaling.keda.sh/paused-")
        statuses = [one.result().status for one in (*before, *after)]

    assert statuses == [200] * 8


def test_a_canary_answers_while_stable_sleeps(sleepy: Cluster) -> None:
    """Its share is answered at once; stable's waits for its start."""
    wait(lambda: sleepy.ask(REQUEST, seconds=COLD).status == 200, 60, "iris to be awake")
    sleepy.canary(50, sleepy.model(sleepy.first))
    sleepy.rolled(CANARY, sleepy.first)
    wait(lambda: sleepy.weight(CANARY) == 50, 60, "the canary to have its share")
    asleep(sleepy)
    assert sleepy.weight(CANARY) == 50
    with ThreadPoolExecutor(20) as pool:
        started = time.monotonic()

        def ask() -> tuple[int, float]:
            return sleepy.ask(REQUEST, seconds=COLD).status, time.monotonic() - started

        answers = list(pool.map(lambda _: ask(), range(20)))

    assert {status for status, _ in answers} == {200}
    assert min(seconds for _, seconds in answers) < 2 < max(seconds for _, seconds in answers)
