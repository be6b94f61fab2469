"""What a Job says of the training in it, in its annotations and status. Pure.

training/job.py writes the annotations; their words are Kubeflow's (KEP-2779). Anybody may write
them, so nothing is taken for granted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.kubernetes.conditions import is_true
from controlplane.kubernetes.meta import Object

PREFIX = "serin.dev/"
LABEL = "app.kubernetes.io/component"
SELECTOR = f"{LABEL}=training"
MODEL = "app.kubernetes.io/name"
LONGEST = 200
MOST = 30


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is, as it said last."""

    percent: int | None
    remaining: int | None
    """Seconds."""
    metrics: Mapping[str, float]
    gates: tuple[Mapping[str, Any], ...]
    uri: str
    """Of what was published; empty before."""


def progress(job: Object) -> Progress:
    """Of a Job; one that says nothing has nothing."""
    told = (job.get("metadata") or {}).get("annotations") or {}
    metrics = {
        entry["name"][:LONGEST]: value
        for entry in _entries(told.get(f"{PREFIX}metrics"))
        if (value := _number(entry.get("value"))) is not None
    }
    percent = _number(told.get(f"{PREFIX}progressPercentage"))
    remaining = _number(told.get(f"{PREFIX}estimatedRemainingSeconds"))
    return Progress(
        percent=None if percent is None else round(min(max(percent, 0), 100)),
        remaining=None if remaining is None else round(max(remaining, 0)),
        metrics=metrics,
        gates=tuple(_entries(told.get(f"{PREFIX}gates"))),
        uri=str(told.get(f"{PREFIX}storageUri") or "")[:LONGEST],
    )


def state(job: Object) -> str:
    """Complete, Failed, Suspended, Running or Waiting."""
    status = job.get("status") or {}
    for over in ("Complete", "Failed"):
        if is_true(status, over):
            return over
    if job["spec"].get("suspend"):
        return "Suspended"
    # Between its pod's end and its condition no pod is ready: nobody waits for one then.
    return "Running" if status.get("ready") or progress(job).uri else "Waiting"


def is_over(job: Object) -> bool:
    """Whether nothing more comes of it."""
    return state(job) in {"Complete", "Failed"}


def words(percent: int | None, remaining: int | None, metrics: Mapping[str, float]) -> str:
    """How far it is, for people: 45 %, 12 s left, loss 0.23."""
    parts = [] if percent is None else [f"{percent} %"]
    if remaining is not None:
        parts.append(f"{duration(remaining)} left")
    if metrics:
        name, value = next(iter(metrics.items()))
        parts.append(f"{name} {value:.4g}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """In the largest unit that it has one of."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _entries(value: object) -> list[dict[str, Any]]:
    """A JSON list of objects that have a name."""
    try:
        found = json.loads(str(value or "[]"))
    except (ValueError, RecursionError):
        return []
    entries = found if isinstance(found, list) else []
    named = (entry for entry in entries if isinstance(entry, dict))
    return [entry for entry in named if isinstance(entry.get("name"), str)][:MOST]


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if abs(number) < 1e12 else None  # NaN is below nothing
