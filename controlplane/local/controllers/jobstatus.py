"""A Job's controller as decisions: when to try again, when it is over, and what its status says.

Pure. As Kubernetes' Job controller for one pod at a time (parallelism and completions 1).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.kubernetes.conditions import condition, is_true
from controlplane.kubernetes.meta import Object

SUSPENDED = "Suspended"
INDEX = "batch.kubernetes.io/job-completion-index"
"""Label and annotation of an indexed Job's pod."""
OURS = "kubernetes.io/job-controller"
BACKOFF_SECONDS = 1.0
BACKOFF_LIMIT_SECONDS = 60.0
"""Between tries: 1 s, 2 s, 4 s …; a cluster begins with 10 s."""


@dataclass(frozen=True, slots=True)
class End:
    """A Job that is over."""

    succeeded: bool
    reason: str = ""
    message: str = ""
    pods: int = 1
    """That succeeded, where it succeeded: none where none was asked for."""


def is_over(job: Object) -> bool:
    """Whether a Job has completed or failed."""
    return is_true(job.get("status"), "Complete") or is_true(job.get("status"), "Failed")


def after_exit(job: Object, container: str, exit_code: int, failures: int) -> End | None:
    """What the end of a try means: the Job's end, or None for another try.

    Args:
        job: The Job.
        container: Which ended the try.
        exit_code: 0 for success.
        failures: How many tries have failed and count, this one included.
    """
    if exit_code == 0:
        return End(succeeded=True)
    index, action = _rule(job, container, exit_code)
    if action == "FailJob":
        said = f"exit code {exit_code} matching FailJob rule at index {index}"
        return End(succeeded=False, reason="PodFailurePolicy", message=said)
    if failures > job["spec"].get("backoffLimit", 6):
        said = "Job has reached the specified backoff limit"
        return End(succeeded=False, reason="BackoffLimitExceeded", message=said)
    return None


def counted(job: Object, pods: Iterable[Object]) -> int:
    """How many of a Job's pods failed, without those that its podFailurePolicy ignores."""
    return sum(_counts(job, pod) for pod in pods)


def _counts(job: Object, pod: Object) -> bool:
    status = pod.get("status") or {}
    if status.get("phase") != "Failed":
        return False
    every = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    for one in every:
        code = ((one.get("state") or {}).get("terminated") or {}).get("exitCode", 0)
        if code:
            return _rule(job, one["name"], code)[1] != "Ignore"
    return True


def _rule(job: Object, container: str, exit_code: int) -> tuple[int, str]:
    """The first rule that holds, as every later one is left out then: its place and action."""
    for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", ())):
        if _matches(rule, container, exit_code):
            return index, rule["action"]
    return -1, ""


def past_deadline(job: Object, seconds: float) -> End | None:
    """The end of a Job that ran for longer than activeDeadlineSeconds."""
    limit = job["spec"].get("activeDeadlineSeconds")
    if limit is None or seconds < limit:
        return None
    said = "Job was active longer than specified deadline"
    return End(succeeded=False, reason="DeadlineExceeded", message=said)


def pause_seconds(failures: int) -> float:
    """How long to wait before the next try."""
    if failures == 0:
        return 0.0
    return min(BACKOFF_SECONDS * 2.0 ** (failures - 1), BACKOFF_LIMIT_SECONDS)


def begun(job: Object, now: str) -> Object:
    """A Job's status when its first pod is made, or the first after it was suspended."""
    status: Object = {"startTime": now, "uncountedTerminatedPods": {}, **(job.get("status") or {})}
    if is_true(status, SUSPENDED):
        return _with_condition(status, "False", "JobResumed", "Job resumed", now)
    return status


def suspended(status: Object, now: str) -> Object:
    """A Job's status while it is suspended: nothing runs, and its time does not count."""
    gone = {"active", "ready", "startTime"}
    rest = {name: value for name, value in status.items() if name not in gone}
    if is_true(status, SUSPENDED):
        return {**rest, "ready": 0}
    return {**_with_condition(rest, "True", "JobSuspended", "Job suspended", now), "ready": 0}


def _with_condition(status: Object, value: str, reason: str, message: str, now: str) -> Object:
    told = condition(SUSPENDED, reason, message, true=value == "True")
    told |= {"lastProbeTime": now, "lastTransitionTime": now}
    others = [one for one in status.get("conditions") or () if one["type"] != SUSPENDED]
    return {**status, "conditions": [*others, told]}


def active(status: Object, *, running: bool) -> Object:
    """A Job's status while a pod of it is there, or while it waits for the next try."""
    rest = {name: value for name, value in status.items() if name not in {"active", "ready"}}
    return {**rest, "active": 1, "ready": int(running)} if running else {**rest, "ready": 0}


def over(status: Object, end: End, failures: int, now: str, *, indexed: bool = False) -> Object:
    """A Job's status at its end, conditions as a cluster ≥ 1.31 writes them."""
    rest = {name: value for name, value in status.items() if name not in {"active", "ready"}}
    kinds = ("SuccessCriteriaMet", "Complete") if end.succeeded else ("FailureTarget", "Failed")
    reason = "CompletionsReached" if end.succeeded else end.reason
    message = "Reached expected number of succeeded pods" if end.succeeded else end.message
    conditions: list[Mapping[str, Any]] = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastProbeTime": now,
            "lastTransitionTime": now,
        }
        for kind in kinds
    ]
    others = [one for one in status.get("conditions") or () if one["type"] == SUSPENDED]
    found: Object = {**rest, "ready": 0, "conditions": [*others, *conditions]}
    if failures:
        found["failed"] = failures
    if end.succeeded:
        found |= {"succeeded": end.pods, "completionTime": now}
        if end.pods and indexed:
            found["completedIndexes"] = "0"
    return {name: value for name, value in found.items() if (name, value) != ("succeeded", 0)}


def _matches(rule: Mapping[str, Any], container: str, exit_code: int) -> bool:
    """Whether a rule holds. Those on conditions never do: nothing disrupts a pod on a laptop."""
    wanted = rule.get("onExitCodes")
    if not wanted or wanted.get("containerName", container) != container:
        return False
    inside = exit_code in wanted["values"]
    return inside if wanted["operator"] == "In" else not inside
