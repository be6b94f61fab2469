"""One cluster a session: the testbed beside the checkout, set up by setup_cluster.sh."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support import testbed
from tests.support.cluster import FLOWER, HOST, MODEL, Cluster, wait
from tests.support.required import ROOT

LAST = "test_down_leaves_the_cluster_as_it_was"
BUDGET_SECONDS = 1500  # of all these tests; a machine that needs more is told so, and goes on
_STARTED = time.monotonic()
Say = Callable[[str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes the platform away comes last; pytest-randomly has shuffled the rest."""
    items.sort(key=lambda item: item.name == LAST)


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """A line on the terminal while a fixture works for minutes."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"{time.monotonic() - _STARTED:6.0f} s  {text}")

    return line


@pytest.fixture(scope="session")
def kubeconfig(say: Say) -> Iterator[str]:
    """A cluster with the images of iris: what KUBECONFIG names, or a testbed of its own."""
    if given := os.environ.get("KUBECONFIG"):
        yield given
        return
    say("starting the testbed")
    with testbed.running() as started:
        for folder, name in (("predictors", MODEL), ("training", f"train-{MODEL}")):
            say(f"building the image {name}")
            file = str(ROOT / folder / "Dockerfile")
            testbed.build(
                f"docker.io/serin/{name}:dev", "-f", file, "--build-arg", f"MODEL={MODEL}"
            )
        yield started
        say("stopping the testbed")


@pytest.fixture(scope="session")
def before(kubeconfig: str) -> set[str]:
    """What is in the cluster before anything is installed."""
    return inventory(kubeconfig)


@pytest.fixture(scope="session")
def cluster(kubeconfig: str, before: set[str], say: Say) -> Cluster:
    """The platform, installed and serving iris."""
    options = ("--manifests", str(testbed.BED / "manifests"), "--model", MODEL)
    overlay = ("--overlay", str(ROOT / "kserve" / "overlays" / "testbed"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "KUBECONFIG": kubeconfig,
    }
    found = Cluster(environment, (*options, *overlay, "--yes"))
    say("setup_cluster.sh --dry-run")
    found.dry = found.setup("--dry-run").stderr
    assert inventory(kubeconfig) - before == set(), "a dry run left something"
    say("setup_cluster.sh")
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
    say(f"{HOST} answers at {found.address}")
    return found


@pytest.fixture(autouse=True)
def in_time(cluster: Cluster) -> None:
    """CI gives all tests an hour: what a slow machine leaves no time for is skipped, and said."""
    if time.monotonic() - _STARTED > BUDGET_SECONDS:
        pytest.skip(f"the cluster's tests have used up their {BUDGET_SECONDS / 60:.0f} min")


@pytest.fixture(autouse=True)
def calm(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves the first version behind, and no canary."""
    yield
    if request.node.name == LAST:
        return
    service = cluster.get("isvc")
    for one in service.get("items", ()):
        if "canary" in one["spec"]:
            cluster.leave_canary()
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
