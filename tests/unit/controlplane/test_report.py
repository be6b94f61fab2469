import pytest

from controlplane.local.controllers.plan import Plan
from controlplane.local.controllers.report import Failure, ModelReport, PodReport, report
from tests.support.manifests import planned, service

PLAN = planned(service("b2"), replicas=2)
NEW = PLAN.deployments[0].template_hash


def pod(template: str, phase: str, reason: str = "", *, failed: int = 0) -> PodReport:
    """A pod of iris: `NEW` is version b2, everything else a1."""
    return PodReport(
        name="iris-predictor-0",
        deployment="iris-predictor",
        template_hash=template,
        version="b2" if template == NEW else "a1",
        phase=phase,
        reason=reason,
        failure=reason,
        ready=phase == "Running",
        restarts=failed,
        failed_starts=failed,
        pid=None,
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        made_at="",
        started_at="",
        ended_at="",
        exit_code=None,
    )


def iris(*pods: PodReport) -> ModelReport:
    """What is said of iris with these pods."""
    return report(service("b2"), PLAN, pods, {})


@pytest.mark.parametrize(
    ("pods", "state", "version", "ready"),
    [
        ([], "Starting", "", 0),
        ([pod(NEW, "Starting")] * 2, "Starting", "", 0),
        ([pod(NEW, "Running")] * 2, "Ready", "b2", 2),
        ([pod(NEW, "Running"), pod(NEW, "Starting")], "Degraded", "b2", 1),
        ([pod("old", "Running")] * 2, "Updating", "a1", 2),
        ([pod("old", "Running"), pod(NEW, "Running")], "Updating", "a1, b2", 2),
        ([pod(NEW, "Running")] * 2 + [pod("old", "Terminating")], "Updating", "b2", 2),
    ],
)
def test_state_says_how_far_it_is(
    pods: list[PodReport], state: str, version: str, ready: int
) -> None:
    """Ready means: the wanted number of the wanted version answers, and nothing older is left."""
    found = iris(*pods)

    assert (found.state, found.version, found.replicas_ready) == (state, version, ready)


def test_a_version_that_does_not_start_says_why_and_what_goes_on() -> None:
    """The predictor's own reason reaches the person, with the version that still answers."""
    broken = pod(NEW, "CrashLoopBackOff", "model.onnx is corrupt", failed=2)

    found = iris(pod("old", "Running"), pod("old", "Running"), broken)

    assert found.state == "Failed"
    assert found.reason == ("version b2 does not start: model.onnx is corrupt; a1 goes on serving")


def test_one_failed_start_is_not_yet_a_failure() -> None:
    """A port may have been taken; the second start has others."""
    assert iris(pod(NEW, "CrashLoopBackOff", "port taken", failed=1)).state == "Degraded"


def test_an_unpublished_model_says_how_to_publish_it() -> None:
    """The reason is a command."""
    said = "s3://models/iris has no published version"
    failures = {"iris": Failure(said, unpublished=True)}

    found = report(service(""), Plan((), ()), [], failures)

    assert (found.state, found.reason) == ("Unpublished", f"{said}: ./serin train iris")


def test_an_impossible_change_says_why_and_what_goes_on() -> None:
    """What serves is untouched; the row says both."""
    pods = [pod(NEW, "Running")] * 2

    found = report(service("b2"), PLAN, pods, {"iris": Failure("names no runtime")})

    assert (found.state, found.version) == ("Failed", "b2")
    assert found.reason == "names no runtime; b2 goes on serving"
