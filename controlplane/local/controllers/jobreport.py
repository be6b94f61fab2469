"""What a person is told about each Job: objects in, one row a Job out. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.kubernetes.conditions import is_true
from controlplane.kubernetes.meta import Object, owned


@dataclass(frozen=True, slots=True)
class JobReport:
    """A Job as `serin status` shows it."""

    name: str
    state: str
    """Running, Waiting, Suspended, Complete or Failed."""
    reason: str
    """Why it waits or failed; empty where nothing is wrong."""
    tries: int
    """Pods that were started for it."""
    started_at: str
    """metav1.Time, as the one below; empty before."""
    ended_at: str


def job_reports(jobs: Iterable[Object], pods: Sequence[Object]) -> list[JobReport]:
    """Summarise every Job.

    Args:
        jobs: The Jobs.
        pods: All pods; a Job's own say why it waits, and what went wrong.
    """
    return [_report(job, owned(pods, job["metadata"]["uid"])) for job in jobs]


def _report(job: Object, pods: Sequence[Object]) -> JobReport:
    status = job.get("status") or {}
    ordered = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    messages = [message for pod in reversed(ordered) if (message := _message(pod))]
    said = messages[0] if messages else ""
    ended = ""
    if is_true(status, "Complete"):
        state, reason, ended = "Complete", "", str(status.get("completionTime", ""))
    elif is_true(status, "Failed"):
        (failed,) = (one for one in status["conditions"] if one["type"] == "Failed")
        reasons = [failed.get("reason", ""), said or failed.get("message", "")]
        state, reason = "Failed", ": ".join(filter(None, reasons))
        ended = str(failed.get("lastTransitionTime", ""))
    elif job["spec"].get("suspend"):
        state, reason = "Suspended", "spec.suspend is true"
    elif status.get("ready"):
        state, reason = "Running", ""
    else:
        state, reason = "Waiting", said or "its pod is yet to start"
    return JobReport(
        name=job["metadata"]["name"],
        state=state,
        reason=reason,
        tries=len(ordered),
        started_at=str(status.get("startTime", "")),
        ended_at=ended,
    )


def _message(pod: Object) -> str:
    """Why a pod's container waits, or ended; empty where nothing is wrong."""
    status = pod.get("status") or {}
    every = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    states: list[dict[str, Any]] = [one.get("state") or {} for one in every]
    state = next((one for one in states if _is_wrong(one)), {})
    if waiting := state.get("waiting"):
        return str(waiting.get("message", ""))
    ended = state.get("terminated") or {}
    if not ended.get("exitCode"):
        return ""
    return str(ended.get("message") or f"exit status {ended['exitCode']}")


def _is_wrong(state: dict[str, Any]) -> bool:
    """Whether a container waits for a reason of its own, or failed."""
    waiting = (state.get("waiting") or {}).get("message")
    return bool(waiting or (state.get("terminated") or {}).get("exitCode"))
