"""Replicas of a cluster that follow a channel: versions are swapped under load, no pod is made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import tiny_lm
from tests.support.cluster import Cluster, host, serin, store, uri, wait
from tests.support.load import Steady
from tests.support.required import ROOT
from tests.support.streams import Streams
from training.publish.registry import Registry

COMPONENT = ROOT / "kserve" / "components" / "channels" / "kustomization.yaml"
SWAPS, REPLICAS = 10, 3
RATE = 60  # requests a second
TALKER, TALKERS = "talker", 2
ALPHABETS = "abcdefghijklm", "nopqrstuvwxyz"
PROMPT = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["the quick"]}
LENGTH = {"name": "max_tokens", "shape": [1], "datatype": "INT32", "data": [8]}
MARKED = "serin.dev/test=talker"


def operations() -> list[dict[str, Any]]:
    """What the component patches into a ServingRuntime."""
    (patch,) = yaml.safe_load(COMPONENT.read_text("utf-8"))["patches"]
    found: list[dict[str, Any]] = yaml.safe_load(patch["patch"])
    return found


@pytest.fixture
def following(cluster: Cluster) -> Iterator[Mapping[str, str]]:
    """Three pods of iris that follow its channel `stable`, as the component has them do."""
    runtime = ("-n", "models", "patch", "servingruntime", "serin-iris", "--type", "json", "-p")
    scale = ("-n", "models", "patch", "scaledobject", "iris-predictor", "--type", "merge", "-p")
    with store(cluster) as environment:
        stand(environment, cluster.first)
        try:
            cluster.kubectl(*runtime, yaml.safe_dump(operations()))
            cluster.kubectl(*scale, f'{{"spec": {{"minReplicaCount": {REPLICAS}}}}}')
            wait(lambda: follow(cluster) == REPLICAS, 300, "pods that follow", cluster.pods)
            yield environment
        finally:
            cluster.kubectl(*scale, '{"spec": {"minReplicaCount": 1}}')
            undone = [{"op": "remove", "path": one["path"]} for one in operations()]
            cluster.kubectl(*runtime, yaml.safe_dump(undone))
            wait(lambda: follow(cluster) == 0, 300, "pods that follow nothing", cluster.pods)


def stand(environment: Mapping[str, str], version: str) -> None:
    """Have iris' channel stand for a version, which it may do already."""
    said = serin(environment, "channel", "set", "iris", version, expect=None)
    assert f"s3://models/iris@stable is {version}" in said


def answered(load: Steady, version: str, count: int) -> bool:
    """Whether a version has given more answers than so many."""
    return load.versions[version] > count


def follow(cluster: Cluster, model: str = "iris") -> int:
    """How many ready pods follow the channel; 0 only where all others are gone."""
    pods = cluster.pods_of(f"{model}-predictor")
    env: list[list[Any]] = [pod["spec"]["containers"][0].get("env", []) for pod in pods]
    count = sum(any(one["name"] == "PREDICTOR_CHANNEL" for one in each) for each in env)
    ready = cluster.replicas(f"{model}-predictor")
    return count if count == 0 or (count, ready) == (len(pods), count) else -1


def identities(cluster: Cluster, model: str = "iris") -> set[str]:
    """The pods of a model, each by what no other pod ever has."""
    return {one["metadata"]["uid"] for one in cluster.pods_of(f"{model}-predictor")}


def test_swaps_under_load_lose_nothing_and_make_no_pod(
    cluster: Cluster, following: Mapping[str, str], second: str
) -> None:
    """Ten swaps of three replicas, each told with how far apart they switched."""
    pods = identities(cluster)
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
    show(load.answered, told, status)
    assert identities(cluster) == pods
    assert status.count(second) >= REPLICAS


def show(answers: int, told: list[str], status: str) -> None:
    """The windows, for a person."""
    print(f"{answers} answers", *told, status, sep="\n")  # noqa: T201


@dataclass(frozen=True, slots=True)
class Talkers:
    """Pods of a language model; its versions have no letter in common."""

    environment: Mapping[str, str]
    letters: Mapping[str, str]
    """Version → the letters that it answers with."""


def served(version: str) -> list[dict[str, Any]]:
    """A language model that is called talker, from causal-lm's own manifests."""
    folder = ROOT / "kserve"
    runtime = yaml.safe_load((folder / "runtimes" / "causal-lm.yaml").read_text("utf-8"))
    service = yaml.safe_load((folder / "services" / "causal-lm.yaml").read_text("utf-8"))
    for document, name in ((runtime, f"serin-{TALKER}"), (service, TALKER)):
        document["metadata"]["name"] = name
        document["metadata"]["labels"] |= dict([MARKED.split("=")])
        document["metadata"]["labels"]["app.kubernetes.io/name"] = TALKER
    service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] = "none"
    predictor = service["spec"]["predictor"]
    predictor["minReplicas"] = TALKERS
    predictor["model"] |= {"runtime": f"serin-{TALKER}", "storageUri": uri(version, TALKER)}
    return [runtime, service]


