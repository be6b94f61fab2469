"""One cluster a session: the testbed beside the checkout, set up by setup_cluster.sh.

Two tiers: tests marked `smoke` need one model's images and run with every change; all of them run
at night and before a release (.ci/nightly). What the selected tests do not need is not built.
Where the testbed is there, a test that was selected and did not run fails the run.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from controlplane.cluster.kubectl import Document, render
from tests.support import testbed
from tests.support.cluster import FLOWER, HOST, MODEL, Cluster, uri, wait
from tests.support.predictor import discovered_models
from tests.support.required import ROOT

LAST = "test_down_leaves_the_cluster_as_it_was"
# A training image holds the code of all models: these packages do for all that need torch.
TRAINED_BY = {"iris": ("mnist-forest",), "nli": ("mnist-cnn", "causal-lm")}
OTHERS = {
    "activator": ("controlplane/activator",),
    "causal-lm": ("predictors", "--build-arg", "MODEL=causal-lm"),
    "console": ("controlplane/console",),
}
"""Images that some tests need, by their marker `image`: folder, and options of the build."""
_STARTED = time.monotonic()
Say = Callable[[str], None]


_RAN = set[str]()
_LEFT_OUT: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes the platform away comes last; pytest-randomly has shuffled the rest."""
    items.sort(key=lambda item: item.name == LAST)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what ran to an end of its own."""
    if report.when == "call" and not report.skipped:
        _RAN.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that left selected tests out is no green run, whatever left them out."""
    stopped = session.shouldstop or session.shouldfail or session.config.option.collectonly
    if testbed.is_there() and not stopped:
        _LEFT_OUT.extend(left_out(session))
    if _LEFT_OUT:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out."""
    if _LEFT_OUT:
        terminalreporter.section("cluster tests that did not run, though the testbed is there")
        terminalreporter.write_line("\n".join(_LEFT_OUT))


def left_out(session: pytest.Session) -> list[str]:
    """Selected tests of this folder that did not run to an end."""
    return [one.nodeid for one in ours(session) if one.nodeid not in _RAN]


def ours(session: pytest.Session) -> list[pytest.Item]:
    """The selected tests of this folder."""
    folder = Path(__file__).parent
    return [one for one in session.items if one.path.is_relative_to(folder)]


def models(session: pytest.Session) -> list[str]:
    """Those that the selected tests need."""
    every = any(one.get_closest_marker("every_model") for one in ours(session))
    return discovered_models() if every else [MODEL]


def marked(session: pytest.Session) -> set[str]:
    """The images of OTHERS that they need."""
    return {mark.args[0] for one in ours(session) for mark in one.iter_markers("image")}


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
def kubeconfig(request: pytest.FixtureRequest, say: Say) -> Iterator[str]:
    """A cluster with the images that the tests need: KUBECONFIG's, or a testbed of its own."""
    if given := os.environ.get("KUBECONFIG"):
        yield given
        return
    served = models(request.session)
    trained_by = {model: others for model, others in TRAINED_BY.items() if model in served}
    say("starting the testbed")
    with testbed.running() as started:
        say("building the images")
        wanted = [("training", model, f"train-{model}") for model in reversed(trained_by)]
        wanted += [("predictors", model, model) for model in served]
        for folder, model, name in wanted:
            testbed.build_model(folder, model, f"docker.io/serin/{name}:dev")
            say(f"docker.io/serin/{name}:dev is there")
        for name in sorted(marked(request.session) - set(served)):
            folder, *options = OTHERS[name]
            testbed.build(folder, f"docker.io/serin/{name}:dev", *options)
            say(f"docker.io/serin/{name}:dev is there")
        for model, others in trained_by.items():
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
def cluster(request: pytest.FixtureRequest, kubeconfig: str, before: set[str], say: Say) -> Cluster:
    """The platform, installed and serving, each model trained by its Job for a moment."""
    options = ["--manifests", str(testbed.BED / "manifests"), "--smoke"]
    for model in models(request.session):
        options += ["--model", model]
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

    def answers() -> bool:
        try:
            return found.ask({"inputs": [FLOWER]}).status == 200
        except OSError:  # nodes learn of the gateway's pod a moment after it is ready
            return False

    wait(
        answers,
        240,
        f"an answer of {HOST} at {found.address}",
        found.pods,
    )
    say(f"{HOST} answers at {found.address}")
    return found


@pytest.fixture(autouse=True)
def calm(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test finds one replica at most, no pod that ends, and leaves the first version."""
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
    documents = render(ROOT / "training" / "jobs" / MODEL)
    (job,) = (document for document in documents if document["kind"] == "Job")
    job["metadata"]["name"] = "train-iris-again"
    job["spec"]["template"]["spec"]["containers"][0]["args"] = ["--seed", "1"]
    version = trained(cluster, *documents)
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
        900,
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
