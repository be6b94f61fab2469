"""Versions come and go under load, and no request is lost."""

import json
import subprocess
import sys

import pytest

from tests.support.cluster import Cluster, uri, wait
from tests.support.required import ROOT

RATE = 60  # requests a second
WINDOW = 300  # answers counted at each share


def test_a_second_version_is_served_and_rolled_back(cluster: Cluster, second: str) -> None:
    """Each is one edit of storageUri; under load nothing is lost."""
    with cluster.load() as load:
        wait(lambda: load.answered > 20, 60, "answers of the first version")
        cluster.serve(second)
        wait(lambda: load.versions[second] > 40, 120, "answers of the second")
        cluster.serve(cluster.first)
        before = load.versions[cluster.first]
        wait(lambda: load.versions[cluster.first] > before + 40, 120, "answers of the first again")

    assert load.failures == []


@pytest.mark.smoke
def test_the_drill_of_the_laptop_loses_nothing(cluster: Cluster, second: str) -> None:
    """10, 50, 100 %, promoted, and back the same way: shares within 4 sigma, 0 lost.

    How soon a patch is live is the laptop's promise: here KServe and Envoy Gateway have a say.
    """
    command = [sys.executable, "tests/drills/canary.py", "--url", f"http://{cluster.address}"]
    done = subprocess.run(
        [*command, "--to", uri(second), f"--rate={RATE}", f"--window={WINDOW}"],
        cwd=ROOT,
        env=dict(cluster.environment),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    found = json.loads(done.stdout)
    promoted = [one for one in found["steps"] if one["step"] == "promoted"]

    assert found["lost"] == 0, found
    assert [one for one in found["wrong"] if ": live " not in one] == [], found
    assert [set(one["answers"]) for one in promoted] == [{second}, {cluster.first}]


def test_a_deleted_pod_costs_no_request(cluster: Cluster) -> None:
    """With two replicas one is deleted: it drains, the other serves, a new one comes."""
    scaled = '{"spec": {"minReplicaCount": %d}}'
    scale = ("-n", "models", "patch", "scaledobject", "iris-predictor", "--type", "merge", "-p")
    cluster.kubectl(*scale, scaled % 2)
    try:
        wait(lambda: cluster.replicas() == 2, 240, "two replicas", cluster.pods)
        pods = cluster.get("pods", "-l", "app=isvc.iris-predictor")["items"]
        with cluster.load(rate=40) as load:
            wait(lambda: load.answered > 40, 60, "answers before")
            name = pods[0]["metadata"]["name"]
            cluster.kubectl("-n", "models", "delete", "pod", name, "--wait=true", seconds=90)
            wait(lambda: cluster.replicas() == 2, 240, "its successor", cluster.pods)
            now = load.answered
            wait(lambda: load.answered > now + 40, 60, "answers after")
    finally:
        cluster.kubectl(*scale, scaled % 1)

    assert load.failures == []
