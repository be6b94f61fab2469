"""Jobs: each try is a pod, and each pod a process, started as its container would be.

The image is not used: a laptop has its packages already, so the container needs a command.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from controlplane.errors import ManifestError
from controlplane.kubernetes.conditions import is_true
from controlplane.kubernetes.meta import Object, now, owned, owners
from controlplane.local.api.objects import Objects
from controlplane.local.controllers import events, jobstatus, workloads
from controlplane.local.controllers.fence import Fence, said
from controlplane.local.controllers.jobstatus import End
from controlplane.local.node import commands, containers, environment, jobpods, processes
from controlplane.statefolder import ROOT, Home

_START_ERROR = 128
"""The exit code of a container that could not be started."""
_NOTHING = End(succeeded=True, pods=0)
LONGEST_GRACE_SECONDS = 30
"""Of a pod whose Job was deleted."""
CONFIG_SECONDS = 1.0
"""Between looks for a Secret or ConfigMap that is not there yet."""
_LOG = logging.getLogger(__name__)


class _Try:
    """One pod of a Job."""

    def __init__(self, job: Object, pod: str) -> None:
        self.job = job["metadata"]["name"]
        self.pod = pod
        self.child: processes.Child | None = None
        self.next_start = 0.0
        self.ending: asyncio.Task[None] | None = None
        self.end: End | None = None
        """What the Job comes to, where it does not end by itself."""
        self.stage = 0
        """Which container is on: init containers first, one after another."""
        self.begun_at = time.monotonic()
        self.failed = ""
        """Why the pod fails, whatever its container's exit code."""
        self.leaving = False
        """Its Job asks for no pod now: it goes, and counts as nothing."""


