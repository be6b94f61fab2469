"""Runs for people: a line of the table, all of one, two beside each other."""

from collections.abc import Sequence
from datetime import UTC, datetime

from controlplane import trainingjobs
from controlplane.differences import shown as figure
from controlplane.kubernetes import trainings
from controlplane.trainingjobs import Run
from scripts.show import versions

HEADER = ("RUN", "MODEL", "STATE", "PROGRESS", "VERSION", "AGE", "FLAGS")
_NARROW = 100
"""Columns of a terminal on which flags have no room."""


def row(run: Run, now: datetime) -> tuple[str, ...]:
    """A line of the table."""
    left, metrics = run.get("estimatedRemainingSeconds"), run.get("metrics") or {}
    telling = {} if left else dict(sorted(metrics.items(), key=versions.telling)[:1])
    return (
        run["run"],
        run["model"],
        run["state"],
        trainings.words(run.get("progressPercentage"), left, telling) or "–",
        version(run) or "–",
        _age(str(run.get("beganAt")), now),
        " ".join(map(str, run.get("flags") or ())) or "–",
    )


def table(runs: Sequence[Run], columns: int | None) -> list[tuple[str, ...]]:
    """Header and lines, for a terminal of so many columns; None is no terminal."""
    now = datetime.now(UTC)
    lines = [HEADER, *(row(run, now) for run in runs)]
    narrow = columns is not None and columns < _NARROW
    return [line[:-1] for line in lines] if narrow else lines


def version(run: Run) -> str:
    """What came of it; empty where nothing did."""
    return str(run.get("storageUri") or "").rpartition("/")[2]


def description(run: Run) -> str:
    """All of a run, but for its log."""
    lines = [
        (field, value)
        for field, value in trainingjobs.flat(
            {key: run[key] for key in run if key not in {"log", "live"}}
        )
        if value not in ("", None)
    ]
    width = max(len(field) for field, _ in lines)
    return "".join(f"{field.ljust(width)}  {figure(value)}\n" for field, value in lines)


def _age(moment: str, now: datetime) -> str:
    try:
        seconds = (now - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return "–"
    return trainings.duration(max(seconds, 0))
