"""A Job's pods as objects, with what goes with them: their volumes and logs."""

import contextlib
import shutil

from controlplane.kubernetes.meta import Object, now
from controlplane.local.api.objects import Objects
from controlplane.local.controllers import events, jobstatus, workloads
from controlplane.local.node import commands, containers
from controlplane.statefolder import Home


class JobPods:
    """Makes, tells and removes them."""

    def __init__(self, home: Home, objects: Objects) -> None:
        self.home = home
        self.objects = objects

    def make(self, job: Object) -> str:
        """Make a pod of a Job; returns its name."""
        indexed = job["spec"].get("completionMode") == "Indexed"
        name = f"{job['metadata']['name']}{'-0' if indexed else ''}-{commands.suffix()}"
        pod = workloads.owned_pod(name, job)
        for marks in ("labels", "annotations") if indexed else ():
            pod["metadata"][marks][jobstatus.INDEX] = "0"
        self.put(self.objects.create(pod), 0, "Pending", {"waiting": {}})
        said = f"Created pod: {name}"
        events.record(self.objects, job, "Normal", "SuccessfulCreate", said)
        return name

    def finish(self, pod: Object, stage: int, code: int, message: str) -> None:
        """Tell how a pod ended."""
        state = workloads.terminated(code, now())
        if message.startswith("StartError"):
            state["reason"] = "StartError"
        if message:
            state["message"] = message
        begun = (pod.get("status") or {}).get("startTime")
        state["startedAt"] = begun or state["startedAt"]
        phase = "Succeeded" if code == 0 else "Failed"
        reason = message if message == "DeadlineExceeded" else ""
        self.put(pod, stage, phase, {"terminated": state}, reason)
        self.clear(pod["metadata"]["name"])

    def put(self, pod: Object, stage: int, phase: str, state: Object, reason: str = "") -> None:
        """Write a pod's status; `state` is of the container that is on."""
        status = workloads.job_pod_status(pod, stage, phase, state, now(), reason)
        self.objects.set_status("Pod", "models", pod["metadata"]["name"], status)

    def remove(self, pod: Object) -> None:
        """Forget a pod with its volumes and logs."""
        name = pod["metadata"]["name"]
        self.objects.delete("Pod", "models", name)
        self.clear(name)
        for path in self.home.logs.glob(f"{name}.*"):  # of its init containers, too
            path.unlink(missing_ok=True)

    def clear(self, pod: str) -> None:
        """Remove a pod's own volumes."""
        own = containers.own_volumes(self.home, pod)
        shutil.rmtree(own, ignore_errors=True)
        with contextlib.suppress(OSError):  # missing, or other pods have volumes
            own.parent.rmdir()


def containers_of(pod: Object) -> list[Object]:
    """In the order in which they run: init containers, then the one that is the Job's."""
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def stage_of(pod: Object) -> int:
    """Which container was on, by the pod's status."""
    done = (pod.get("status") or {}).get("initContainerStatuses") or ()
    return sum(bool(one["ready"]) and not one["started"] for one in done)
