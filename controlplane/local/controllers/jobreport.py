"""What a person is told about each Job: objects in, one row a Job out. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.kubernetes import trainings
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
    progress: str = ""
    """How far a training is; empty where it does not say."""


def job_reports(jobs: Iterable[Object], pods: Sequence[Object]) -> list[JobReport]:
    """Summarise every Job.

    Args:
        jobs: The Jobs.
        pods: All pods; a Job's own say why it waits, and what went wrong.
    """
    return [_report(job, owned(pods, job["metadata"]["uid"])) for job in jobs]


def _report(job: Object, pods: Sequence[Object]) -> JobReport:
    status = job.get("status") or {}
    state, told = trainings.state(job), trainings.progress(job)
    ordered = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    messages = [message for pod in reversed(ordered) if (message := _message(pod))]
    said = messages[0] if messages else ""
    ended = ""
    if state == "Complete":
        reason, ended = "", str(status.get("completionTime", ""))
    elif state == "Failed":
        (failed,) = (one for one in status["conditions"] if one["type"] == "Failed")
        reasons = [failed.get("reason", ""), said or failed.get("message", "")]
        reason = ": ".join(filter(None, reasons))
        ended = str(failed.get("lastTransitionTime", ""))
    elif state == "Suspended":
        reason = "spec.suspend is true"
    elif state == "Running":
        reason = ""
    else:
        reason = said or "its pod is yet to start"
    return JobReport(
        name=job["metadata"]["name"],
        state=state,
        reason=reason,
        tries=len(ordered),
        started_at=str(status.get("startTime", "")),
        ended_at=ended,
        progress=trainings.words(told.percent, told.remaining, told.metrics),
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