class Jobs:
    """Runs every Job there is."""

    def __init__(
        self, home: Home, objects: Objects, push_url: Callable[[], str], fence: Fence
    ) -> None:
        self.home = home
        self.objects = objects
        self._push_url = push_url
        self._fence = fence
        self._pods = jobpods.JobPods(home, objects)
        self._tries: dict[str, _Try] = {}
        """By the Job's uid."""
        self._next: dict[str, float] = {}
        """Job's uid → when its next pod may start."""

    @property
    def pids(self) -> list[int]:
        """Every process of a Job."""
        return [one.child.pid for one in self._tries.values() if one.child]

    def restore(self) -> None:
        """Fail the pods whose processes ended with an earlier platform: they count as tries."""
        for pod in self.objects.list_of("Pod"):
            if _is_jobs(pod) and (pod.get("status") or {}).get("phase") in {"Pending", "Running"}:
                stopped = "the platform was stopped"
                step = partial(
                    self._pods.finish, pod, jobpods.stage_of(pod), -signal.SIGKILL, stopped
                )
                self._fence.run("restore", pod, step, None)

    def step(self) -> None:
        """Do for every Job what is to be done now."""
        jobs = {job["metadata"]["uid"]: job for job in self.objects.list_of("Job")}
        self._next = {uid: at for uid, at in self._next.items() if uid in jobs}
        for uid, job in jobs.items():
            self._fence.run("job", job, partial(self._step, uid, job), None)
        for uid, one in list(self._tries.items()):
            if uid not in jobs:
                self._drop(uid, one)
        for pod in self.objects.list_of("Pod"):
            jobs_pod = {owner["uid"] for owner in owners(pod) if owner["kind"] == "Job"}
            if jobs_pod and not jobs_pod & {*jobs, *self._tries}:
                self._fence.run("pod", pod, partial(self._pods.remove, pod), None)

    def _step(self, uid: str, job: Object) -> None:
        one, spec = self._tries.get(uid), job["spec"]
        if spec.get("managedBy", jobstatus.OURS) != jobstatus.OURS:
            return  # somebody else's to run, as in a cluster
        if jobstatus.is_over(job):
            self._forget_late(job)
        elif one and one.leaving:
            self._left(uid, job, one)
        elif spec.get("suspend") or spec.get("parallelism", 1) == 0:
            self._rest(job, one)
        elif spec.get("completions", 1) == 0:
            done = jobstatus.over(jobstatus.begun(job, now()), _NOTHING, 0, now())
            self._set_status(job, done)
        else:
            self._run(uid, job)

    def _rest(self, job: Object, one: _Try | None) -> None:
        """Let no pod run: the Job is suspended, or asks for none at a time."""
        if one:
            one.leaving = True
            if one.ending is None:
                self._end(one, job, None)
            return
        before = job.get("status") or {}
        if not job["spec"].get("suspend"):
            status = jobstatus.active(jobstatus.begun(job, now()), running=False)
        else:
            status = jobstatus.suspended(before, now())
            if not is_true(before, jobstatus.SUSPENDED):
                events.record(self.objects, job, "Normal", "Suspended", "Job suspended")
        if status != before:
            self._set_status(job, status)

    def _left(self, uid: str, job: Object, one: _Try) -> None:
        """Forget a pod that was let go, once it has ended."""
        if one.ending is None or not one.ending.done():
            return
        del self._tries[uid]
        if pod := self.objects.find("Pod", "models", one.pod):
            self._pods.remove(pod)
        said = f"Deleted pod: {one.pod}"
        events.record(self.objects, job, "Normal", "SuccessfulDelete", said)

    def evict(self, name: str) -> None:
        """End a pod: what runs counts as a failed try, what is over is forgotten."""
        for one in self._tries.values():
            if one.pod == name:
                one.failed = one.failed or "it was deleted"
                if one.child:
                    one.child.send(signal.SIGTERM)
                return
        pod = self.objects.find("Pod", "models", name)
        if pod and _is_jobs(pod):
            self._pods.remove(pod)

    async def stop(self) -> None:
        """End every process; the pods are failed at the next start."""
        await asyncio.gather(
            *(asyncio.to_thread(one.child.stop, 5) for one in self._tries.values() if one.child)
        )
        for one in self._tries.values():
            self._pods.clear(one.pod)

    def _run(self, uid: str, job: Object) -> None:
        one = self._tries.get(uid)
        if one is None:
            if time.monotonic() < self._next.get(uid, 0):
                return
            if is_true(job.get("status"), jobstatus.SUSPENDED):
                events.record(self.objects, job, "Normal", "Resumed", "Job resumed")
            status = jobstatus.begun(job, now())
            self._set_status(job, jobstatus.active(status, running=True))
            one = self._tries[uid] = _Try(job, self._pods.make(job))
        status = self.objects.get("Job", "models", one.job).get("status") or {}
        if "startTime" not in status:  # somebody patched the status
            self._set_status(job, status := jobstatus.begun({"status": status}, now()))
        self._look_at_time(job, one, _age(status["startTime"]))
        if one.child is None and one.ending is None and not one.failed:
            self._start(job, one)
        code = one.child.exit_code() if one.child else None
        if one.child is None and one.failed:
            code = -signal.SIGTERM
        if code == 0 and one.ending is None and not one.failed and self._next_stage(one):
            self._start(job, one)
        elif code is not None or (one.end and one.ending and one.ending.done()):
            self._ended(uid, job, one, -signal.SIGTERM if code is None else code)

    def _look_at_time(self, job: Object, one: _Try, seconds: float) -> None:
        """End a try whose Job, or whose pod, took too long."""
        if one.ending is not None:
            return
        if end := jobstatus.past_deadline(job, seconds):
            self._end(one, job, end)
            return
        limit = job["spec"]["template"]["spec"].get("activeDeadlineSeconds")
        if limit is not None and time.monotonic() - one.begun_at >= limit:
            one.failed = "DeadlineExceeded"
            self._end(one, job, None)

    def _next_stage(self, one: _Try) -> bool:
        """Go on from an init container that succeeded."""
        pod = self.objects.get("Pod", "models", one.pod)
        if one.stage == len(jobpods.containers_of(pod)) - 1:
            return False
        one.stage, one.child, one.next_start = one.stage + 1, None, 0.0
        return True

    def _start(self, job: Object, one: _Try) -> None:
        if time.monotonic() < one.next_start:
            return
        one.next_start = time.monotonic() + CONFIG_SECONDS
        pod = self.objects.get("Pod", "models", one.pod)
        try:
            ready = containers.prepare(
                *(jobpods.containers_of(pod)[one.stage], pod, self.home, self._finder(pod))
            )
            if not ready.command:
                raise ManifestError("has no command: a laptop does not run images")
        except Exception as error:  # noqa: BLE001  whatever the container asks for
            if not isinstance(error, ManifestError | OSError):
                _LOG.exception("%s", one.pod)
            words = f"container {jobpods.containers_of(pod)[one.stage]['name']}: {said(error)}"
            waiting = {"reason": "CreateContainerConfigError", "message": words}
            self._pods.put(pod, one.stage, "Pending", {"waiting": waiting})
            events.record(self.objects, pod, "Warning", "Failed", words)
            return
        try:
            one.child = self._process(pod, one.stage, ready)
        except (OSError, ValueError) as error:  # no such command, or a NUL in its variables
            one.failed = f"StartError: {error}"
            events.record(self.objects, pod, "Warning", "Failed", one.failed)
            return
        events.record(self.objects, pod, "Normal", "Started", f"Started process {one.child.pid}")
        self._pods.put(pod, one.stage, "Running", {"running": {"startedAt": now()}})
        status = self.objects.get("Job", "models", one.job).get("status") or {}
        self._set_status(job, jobstatus.active(status, running=True))

    def _finder(self, pod: Object) -> environment.Find:
        return lambda kind, name: self.objects.find(kind, pod["metadata"]["namespace"], name)

    def _process(self, pod: Object, stage: int, ready: containers.Prepared) -> processes.Child:
        name, container = pod["metadata"]["name"], jobpods.containers_of(pod)[stage]["name"]
        is_main = stage == len(jobpods.containers_of(pod)) - 1
        index = pod["metadata"]["annotations"].get(jobstatus.INDEX)
        return processes.Child(
            name,
            commands.job([*ready.command, *ready.args]),
            self.home.logs / (f"{name}.log" if is_main else f"{name}.{container}.log"),
            {
                "PUSHGATEWAY_URL": self._push_url(),
                **commands.inherited(),
                **commands.account(pod, self.home),
                **({"JOB_COMPLETION_INDEX": index} if index else {}),
                **ready.env,
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
            },
            cwd=ready.folder,
        )

    def _ended(self, uid: str, job: Object, one: _Try, code: int) -> None:
        pod = self.objects.get("Pod", "models", one.pod)
        said = one.end.message if one.end else one.failed
        if one.child and code and not said:
            said = commands.last_error(one.child.log_text())
        if one.failed.startswith("StartError"):
            code = _START_ERROR
        elif one.failed and code == 0:  # an exit code of 0 does not save it
            code = -signal.SIGKILL
        self._pods.finish(pod, one.stage, code, said)
        del self._tries[uid]
        own = owned(self.objects.list_of("Pod"), uid)
        failures = jobstatus.counted(job, own)
        container = jobpods.containers_of(pod)[one.stage]["name"]
        end = one.end or jobstatus.after_exit(job, container, workloads.code_of(code), failures)
        _LOG.info("%s ended with %d", one.pod, code)
        status = self.objects.get("Job", "models", one.job)["status"]
        if end is None:
            tries = sum((pod.get("status") or {}).get("phase") == "Failed" for pod in own)
            self._next[uid] = time.monotonic() + jobstatus.pause_seconds(tries)
            waiting = jobstatus.active({**status, "failed": failures}, running=False)
            self._set_status(job, waiting)
            return
        if end.reason == "PodFailurePolicy":
            end = End(end.succeeded, end.reason, f"Pod models/{one.pod} failed with {end.message}")
        indexed = jobstatus.INDEX in pod["metadata"]["annotations"]
        self._set_status(job, jobstatus.over(status, end, failures, now(), indexed=indexed))
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
            # The Job is gone; its pod has the time to end that its template gave, within bounds.
            pod = self.objects.find("Pod", "models", one.pod) or {"spec": {}}
            asked = pod["spec"].get("terminationGracePeriodSeconds", LONGEST_GRACE_SECONDS)
            grace = {"terminationGracePeriodSeconds": min(asked, LONGEST_GRACE_SECONDS)}
            self._end(one, {"spec": {"template": {"spec": grace}}}, None)
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

    def _set_status(self, job: Object, status: Object) -> None:
        self.objects.set_status("Job", "models", job["metadata"]["name"], status)


def _is_jobs(pod: Object) -> bool:
    return any(owner["kind"] == "Job" for owner in owners(pod))


def _age(timestamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
