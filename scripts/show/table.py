"""What runs, as a table: one line a model, canary or Job; why something is wrong below it."""

import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from controlplane.kubernetes.trainings import duration
from scripts.show import columns

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

HEADER = ("MODEL", "VERSION", "REPLICAS", "STATE", "REASON")
JOBS = ("JOB", "AGE", "TRIES", "STATE", "REASON")
COLOURS = {
    "Ready": "green",
    "Complete": "green",
    "Failed": "red",
    "Degraded": "red",
    "Unpublished": "yellow",
}
LATELY_SECONDS = 3600
"""What ended longer ago is not shown."""
_STATE, _REASON = 3, 4


def rows(state: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row a model, and one a canary below it; what changes shows from what to what."""
    found: list[tuple[str, ...]] = []
    for name, model in sorted(state.get("models", {}).items()):
        found.append((name, *_predictor(model)))
        for canary in model.get("canaries", ()):
            share, target = canary["share"], canary["target_share"]
            shares = f"{share} %" if share == target else f"{share} → {target} %"
            found.append((f"└ {canary['name']} {shares}", *_predictor(canary)))
    return found


def jobs(state: Mapping[str, Any], now: datetime) -> list[tuple[str, ...]]:
    """One row a Job that is not over, or ended lately."""
    found: list[tuple[str, ...]] = []
    for job in state.get("jobs", ()):
        began, ended = _seconds_since(job["started_at"], now), _seconds_since(job["ended_at"], now)
        if ended is None or ended < LATELY_SECONDS:
            age = "–" if began is None else duration(began)
            said = job["reason"] or job.get("progress", "")
            found.append((job["name"], age, str(job["tries"]), job["state"], said))
    return found


def show(state: Mapping[str, Any]) -> None:
    """Print the tables on stdout."""
    tables = [(HEADER, rows(state)), (JOBS, jobs(state, datetime.now(UTC)))]
    for place, (header, lines) in enumerate(tables):
        if not lines and place:
            continue
        if sys.stdout.isatty():
            from rich.console import Console

            Console().print(*([""] if place else []), Table(header, lines), sep="\n")
        else:
            sys.stdout.write("\n" * place + columns.plain(header, lines))


class Table:
    """A table for a terminal, laid out for its width: a long reason stands below its row."""

    def __init__(self, header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
        self.header = header
        self.lines = lines

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        """The lines, as rich asks for them."""
        from rich.text import Text

        cells = [self.header, *self.lines]
        widths = [max(len(row[column]) for row in cells) for column in range(_REASON)]
        dim = "" if "NO_COLOR" in os.environ else "dim"
        for row in cells:
            line = Text(no_wrap=True, overflow="fold")
            for place, width in enumerate(widths):
                style = COLOURS.get(row[place], "") if place == _STATE else ""
                line.append(row[place], dim if row is self.header else style)
                line.append(" " * (width - len(row[place]) + 2))
            room = options.max_width - line.cell_len
            if len(row[_REASON]) <= room:
                yield line + Text(row[_REASON], dim if row is self.header else "")
                continue
            line.rstrip()
            yield line
            indent = "    " if row[0].startswith("└") else "  "
            for part in textwrap.wrap(row[_REASON], max(options.max_width - len(indent), 20)):
                yield Text(indent + part, no_wrap=True, overflow="fold")


def _predictor(one: Mapping[str, Any]) -> tuple[str, ...]:
    now, target = one["version"], one["target_version"]
    version = f"{now} → {target}" if now and target and now != target else now or target or "–"
    if followed := one.get("channel"):
        version = f"{version} @{followed['name']} {followed['generation']}"
    ready = f"{one['replicas_ready']}/{one['replicas_wanted']}"
    return (version, ready, one["state"], one["reason"])


def _seconds_since(time: str, now: datetime) -> float | None:
    return (now - datetime.fromisoformat(time)).total_seconds() if time else None
