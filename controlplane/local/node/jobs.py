"""Jobs: each try is a pod, and each pod a process, started as its container would be.

The image is not used: a laptop has its packages already, so the container needs a command.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from controlplane.errors import ManifestError
from controlplane.kubernetes.conditions import condition
from controlplane.kubernetes.meta import Object, now, owned, owners
from controlplane.local.api.objects import Objects
from controlplane.local.controllers import events, jobstatus, workloads
from controlplane.local.controllers.fence import Fence, said
from controlplane.local.controllers.jobstatus import End
from controlplane.local.node import commands, environment, processes, volumes
from controlplane.statefolder import ROOT, Home

CONFIG_SECONDS = 1.0
"""Between looks for a Secret or ConfigMap that is not there yet."""
_LOG = logging.getLogger(__name__)


class _Try:
    """One pod of a Job."""

    def __init__(self, job: Object) -> None:
        self.job = job["metadata"]["name"]
        self.pod = f"{self.job}-{commands.suffix()}"
        self.child: processes.Child | None = None
        self.next_start = 0.0
        self.ending: asyncio.Task[None] | None = None
        self.end: End | None = None
        """Why it is being ended, where it does not end by itself."""


class Jobs:
    """Runs every Job there is."""

    def __init__(
        self, home: Home, objects: Objects, push_url: Callable[[], str], fence: Fence
    ) -> None:
        self.home = home
        self.objects = objects
        self._push_url = push_url
        self._fence = fence
        self._tries: dict[str, _Try] = {}
        """By the Job's uid."""
        self._next: dict[str, float] = {}

    @property
    def pids(self) -> list[int]:
        """Every process of a Job."""
        return [one.child.pid for one in self._tries.values() if one.child]

    def restore(self) -> None:
        """Fail the pods whose processes ended with an earlier platform: they count as tries."""
        for pod in self.objects.list_of("Pod"):
            if _is_jobs(pod) and (pod.get("status") or {}).get("phase") in {"Pending", "Running"}:
                step = partial(self._finish_pod, pod, -signal.SIGKILL, "the platform was stopped")
                self._fence.run("restore", pod, step, None)

    def step(self) -> None:
        """Do for every Job what is to be done now."""
        jobs = {job["metadata"]["uid"]: job for job in self.objects.list_of("Job")}
        for uid, job in jobs.items():
            self._fence.run("job", job, partial(self._step, uid, job), None)
        for uid, one in list(self._tries.items()):
            if uid not in jobs:
                self._drop(uid, one)
        for pod in self.objects.list_of("Pod"):
            jobs_pod = {owner["uid"] for owner in owners(pod) if owner["kind"] == "Job"}
            if jobs_pod and not jobs_pod & {*jobs, *self._tries}:
                self._fence.run("pod", pod, partial(self._remove_pod, pod), None)

    def _step(self, uid: str, job: Object) -> None:
        if jobstatus.is_over(job):
            self._forget_late(job)
        elif not job["spec"].get("suspend"):
            self._run(uid, job)

    def evict(self, name: str) -> None:
        """End a pod: what runs counts as a failed try, what is over is forgotten."""
        for one in self._tries.values():
            if one.pod == name and one.child:
                one.child.send(signal.SIGTERM)
                return
        pod = self.objects.find("Pod", "models", name)
        if pod and _is_jobs(pod):
            self._remove_pod(pod)

    async def stop(self) -> None:
        """End every process; the pods are failed at the next start."""
        await asyncio.gather(
            *(asyncio.to_thread(one.child.stop, 5) for one in self._tries.values() if one.child)
        )
        for one in self._tries.values():
            self._clear(one.pod)

    def _run(self, uid: str, job: Object) -> None:
        failures = _failures(self.objects, uid)
        one = self._tries.get(uid)
        if one is None:
            if time.monotonic() < self._next.get(uid, 0):
                return
            one = self._tries[uid] = _Try(job)
            status = jobstatus.begun(job, now())
            self._set_status(job, jobstatus.active(status, running=True))
            self._make_pod(job, one)
        status = self.objects.get("Job", "models", one.job).get("status") or {}
        if "startTime" not in status:  # somebody patched the status
            self._set_status(job, status := jobstatus.begun({"status": status}, now()))
        seconds = _age(status["startTime"])
        if (end := jobstatus.past_deadline(job, seconds)) and one.ending is None:
            self._end(one, job, end)
        if one.child is None and one.ending is None:
            self._start(job, one)
        code = one.child.exit_code() if one.child else None
        if code is not None or (one.end and one.ending and one.ending.done()):
            self._ended(uid, job, one, -signal.SIGTERM if code is None else code, failures)

    def _start(self, job: Object, one: _Try) -> None:
        if time.monotonic() < one.next_start:
            return
        one.next_start = time.monotonic() + CONFIG_SECONDS
        pod = self.objects.get("Pod", "models", one.pod)
        try:
            one.child = self._process(pod)
        except Exception as error:  # noqa: BLE001  whatever the container asks for
            if not isinstance(error, ManifestError | OSError):
                _LOG.exception("%s", one.pod)
            waiting = {"reason": "CreateContainerConfigError", "message": said(error)}
            self._set_pod(pod, "Pending", {"waiting": waiting}, ready=False)
            events.record(self.objects, pod, "Warning", "Failed", said(error))
            return
        events.record(self.objects, pod, "Normal", "Started", f"Started process {one.child.pid}")
        self._set_pod(pod, "Running", {"running": {"startedAt": now()}}, ready=True)
        status = self.objects.get("Job", "models", one.job).get("status") or {}
        self._set_status(job, jobstatus.active(status, running=True))

    def _process(self, pod: Object) -> processes.Child:
        container, name = pod["spec"]["containers"][0], pod["metadata"]["name"]

        def find(kind: str, wanted: str) -> Object | None:
            return self.objects.find(kind, pod["metadata"]["namespace"], wanted)

        variables = environment.variables(container, pod, find)
        mounts = volumes.mounted(
            *(container, pod, self._volumes(name), self.home.path / "claims", find, variables)
        )
        env = {key: volumes.moved(value, mounts) for key, value in variables.items()}
        words = [*container.get("command", ()), *container.get("args", ())]
        if not container.get("command"):
            raise ManifestError(
                f"container {container['name']} has no command: a laptop does not run images"
            )
        words = [volumes.moved(environment.expanded(word, variables), mounts) for word in words]
        temporary = {"TMPDIR": str(mounts["/tmp"])} if "/tmp" in mounts else {}  # noqa: S108  the container's
        return processes.Child(
            name,
            commands.job(words),
            self.home.logs / f"{name}.log",
            {
                "PUSHGATEWAY_URL": self._push_url(),
                **commands.inherited(),
                **temporary,
                **env,
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
            },
            cwd=ROOT,
        )

    def _ended(self, uid: str, job: Object, one: _Try, code: int, failures: int) -> None:
        pod = self.objects.get("Pod", "models", one.pod)
        said = one.end.message if one.end else ""
        if one.child and code and not said:
            said = commands.last_error(one.child.log_text())
        self._finish_pod(pod, code, said)
        del self._tries[uid]
        failures += code != 0
        end = one.end or jobstatus.after_exit(job, code, failures)
        _LOG.info("%s ended with %d", one.pod, code)
        status = self.objects.get("Job", "models", one.job)["status"]
        if end is None:
            self._next[uid] = time.monotonic() + jobstatus.pause_seconds(failures)
            waiting = jobstatus.active({**status, "failed": failures}, running=False)
            self._set_status(job, waiting)
            return
        if end.reason == "PodFailurePolicy":
            end = End(end.succeeded, end.reason, f"Pod models/{one.pod} failed with {end.message}")
        self._set_status(job, jobstatus.over(status, end, failures, now()))
        kind, reason = ("Normal", "Completed") if end.succeeded else ("Warning", end.reason)
        events.record(self.objects, job, kind, reason, end.message or "Job completed")

    def _end(self, one: _Try, job: Object, end: End | None) -> None:
        """Ask a try's process to end; `end` says what that makes of the Job."""
        grace = job["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)

        async def stop() -> None:
            if one.child:
                await asyncio.to_thread(one.child.stop, grace)

        one.end, one.ending = end, asyncio.create_task(stop())

    def _drop(self, uid: str, one: _Try) -> None:
        """End the try of a Job that was deleted, then remove its pod."""
        if one.ending is None:
            grace = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}}
            self._end(one, grace, None)
        elif one.ending.done():
            del self._tries[uid]

    def _forget_late(self, job: Object) -> None:
        limit = job["spec"].get("ttlSecondsAfterFinished")
        ended = next(
            one["lastTransitionTime"]
            for one in job["status"]["conditions"]
            if one["type"] in {"Complete", "Failed"} and one["status"] == "True"
        )
        if limit is not None and _age(ended) >= limit:
            self.objects.delete("Job", "models", job["metadata"]["name"])

    def _make_pod(self, job: Object, one: _Try) -> None:
        pod = workloads.owned_pod(one.pod, job)
        self._set_pod(self.objects.create(pod), "Pending", {"waiting": {}}, ready=False)
        said = f"Created pod: {one.pod}"
        events.record(self.objects, job, "Normal", "SuccessfulCreate", said)

    def _finish_pod(self, pod: Object, code: int, message: str) -> None:
        state = workloads.terminated(code, now())
        if message:
            state["message"] = message
        begun = (pod.get("status") or {}).get("startTime")
        state["startedAt"] = begun or state["startedAt"]
        phase = "Succeeded" if code == 0 else "Failed"
        self._set_pod(pod, phase, {"terminated": state}, ready=False)
        self._clear(pod["metadata"]["name"])

    def _set_pod(self, pod: Object, phase: str, state: Object, *, ready: bool) -> None:
        container = pod["spec"]["containers"][0]
        status = {
            "phase": phase,
            "startTime": (pod.get("status") or {}).get("startTime") or now(),
            "hostIP": "127.0.0.1",
            "conditions": [
                condition("PodScheduled", true=True),
                condition("Ready", "" if ready else "PodCompleted", true=ready),
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container.get("image", ""),
                    "imageID": "",
                    "ready": ready,
                    "started": ready,
                    "restartCount": 0,
                    "state": state,
                    "lastState": {},
                }
            ],
        }
        self.objects.set_status("Pod", "models", pod["metadata"]["name"], status)

    def _set_status(self, job: Object, status: Object) -> None:
        self.objects.set_status("Job", "models", job["metadata"]["name"], status)

    def _remove_pod(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        self.objects.delete("Pod", "models", name)
        self._clear(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.home.logs / f"{name}.log")  # noqa: PTH108  may be gone

    def _volumes(self, pod: str) -> Path:
        return self.home.path / "volumes" / pod

    def _clear(self, pod: str) -> None:
        shutil.rmtree(self._volumes(pod), ignore_errors=True)
        with contextlib.suppress(OSError):  # missing, or other pods have volumes
            self._volumes(pod).parent.rmdir()


def _is_jobs(pod: Object) -> bool:
    return any(owner["kind"] == "Job" for owner in owners(pod))


def _failures(objects: Objects, uid: str) -> int:
    pods = owned(objects.list_of("Pod"), uid)
    return sum((pod.get("status") or {}).get("phase") == "Failed" for pod in pods)


def _age(timestamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
