"""Serin at four fifths of its capacity for minutes: errors, memory and latency, minute by minute.

Capacity is what 64 connections get that send as they are answered. Then the same connections send
at 80 % of that rate; one error of any kind ends the soak.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.benchmark.errors import LoadError
from scripts.benchmark.measure import Subject
from scripts.benchmark.overload import BUSY_CONNECTIONS, Accepted, load
from scripts.benchmark.serving.server import Server

SHARE = 0.8
MINUTE_SECONDS = 60
TRANSPORT = "rest-json"


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of the soak."""

    answered_per_second: float
    p50_ms: float
    p99_ms: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Soak:
    """A model under steady load."""

    model: str
    capacity_per_second: float
    minutes: tuple[Minute, ...]

    @property
    def memory_growth(self) -> float:
        """Growth from the first minute's end to the last's, as a share."""
        return self.minutes[-1].memory_bytes / self.minutes[0].memory_bytes - 1

    def document(self) -> dict[str, Any]:
        """For the result file."""
        return {**asdict(self), "memory_growth": self.memory_growth}


def soak(
    server: Server, subject: Subject, minutes: int, folder: Path, tell: Callable[[str], None]
) -> Soak:
    """Load a started server for minutes; `tell` hears of each.

    Raises:
        LoadError: a request was not answered with 200.
    """
    server.wait(TRANSPORT, subject.question)
    load(server, subject, BUSY_CONNECTIONS, 2, folder, None)  # warms up
    capacity = load(server, subject, BUSY_CONNECTIONS, 5, folder, None).accepted_per_second
    seen: list[Minute] = []
    for number in range(1, minutes + 1):
        answers = load(server, subject, BUSY_CONNECTIONS, MINUTE_SECONDS, folder, SHARE * capacity)
        _refuse_errors(answers, number)
        minute = Minute(
            answers.accepted_per_second, answers.p50_ms, answers.p99_ms, server.memory_bytes()
        )
        seen.append(minute)
        tell(
            f"{subject.model}, minute {number}: {minute.answered_per_second:,.0f}/s, p50 "
            f"{minute.p50_ms:.2f} ms, p99 {minute.p99_ms:.2f} ms, "
            f"{minute.memory_bytes / 2**20:.1f} MiB"
        )
    server.ask(TRANSPORT, subject.question)
    return Soak(subject.model, capacity, tuple(seen))


def _refuse_errors(answers: Accepted, number: int) -> None:
    if answers.refused_per_second:
        raise LoadError(f"refused requests in minute {number}, below capacity")