@pytest.fixture
def talkers(cluster: Cluster, tmp_path: Path) -> Iterator[Talkers]:
    """Two pods that follow the channel `stable` of their model."""
    artifacts = {one: tiny_lm.write_artifact(tmp_path / one, one, TALKER) for one in ALPHABETS}
    with store(cluster) as environment:
        registry = Registry(environment)
        letters = {
            registry.publish(folder, TALKER).version: one for one, folder in artifacts.items()
        }
        runtime, service = served(next(iter(letters)))
        patch = ("-n", "models", "patch", "servingruntime", f"serin-{TALKER}", "--type", "json")
        try:
            cluster.api.apply([runtime])
            cluster.kubectl(*patch, "-p", yaml.safe_dump(operations()))
            cluster.api.apply([service])
            serin(environment, "channel", "set", TALKER, next(iter(letters)))
            wait(lambda: follow(cluster, TALKER) == TALKERS, 300, "pods that follow", cluster.pods)
            wait(lambda: talks(cluster), 120, f"an answer of {host(TALKER)}", cluster.pods)
            yield Talkers(environment, letters)
        finally:
            gone = ("-n", "models", "delete", "isvc,servingruntime", "-l", MARKED, "--wait=false")
            cluster.kubectl(*gone)
            pods = partial(cluster.pods_of, f"{TALKER}-predictor")
            wait(lambda: not pods(), 180, "the end of its pods", cluster.pods)


def talks(cluster: Cluster) -> bool:
    """Whether the gateway has found its pods."""
    return cluster.ask({"inputs": [PROMPT, LENGTH]}, TALKER).status == 200


@pytest.mark.image("causal-lm")
def test_a_language_models_swaps_lose_no_stream_and_mix_no_text(
    cluster: Cluster, talkers: Talkers
) -> None:
    """Ten swaps of two replicas and a rollback, under streams and whole answers."""
    first, second = talkers.letters
    pods = identities(cluster, TALKER)
    told: list[str] = []
    with (
        cluster.load(5, TALKER, (PROMPT, LENGTH)) as whole,
        Streams(cluster.address, TALKER, host=host(TALKER)) as streams,
    ):
        for number in range(SWAPS):
            version = (second, first)[number % 2]
            before = whole.versions[version], streams.answered(version)
            told.append(serin(talkers.environment, "channel", "set", TALKER, version))
            wait(partial(answered, whole, version, before[0] + 5), 60, "its answers")
            wait(partial(streamed, streams, version, before[1] + 4), 120, "its streams")
        told.append(serin(talkers.environment, "channel", "rollback", TALKER))
    status = serin(talkers.environment, "channel", "status", TALKER)

    assert (whole.failures, streams.failures) == ([], [])
    for stream in streams.seen:
        (version,) = stream.versions
        assert set(stream.text) <= set(talkers.letters[version]), stream
    assert all(f"{TALKERS} replicas switched " in said for said in told), told
    show(whole.answered + len(streams.seen), told, status)
    assert identities(cluster, TALKER) == pods
    assert status.count(second) >= TALKERS


def streamed(streams: Streams, version: str, count: int) -> bool:
    """Whether a version has answered more streams than so many."""
    return streams.answered(version) > count


def test_a_training_job_ends_with_every_replica_on_its_version(
    cluster: Cluster, following: Mapping[str, str]
) -> None:
    """`train --job --channel stable` under load: nothing is lost, and no pod of iris is made."""
    pods = identities(cluster)
    try:
        with cluster.load(rate=RATE) as load:
            flags = ("--job", "--set", "seed=7", "--channel", "stable")
            said = serin(following, "train", "iris", *flags, seconds=900)
            version = said.split("s3://models/iris/")[1].split()[0]
            wait(partial(answered, load, version, 40), 60, "its answers")
        status = serin(following, "channel", "status", "iris")
        assert load.failures == []
        assert f"{REPLICAS} replicas switched " in said
        assert identities(cluster) == pods
        assert status.count(version) >= REPLICAS
        show(load.answered, [said], status)
    finally:
        serin(following, "train", "iris", "--job", "--set", "smoke", seconds=900)
