"""One cluster a session: the testbed beside the checkout, set up by setup_cluster.sh."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from controlplane.cluster.kubectl import Document, render
from tests.support import testbed
from tests.support.cluster import FLOWER, HOST, MODEL, Cluster, uri, wait
from tests.support.predictor import discovered_models
from tests.support.required import ROOT

LAST = "test_down_leaves_the_cluster_as_it_was"
BUDGET_SECONDS = 1500  # of all these tests; what a slower machine leaves no time for is skipped
# A training image holds the code of all models: these packages do for all that need torch.
TRAINED_BY = {"iris": ("mnist-forest",), "nli": ("mnist-cnn", "causal-lm")}
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
    """A cluster with all models' images: what KUBECONFIG names, or a testbed of its own."""
    if given := os.environ.get("KUBECONFIG"):
        yield given
        return
    say("starting the testbed")
    with testbed.running() as started:
        say("building the images")
        wanted = [("training", model, f"train-{model}") for model in reversed(TRAINED_BY)]
        wanted += [("predictors", model, model) for model in discovered_models()]
        with ThreadPoolExecutor(2) as pool:  # pip and gzip take turns on two processors
            builds = [
                pool.submit(testbed.build_model, folder, model, f"docker.io/serin/{name}:dev")
                for folder, model, name in wanted
            ]
            activator = ("controlplane/activator", "docker.io/serin/activator:dev")
            builds.append(pool.submit(testbed.build, *activator))
            for one in builds:
                one.result()
        for model, others in TRAINED_BY.items():
            for other in others:
                image = f"docker.io/serin/train-{model}:dev"
                testbed.alias(image, f"docker.io/serin/train-{other}:dev")
        yield started
        say("stopping the testbed")


@pytest.fixture(scope="session")
def before(kubeconfig: str) -> set[str]:
    """What is in the cluster before anything is installed."""
    return inventory(kubeconfig)


@pytest.fixture(scope="session")
def cluster(kubeconfig: str, before: set[str], say: Say) -> Cluster:
    """The platform, installed and serving every model, each trained by its Job for a moment."""
    options = ("--manifests", str(testbed.BED / "manifests"), "--smoke")
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
        240,
        f"an answer of {HOST} at {found.address}",
        found.pods,
    )
    say(f"{HOST} answers at {found.address}")
    return found


@pytest.fixture(autouse=True)
def calm(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test finds one replica at most, no pod that ends, and leaves the first version behind.

    CI gives all tests an hour: what a slow machine leaves no time for is skipped, and says so; but
    for the last one, which is short.
    """
    if time.monotonic() - _STARTED > BUDGET_SECONDS and request.node.name != LAST:
        pytest.skip(f"the cluster's tests have used up their {BUDGET_SECONDS / 60:.0f} min")
    wait(lambda: cluster.replicas() <= 1, 240, "one replica of iris at most", cluster.pods)
    wait(lambda: not cluster.ending(), 120, "the end of pods that are deleted", cluster.pods)
    yield
    if request.node.name == LAST:
        return
    service = cluster.get("isvc", MODEL)
    if "canary" in service["spec"]:
        cluster.leave_canary()
    if not service["spec"]["predictor"]["model"]["storageUri"].endswith(cluster.first):
        cluster.serve(cluster.first)


@pytest.fixture(scope="session")
def second(cluster: Cluster) -> str:
    """A version of iris that another Job published, from another seed."""
    (job,) = render(ROOT / "training" / "jobs" / MODEL)
    job["metadata"]["name"] = "train-iris-again"
    job["spec"]["template"]["spec"]["containers"][0]["args"] = ["--seed", "1"]
    version = trained(cluster, job)
    assert version != cluster.first
    return version


def trained(cluster: Cluster, *documents: Document) -> str:
    """Apply a Job, last of the objects; the version that it published."""
    job = documents[-1]["metadata"]["name"]
    model = documents[-1]["metadata"]["labels"]["app.kubernetes.io/name"]
    text = yaml.safe_dump_all(documents)
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    wait(
        lambda: bool(cluster.get("job", job)["status"].get("succeeded")),
        480,
        f"Job {job}",
        lambda: cluster.pods() + cluster.kubectl("-n", "models", "describe", f"job/{job}"),
    )
    logged = cluster.kubectl("-n", "models", "logs", f"job/{job}").splitlines()[-1]
    version = logged.rpartition("/")[2]
    assert logged == uri(version, model)
    return version


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
