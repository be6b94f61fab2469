"""While setup_cluster.sh waits: what pods say is passed on, and hopeless waits end."""

from typing import Any

import pytest

from controlplane.cluster import waiting
from controlplane.cluster.kubectl import ClusterError, Kubectl
from controlplane.cluster.models import published
from controlplane.cluster.waiting import Watch, troubles


class Told(Kubectl):
    """A cluster with pods, events and a Job, and no logs."""

    def __init__(self, pods: list[Any], events: list[Any] = [], job: Any = None) -> None:  # noqa: B006  only read
        super().__init__(None)
        self.answers = {"pods": pods, "events": events}
        self.job = job

    def get(self, *arguments: str) -> Any:
        """As kubectl."""
        if arguments[0] == "job":
            return self.job
        return {"items": self.answers.get(arguments[0], [])}

    def run(self, *_arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """No log."""
        raise ClusterError("no log")


def pod(reason: str, kind: str = "waiting", **status: Any) -> dict[str, Any]:
    """One whose container says why it does not run."""
    state = {kind: {"reason": reason, "message": "its\nmessage"}}
    container = {"name": "train", "image": "docker.io/serin/absent:dev", "state": state}
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [container], **status}}


def test_what_a_pod_says_is_told_once_and_at_once() -> None:
    """Each reason in one line; what a start always says is none."""
    told = list[str]()
    looks = iter([False, False, True])
    Watch(Told([pod("ErrImagePull")]), told.append, "models").wait("it", 30, lambda: next(looks))

    assert told == ["pod p: train ErrImagePull: its message"]
    assert troubles(Told([pod("ContainerCreating"), pod("Completed", "terminated")]), "m") == []


@pytest.mark.parametrize(
    "reason", ["ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "InvalidImageName"]
)
def test_what_cannot_end_by_waiting_ends_the_wait(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the deadline, with the pod's words and what to do."""
    monkeypatch.setattr(waiting, "HOPELESS_SECONDS", 0.0)
    watch = Watch(Told([pod(reason)]), lambda _line: None, "models")

    with pytest.raises(ClusterError, match=rf"{reason}: its message.*run this again"):
        watch.wait("it", 3600, lambda: False)


def test_what_may_pass_is_told_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No room on the nodes, a pod that nobody may make: said, and no end of the wait."""
    monkeypatch.setattr(waiting, "_EVENTS_SECONDS", 0.0)
    unschedulable = {
        "metadata": {"name": "p"},
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
            ]
        },
    }
    event = {
        "involvedObject": {"kind": "Job", "name": "train-iris"},
        "reason": "FailedCreate",
        "message": "exceeded quota",
    }
    told = list[str]()
    for cluster in (Told([unschedulable]), Told([], [event])):
        Watch(cluster, told.append, "models").wait("it", 30, iter([False, True]).__next__)

    assert told == ["pod p: Unschedulable", "Job train-iris: FailedCreate: exceeded quota"]


def test_a_long_wait_tells_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how long it took so far, and what the pods do."""
    monkeypatch.setattr(waiting, "TELL_SECONDS", 0.0)
    told = list[str]()
    looks = iter([False, True])
    running = {"metadata": {"name": "p"}, "status": {"phase": "Running"}}
    Watch(Told([running]), told.append, "models").wait("Job x", 30, lambda: next(looks))

    assert told == ["waiting for Job x, 0 s so far: p ready"]


def test_a_deadline_says_what_pods_say() -> None:
    """The message is what a person reads first."""
    with pytest.raises(ClusterError, match=r"for iris. pod p: train Error: its message"):
        Watch(Told([pod("Error")]), lambda _line: None, "models").wait("iris", -1, lambda: False)


def test_a_failed_job_without_a_pod_says_how_to_try_again() -> None:
    """A Job at its deadline has no pod and no log; that is no error of its own."""
    failed = {
        "type": "Failed",
        "status": "True",
        "reason": "DeadlineExceeded",
        "message": "Job was active longer than specified deadline",
    }
    job = {"status": {"conditions": [failed]}}

    with pytest.raises(
        ClusterError,
        match=r"train-x failed: DeadlineExceeded.*kubectl -n models delete job train-x",
    ):
        published(Told([], job=job), "x", 60, lambda _line: None)
