"""Jobs that train: how far each is, why it waits or failed, and the end of its log."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from controlplane import trainingjobs
from controlplane.console.pages import charts, logs, services, words
from controlplane.console.pages.charts import Curve
from controlplane.console.pages.logs import LogLine
from controlplane.console.sources.answer import MALFORMED, Answer, SourceError, answered, each
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.kubernetes import trainings

JOBS = 60
SELECTOR = "app.kubernetes.io/component=training"
PROGRESS = ("progressPercentage", "estimatedRemainingSeconds", "metrics")
"""Kubeflow's words (KEP-2779), as the last part of an annotation's name or inside one."""


@dataclass(frozen=True, slots=True)
class Run:
    """One Job."""

    name: str
    model: str
    state: str
    reason: str
    percent: float | None
    remaining: float | None
    metrics: list[tuple[str, str]]
    tries: int
    begun: datetime | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Training:
    """The page; of one Job with its log."""

    runs: Answer[list[Run]]
    chosen: str = ""
    log: Answer[list[LogLine]] = field(default_factory=lambda: Answer([]))
    loss: Curve | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """Two runs, and the fields in which they differ."""

    names: tuple[str, str]
    rows: list[tuple[str, str, str]]


def compared(run: trainingjobs.Run, other: trainingjobs.Run) -> Compared:
    """What `serin runs compare` says of two runs.

    Raises:
        SourceError: A record is of another form.
    """
    names = words.short(run["run"], 40), words.short(other["run"], 40)
    try:
        return Compared(names, words.differences(trainingjobs.differences(run, other)))
    except MALFORMED as error:
        raise SourceError("A record of these runs does not have a run's form.") from error


async def page(sources: Sources, chosen: str) -> Training:
    """Every Job, and the log of the chosen one or the newest."""
    jobs, pods = await asyncio.gather(
        answered(sources.cluster.list("jobs", SELECTOR), []),
        answered(sources.cluster.list("pods", SELECTOR), []),
    )
    runs = each(jobs.value, lambda job: run(job, pods.value), _unreadable)
    runs.sort(key=lambda run: run.begun or datetime.min.replace(tzinfo=UTC), reverse=True)
    runs = runs[:JOBS]
    named = (
        chosen if any(run.name == chosen for run in runs) else next((run.name for run in runs), "")
    )
    own = [pod for pod in pods.value if services.label(pod, "job-name") == named]
    own = own or [
        pod for pod in pods.value if services.label(pod, "batch.kubernetes.io/job-name") == named
    ]
    log = Answer("")
    tries = each(own, services.pod, services.unreadable_pod)
    if named and tries:
        newest = max(tries, key=lambda pod: pod.made)
        log = await answered(sources.cluster.log(newest.name, newest.container), "")
    return Training(
        Answer(runs, jobs.error),
        named,
        Answer(logs.lines(log.value), log.error or pods.error),
        charts.loss(log.value),
    )


def run(job: Object, pods: list[Object]) -> Run:
    """A Job from its object."""
    name, status = job["metadata"]["name"], job.get("status") or {}
    conditions = {
        entry["type"]: entry
        for entry in status.get("conditions") or ()
        if entry.get("status") == "True"
    }
    uid = job["metadata"].get("uid")
    own = [pod for pod in pods if services.is_owned(pod, uid)]
    said = services.why(own)
    ended: object = None
    if "Complete" in conditions:
        state, reason, ended = "Complete", "", status.get("completionTime")
    elif "Failed" in conditions:
        failed = conditions["Failed"]
        words_ = (failed.get("reason"), said or failed.get("message"))
        state, reason = "Failed", ": ".join(str(word) for word in words_ if word)
        ended = failed.get("lastTransitionTime")
    else:
        state = trainings.state(job)
        waits = {"Suspended": "spec.suspend is true", "Waiting": said or "its pod is yet to start"}
        reason = waits.get(state, said)
    begun = words.moment(status.get("startTime"))
    end = words.moment(ended) or (datetime.now(UTC) if state == "Running" else None)
    told = progress(job["metadata"].get("annotations") or {})
    percent = _number(told.get("progressPercentage"))
    return Run(
        name=words.short(str(name), services.NAME),
        model=words.short(services.label(job, "app.kubernetes.io/name"), 80),
        state=state,
        reason=words.short(reason, services.REASON),
        percent=100.0 if state == "Complete" else percent,
        remaining=_number(told.get("estimatedRemainingSeconds")) if state == "Running" else None,
        metrics=words.measures(_metrics(told.get("metrics")), 4),
        tries=len(own),
        begun=begun,
        seconds=(end - begun).total_seconds() if begun and end else None,
    )


def progress(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """What a training says of itself: each word in an annotation, or all as JSON in one."""
    told: dict[str, Any] = {}
    for name, value in annotations.items():
        word = str(name).rpartition("/")[2]
        if word in PROGRESS:
            told.setdefault(word, value)
        elif word.lower().replace("-", "") == "trainerstatus":
            try:
                document = json.loads(value)
            except MALFORMED:
                continue
            if isinstance(document, dict):
                told |= {key: document[key] for key in PROGRESS if key in document}
    return told


def _metrics(value: object) -> dict[str, Any]:
    """Metrics as an object, or as Kubeflow's list of names and values; as JSON text or not."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except MALFORMED:
            return {}
    if isinstance(value, list):
        value = {
            str(entry["name"]): _number(entry.get("value"))
            for entry in value
            if isinstance(entry, dict) and "name" in entry
        }
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None


def _unreadable(job: Object) -> Run:
    return Run(
        words.short(services.name_of(job) or "?", services.NAME),
        *(
            "",
            "Unreadable",
            "The object does not have a Job's form.",
            None,
            None,
            [],
            0,
            None,
            None,
        ),
    )
