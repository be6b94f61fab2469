"""One cluster a session: the testbed beside the checkout, set up by setup_cluster.sh."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.cluster import BED, FLOWER, HOST, MODEL, Cluster, build, wait
from tests.support.required import ROOT, binary

LAST = "test_down_leaves_the_cluster_as_it_was"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes the platform away comes last; pytest-randomly has shuffled the rest."""
    items.sort(key=lambda item: item.name == LAST)


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[str]:
    """A running testbed: the one that KUBECONFIG names, or one that is started and stopped."""
    binary("kubectl")
    if given := os.environ.get("KUBECONFIG"):
        yield given
        return
    if not (BED / "up").exists():
        pytest.skip("no ../shared/testbed beside the checkout: no cluster to test on")
    if os.geteuid() != 0:
        pytest.skip("the testbed needs root")
    up = subprocess.run(
        ["nice", "-n", "5", BED / "up"], capture_output=True, text=True, timeout=600, check=False
    )
    assert up.returncode == 0, up.stderr[-4000:]
    yield up.stdout.strip().rpartition("=")[2]
    subprocess.run([BED / "down", "--keep"], timeout=120, check=False)


@pytest.fixture(scope="session")
def before(kubeconfig: str) -> set[str]:
    """What is in the cluster before anything is installed."""
    return inventory(kubeconfig)


@pytest.fixture(scope="session")
def cluster(kubeconfig: str, before: set[str]) -> Cluster:
    """The platform, installed and serving iris."""
    initializer = "docker.io/kserve/storage-initializer:v0.20.0"
    build(initializer, BED / "images" / "storage-initializer")
    for folder, name in (("predictors", MODEL), ("training", f"train-{MODEL}")):
        arguments = ("-f", str(ROOT / folder / "Dockerfile"), "--build-arg", f"MODEL={MODEL}")
        build(f"docker.io/serin/{name}:dev", ROOT, *arguments)
    options = ("--manifests", str(BED / "manifests"), "--model", MODEL)
    overlay = ("--overlay", str(ROOT / "kserve" / "overlays" / "testbed"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "KUBECONFIG": kubeconfig,
    }
    found = Cluster(environment, (*options, *overlay, "--yes"))
    found.setup("--dry-run")
    assert inventory(kubeconfig) - before == set(), "a dry run left something"
    said = found.setup()
    found.address = said.stdout.split("http://")[1].split(". ")[0].split("/")[0]
    service = found.get("isvc", MODEL)
    found.first = service["spec"]["predictor"]["model"]["storageUri"].rpartition("/")[2]
    wait(
        lambda: found.ask({"inputs": [FLOWER]}).status == 200,
        120,
        f"an answer of {HOST} at {found.address}",
        found.pods,
    )
    return found


@pytest.fixture(autouse=True)
def calm(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves the first version behind, and no canary."""
    yield
    if request.node.name == LAST:
        return
    service = cluster.get("isvc")
    for one in service.get("items", ()):
        if "canary" in one["spec"]:
            cluster.patch({"canary": None})
        if not one["spec"]["predictor"]["model"]["storageUri"].endswith(cluster.first):
            cluster.serve(cluster.first)


def inventory(kubeconfig: str) -> set[str]:
    """Names of everything that an installation leaves behind outside of its namespaces."""
    kinds = (
        "namespaces,crd,clusterroles,clusterrolebindings,apiservices,"
        "mutatingwebhookconfigurations,validatingwebhookconfigurations,"
        "validatingadmissionpolicies,validatingadmissionpolicybindings"
    )
    every = subprocess.run(
        ["kubectl", f"--kubeconfig={kubeconfig}", "get", kinds, "-o", "name"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    inside = subprocess.run(
        [
            *("kubectl", f"--kubeconfig={kubeconfig}", "get", "-A", "-o", "name"),
            "deployments,daemonsets,services,roles,rolebindings",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set((every.stdout + inside.stdout).split())
