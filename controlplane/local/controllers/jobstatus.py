"""A Job's controller as decisions: when to try again, when it is over, and what its status says.

Pure. As Kubernetes' Job controller for one pod at a time (parallelism and completions 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.kubernetes.conditions import is_true
from controlplane.kubernetes.meta import Object

BACKOFF_SECONDS = 1.0
BACKOFF_LIMIT_SECONDS = 60.0
"""Between tries: 1 s, 2 s, 4 s …; a cluster begins with 10 s."""


@dataclass(frozen=True, slots=True)
class End:
    """A Job that is over."""

    succeeded: bool
    reason: str = ""
    message: str = ""


def is_over(job: Object) -> bool:
    """Whether a Job has completed or failed."""
    return is_true(job.get("status"), "Complete") or is_true(job.get("status"), "Failed")


def after_exit(job: Object, exit_code: int, failures: int) -> End | None:
    """What the end of a try means: the Job's end, or None for another try.

    Args:
        job: The Job.
        exit_code: 0 for success.
        failures: How many tries have failed, this one included.
    """
    if exit_code == 0:
        return End(succeeded=True)
    for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", ())):
        if rule["action"] == "FailJob" and _matches(rule, exit_code):
            said = f"exit code {exit_code} matching FailJob rule at index {index}"
            return End(succeeded=False, reason="PodFailurePolicy", message=said)
    if failures > job["spec"].get("backoffLimit", 6):
        said = "Job has reached the specified backoff limit"
        return End(succeeded=False, reason="BackoffLimitExceeded", message=said)
    return None


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
    """A Job's status when its first pod is made."""
    status: Object = {"startTime": now, "uncountedTerminatedPods": {}}
    return {**status, **(job.get("status") or {})}


def active(status: Object, *, running: bool) -> Object:
    """A Job's status while a pod of it is there, or while it waits for the next try."""
    rest = {name: value for name, value in status.items() if name not in {"active", "ready"}}
    return {**rest, "active": 1, "ready": int(running)} if running else {**rest, "ready": 0}


def over(status: Object, end: End, failures: int, now: str) -> Object:
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
    found: Object = {**rest, "ready": 0, "conditions": conditions}
    if failures:
        found["failed"] = failures
    if end.succeeded:
        found |= {"succeeded": 1, "completionTime": now}
    return found


def _matches(rule: Mapping[str, Any], exit_code: int) -> bool:
    wanted = rule.get("onExitCodes")
    if not wanted:
        return False
    inside = exit_code in wanted["values"]
    return inside if wanted["operator"] == "In" else not inside
