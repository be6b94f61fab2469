"""Versions come and go under load, and no request is lost."""

import subprocess

import pytest
import yaml

from controlplane.cluster.kubectl import render
from tests.support.cluster import MODEL, Cluster, uri, wait
from tests.support.required import ROOT

RATE = 40  # requests a second
PAUSE_SECONDS = 10


@pytest.fixture(scope="session")
def second(cluster: Cluster) -> str:
    """A version that another Job published, from another seed."""
    (job,) = render(ROOT / "training" / "jobs" / MODEL)
    job["metadata"]["name"] = "train-iris-again"
    job["spec"]["template"]["spec"]["containers"][0]["args"] = ["--seed", "1"]
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(job))
    wait(
        lambda: bool(cluster.get("job", "train-iris-again")["status"].get("succeeded")),
        180,
        "the second Job",
        cluster.pods,
    )
    logged = cluster.kubectl("-n", "models", "logs", "job/train-iris-again").splitlines()[-1]
    version = logged.rpartition("/")[2]
    assert logged == uri(version)
    assert version != cluster.first
    return version


def test_a_second_version_is_served_and_rolled_back(cluster: Cluster, second: str) -> None:
    """Each is one edit of storageUri; under load nothing is lost."""
    with cluster.load() as load:
        wait(lambda: load.answered > 20, 30, "answers of the first version")
        cluster.serve(second)
        wait(lambda: load.versions[second] > 40, 60, "answers of the second")
        cluster.serve(cluster.first)
        before = load.versions[cluster.first]
        wait(lambda: load.versions[cluster.first] > before + 40, 60, "answers of the first again")

    assert load.failures == []


def weights(cluster: Cluster) -> dict[str, int]:
    """Backend → weight, as the HTTPRoute says."""
    route = cluster.get("httproute", MODEL)
    return {one["name"]: one.get("weight", 1) for one in route["spec"]["rules"][-1]["backendRefs"]}


def test_a_canary_is_promoted_and_rolled_back_without_a_lost_request(
    cluster: Cluster, second: str
) -> None:
    """The release workflow's script: 10, 50, 100 %, promoted; then back by one edit."""
    first = cluster.first
    shares: dict[int, tuple[int, int]] = {}
    with cluster.load(rate=RATE) as load:
        environment = {**cluster.environment, "PAUSE": str(PAUSE_SECONDS)}
        command = [str(ROOT / ".ci" / "canary"), MODEL, uri(second)]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as script:
            said, percent, was = [], 0, load.versions.copy()
            assert script.stdout is not None
            for line in script.stdout:
                said.append(line)
                seen = load.versions[second] - was[second]
                shares.setdefault(percent, (seen, load.versions.total() - was.total()))
                if line.startswith(f"{MODEL}: 100 %"):
                    scaled = cluster.get("scaledobject", "iris-canary-predictor")["status"]
                if line.startswith(f"{MODEL}: ") and "%" in line:
                    percent, was = int(line.split()[1]), load.versions.copy()
        assert script.returncode == 0, "".join(said)
        assert set(weights(cluster)) == {"iris-predictor"}
        now = load.versions[second]
        wait(lambda: load.versions[second] > now + 40, 60, "answers of what was promoted")
        cluster.serve(first)
        before = load.versions[first]
        wait(lambda: load.versions[first] > before + 40, 60, "answers of the first again")

    assert load.failures == []
    assert scaled["scaleTargetKind"] == "apps/v1.Deployment"  # KEDA scales the canary by itself
    for percent in (10, 50):
        seen, total = shares[percent]
        sigma = (total * percent / 100 * (1 - percent / 100)) ** 0.5
        # A second's requests more or less were on their way while the weights changed.
        assert abs(seen - total * percent / 100) <= 4 * sigma + RATE, shares


def test_a_deleted_pod_costs_no_request(cluster: Cluster) -> None:
    """With two replicas one is deleted: it drains, the other serves, a new one comes."""
    scaled = '{"spec": {"minReplicaCount": %d}}'
    scale = ("-n", "models", "patch", "scaledobject", "iris-predictor", "--type", "merge", "-p")
    cluster.kubectl(*scale, scaled % 2)
    try:
        wait(lambda: cluster.replicas() == 2, 120, "two replicas", cluster.pods)
        pods = cluster.get("pods", "-l", "app=isvc.iris-predictor")["items"]
        with cluster.load(rate=40) as load:
            wait(lambda: load.answered > 40, 30, "answers before")
            name = pods[0]["metadata"]["name"]
            cluster.kubectl("-n", "models", "delete", "pod", name, "--wait=true", seconds=90)
            wait(lambda: cluster.replicas() == 2, 120, "its successor", cluster.pods)
            now = load.answered
            wait(lambda: load.answered > now + 40, 30, "answers after")
    finally:
        cluster.kubectl(*scale, scaled % 1)

    assert load.failures == []
