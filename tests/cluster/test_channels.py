"""Replicas of a cluster that follow a channel: versions are swapped under load, no pod is made."""

import base64
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import yaml

from controlplane.cluster.kubectl import Kubectl
from tests.support.cluster import Cluster, wait
from tests.support.load import Steady
from tests.support.required import ROOT

COMPONENT = ROOT / "kserve" / "components" / "channels" / "kustomization.yaml"
SWAPS, REPLICAS = 10, 3
RATE = 60  # requests a second


@contextmanager
def store(cluster: Cluster) -> Iterator[Mapping[str, str]]:
    """The environment of a verb that writes the cluster's store from this machine."""
    kubectl = Kubectl(None, cluster.environment)
    data = cluster.get("secret", "s3-writer")["data"]
    found = {name: base64.b64decode(value).decode() for name, value in data.items()}
    with kubectl.forward("minio", "service/minio", 9000) as port:
        yield {**cluster.environment, **found, "SERIN_S3_ENDPOINT": f"http://127.0.0.1:{port}"}


def serin(environment: Mapping[str, str], *arguments: str) -> str:
    """What a verb says on both its outputs."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.cli", *arguments],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def following(cluster: Cluster) -> Iterator[Mapping[str, str]]:
    """Three pods of iris that follow its channel `stable`, as the component has them do."""
    (patch,) = yaml.safe_load(COMPONENT.read_text("utf-8"))["patches"]
    runtime = ("-n", "models", "patch", "servingruntime", "serin-iris", "--type", "json", "-p")
    scale = ("-n", "models", "patch", "scaledobject", "iris-predictor", "--type", "merge", "-p")
    operations = yaml.safe_load(patch["patch"])
    with store(cluster) as environment:
        said = serin(environment, "channel", "set", "iris", cluster.first)
        assert "No replica follows it yet" in said
        try:
            cluster.kubectl(*runtime, patch["patch"])
            cluster.kubectl(*scale, f'{{"spec": {{"minReplicaCount": {REPLICAS}}}}}')
            wait(lambda: follow(cluster) == REPLICAS, 300, "pods that follow", cluster.pods)
            yield environment
        finally:
            cluster.kubectl(*scale, '{"spec": {"minReplicaCount": 1}}')
            undone = [{"op": "remove", "path": one["path"]} for one in operations]
            cluster.kubectl(*runtime, yaml.safe_dump(undone))
            wait(lambda: follow(cluster) == 0, 300, "pods that follow nothing", cluster.pods)


def answered(load: Steady, version: str, count: int) -> bool:
    """Whether a version has given more answers than so many."""
    return load.versions[version] > count


def follow(cluster: Cluster) -> int:
    """How many ready pods follow the channel; 0 only where all others are gone."""
    pods = cluster.pods_of("iris-predictor")
    env: list[list[Any]] = [pod["spec"]["containers"][0].get("env", []) for pod in pods]
    count = sum(any(one["name"] == "PREDICTOR_CHANNEL" for one in each) for each in env)
    return count if count == 0 or (count, cluster.replicas()) == (len(pods), count) else -1


def test_swaps_under_load_lose_nothing_and_make_no_pod(
    cluster: Cluster, following: Mapping[str, str], second: str
) -> None:
    """Ten swaps of three replicas, each told with how far apart they switched."""
    pods = {one["metadata"]["uid"] for one in cluster.pods_of("iris-predictor")}
    told: list[str] = []
    with cluster.load(rate=RATE) as load:
        for number in range(SWAPS):
            version = (second, cluster.first)[number % 2]
            before = load.versions[version]
            told.append(serin(following, "channel", "set", "iris", version))
            wait(partial(answered, load, version, before + 40), 60, "its answers")
        told.append(serin(following, "channel", "rollback", "iris"))
    status = serin(following, "channel", "status", "iris")

    assert load.failures == []
    assert all(f"{REPLICAS} replicas switched " in said for said in told), told
    print(*told, status, sep="\n")  # noqa: T201  the windows, for a person
    assert {one["metadata"]["uid"] for one in cluster.pods_of("iris-predictor")} == pods
    assert status.count(second) >= REPLICAS
