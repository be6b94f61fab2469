"""`serin rollout` and `serin load` in a cluster: the commands of a laptop, its own Prometheus."""

import base64
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.drills.canary import Load
from tests.support import guilty
from tests.support.cluster import CANARY, FLOWER, HOST, MODEL, Cluster, conditions, wait
from tests.support.open_load import sending
from tests.support.required import ROOT
from tests.support.trained import artifact
from training.publish.registry import Registry

RATE = 40  # requests a second
PATIENT = ("--min-requests", "100", "--step-seconds", "5")
CALM = ("--latency-floor", "500ms")  # the cluster's own work is no fault of the canary's
DARK = ("--shadow", "100", *CALM)
ENDS_SECONDS = 240  # of one rollout


@pytest.fixture(scope="session")
def versions(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Guilty versions of iris, published with the Jobs' own key; and a good one."""
    folder = tmp_path_factory.mktemp("guilty")
    sound = artifact(MODEL, "--smoke")
    found = dict[str, str]()
    with cluster.api.forward("minio", "service/minio", 9000) as port:
        secret = cluster.get("secret", "s3-writer")["data"]
        keys = {name: base64.b64decode(value).decode() for name, value in secret.items()}
        registry = Registry({**keys, "SERIN_S3_ENDPOINT": f"http://127.0.0.1:{port}"})
        found["good"] = registry.publish(sound, MODEL).version
        for way in guilty.WAYS:
            made = guilty.make(sound, way, folder / way)
            found[way] = registry.publish(made, MODEL).version
    return found


def serin(cluster: Cluster, *arguments: str, expect: int = 0) -> str:
    """Run a verb as a person does who has KUBECONFIG set."""
    done = subprocess.run(
        [ROOT / "serin", *arguments],
        env=dict(cluster.environment),
        capture_output=True,
        text=True,
        timeout=ENDS_SECONDS,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def state(cluster: Cluster) -> dict[str, Any]:
    """Where the rollout is."""
    found: dict[str, Any] = json.loads(serin(cluster, "rollout", "status", MODEL, "-o", "json"))
    return found


def load(cluster: Cluster) -> Load:
    """Requests that show every fault, for a block."""
    path = f"/v2/models/{MODEL}/infer"
    return Load(f"http://{cluster.address}", HOST, path, RATE, guilty.INPUTS)


@pytest.mark.parametrize(
    ("way", "guards", "options"),
    [
        ("erring", {"errors"}, CALM),
        ("slow", {"latency"}, ("--latency-floor", "10ms")),
        ("drifting", {"classes"}, CALM),
        ("swapping", {"shadow flips"}, DARK),
    ],
)
def test_a_guilty_version_is_aborted_at_its_first_step(
    cluster: Cluster, versions: dict[str, str], way: str, guards: set[str], options: tuple[str, ...]
) -> None:
    """Or before it, by the comparison; its reason is in Events; stable has all requests again."""
    start = ("rollout", "start", MODEL, versions[way], "--steps", "20,100")
    with sending(load(cluster)) as sent:
        said = serin(cluster, *start, *PATIENT, *options, "--watch", expect=1)
    over = state(cluster)
    harmed = [one for one in sent.lost if not (way == "erring" and one.startswith("500"))]

    assert over["outcome"] == "Aborted", said
    assert over["reason"].split(":")[0] in guards
    assert [step["percent"] for step in over["steps"]] == [0 if way == "swapping" else 20]
    assert over["reason"] in cluster.kubectl(
        *("-n", "models", "events", "--for", f"InferenceService/{MODEL}")
    )
    assert "canary" not in cluster.get("isvc", MODEL)["spec"]
    assert "iris-shadow" not in cluster.kubectl("-n", "models", "get", "httproutes")
    assert (versions[way] in {one.version for one in sent.answers}) == (way != "swapping")
    assert harmed == [], "only what the version itself failed is lost"
    assert bool(sent.lost) == (way == "erring")


@pytest.mark.smoke
def test_a_good_version_is_promoted_by_itself(cluster: Cluster, versions: dict[str, str]) -> None:
    """Nothing is lost, KEDA scales the canary from its first step, and the numbers are back."""
    least = bounds(cluster)
    with sending(load(cluster)) as sent:
        start = ("rollout", "start", MODEL, versions["good"], "--steps", "40,100")
        serin(cluster, *start, *PATIENT, *CALM)
        wait(lambda: state(cluster)["phase"] == "Judging", 120, "the first step", cluster.pods)
        wait(lambda: is_scaled(cluster, CANARY), 60, "KEDA to find the canary")
        said = serin(cluster, "rollout", "status", MODEL, "--watch")
        wait(lambda: sent.answers[-1].version == versions["good"], 30, "its answers")
    over = state(cluster)

    assert over["outcome"] == "Promoted", said
    assert [step["percent"] for step in over["steps"]] == [40, 100]
    assert sent.lost == []
    assert cluster.get("isvc", MODEL)["spec"]["predictor"]["model"]["storageUri"].endswith(
        versions["good"]
    )
    wait(lambda: bounds(cluster) == least, 60, "the canary's ScaledObject to go with its canary")


def test_grpc_is_mirrored_and_loses_nothing(
    cluster: Cluster, versions: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Where nothing but gRPC is asked, what is compared came by it; the mirror goes as it came."""
    result = tmp_path_factory.mktemp("load") / "load.json"
    with asking_by_grpc(cluster, result) as asking:
        start = ("rollout", "start", MODEL, versions["good"], "--steps", "20,100")
        serin(cluster, *start, *PATIENT, *DARK)
        dark = {"Preparing", "Shadowing"}
        wait(lambda: state(cluster)["phase"] not in dark, 150, "a verdict", cluster.pods)
        compared = state(cluster)["shadow"]
        serin(cluster, "rollout", "abort", MODEL)
        wait(lambda: state(cluster)["phase"] == "Done", 90, "its end", cluster.pods)
        assert asking.poll() is None, "the load ended before the rollout did"
        assert "iris-shadow" not in cluster.kubectl("-n", "models", "get", "httproutes")
    found = json.loads(result.read_text("utf-8"))

    assert compared["compared"] >= 100, compared
    assert compared["flips"] == compared["canary_failed"] == compared["canary_missing"] == 0
    assert found["errors"] == {}, found


@contextmanager
def asking_by_grpc(cluster: Cluster, result: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`serin load --grpc` while the block runs; its result is written then."""
    context = cluster.kubectl("config", "current-context").strip()
    flower = [str(value) for value in FLOWER["data"]]
    longest = str(2 * ENDS_SECONDS)
    limits = ("--rate", str(RATE), "--duration", longest, "--output", str(result))
    with subprocess.Popen(
        [ROOT / "serin", "load", MODEL, *flower, "--context", context, *limits, "--grpc"],
        env=dict(cluster.environment),
    ) as asking:
        try:
            yield asking
        finally:
            asking.send_signal(signal.SIGINT)


def test_a_load_by_context_is_counted_and_nothing_is_lost(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`serin load --context` finds the gateway; REST and gRPC."""
    context = cluster.kubectl("config", "current-context").strip()
    result = tmp_path_factory.mktemp("load") / "load.json"
    for protocol in ((), ("--grpc",)):
        serin(
            cluster,
            *("load", MODEL, "5.1", "3.5", "1.4", "0.2", "--context", context),
            *("--rate", "50", "--duration", "5"),
            *("--even", "--output", str(result), *protocol),
        )
        found = json.loads(result.read_text("utf-8"))
        assert found["errors"] == {}, found
        assert found["requests"] == 250


def is_scaled(cluster: Cluster, deployment: str) -> bool:
    """Whether KEDA has found a Deployment and its trigger."""
    names = [one["metadata"]["name"] for one in cluster.get("scaledobjects")["items"]]
    return deployment in names and conditions(cluster, deployment).get("Ready") == "True"


def bounds(cluster: Cluster) -> dict[str, int]:
    """ScaledObject → minReplicaCount."""
    found = cluster.get("scaledobjects")["items"]
    return {one["metadata"]["name"]: one["spec"]["minReplicaCount"] for one in found}
