"""Serin past its capacity: what the requests that it accepts wait, and how many it refuses.

The queue is set to 64. First 64 connections keep it full, each sending when it has its answer: that
is capacity, and the wait that this queue promises. Then four times that rate over 256 connections.
What is refused (429) must hardly make what is accepted slower.

These clients are worse than real ones: they do not heed Retry-After, so each refused one is back at
once, and what is refused takes time from what is answered. A connection waits for its answer before
it asks again, so fewer than four times as many are offered where even refusing takes longer.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.benchmark.errors import LoadError
from scripts.benchmark.measure import Subject
from scripts.benchmark.serving.server import Server
from scripts.benchmark.traffic.h2load import call, entries, percentile
from scripts.benchmark.traffic.transports import TRANSPORTS

FACTOR = 4
BUSY_CONNECTIONS = 64
OVERLOAD_CONNECTIONS = FACTOR * BUSY_CONNECTIONS
SETTINGS = {"PREDICTOR_QUEUE_SIZE": str(BUSY_CONNECTIONS)}
OK, REFUSED = 200, 429


@dataclass(frozen=True, slots=True)
class Accepted:
    """One load, of which some requests may be refused."""

    offered_per_second: float | None
    """The rate that was asked for; None where each connection sends when it has its answer."""
    accepted_per_second: float
    refused_per_second: float
    p50_ms: float
    p99_ms: float
    """Of what was accepted."""


@dataclass(frozen=True, slots=True)
class Overload:
    """A model at its capacity and past it."""

    model: str
    capacity: Accepted
    overload: Accepted

    @property
    def p99_ratio(self) -> float:
        """How much later the slowest accepted percent is answered."""
        return self.overload.p99_ms / self.capacity.p99_ms

    def document(self) -> dict[str, Any]:
        """For the result file."""
        return {**asdict(self), "p99_ratio": self.p99_ratio, "settings": SETTINGS}


def overload(server: Server, subject: Subject, seconds: int, folder: Path) -> Overload:
    """Load a server started with SETTINGS over REST JSON: at its capacity, then past it."""
    transport = "rest-json"
    server.wait(transport, subject.question)
    load(server, subject, BUSY_CONNECTIONS, 1, folder, None)  # warms up
    capacity = load(server, subject, BUSY_CONNECTIONS, seconds, folder, None)
    rate = FACTOR * capacity.accepted_per_second
    past = load(server, subject, OVERLOAD_CONNECTIONS, seconds, folder, rate)
    server.ask(transport, subject.question)
    return Overload(subject.model, capacity, past)


def load(
    server: Server,
    subject: Subject,
    connections: int,
    seconds: int,
    folder: Path,
    rate: float | None,
) -> Accepted:
    """REST JSON by h2load: of the generators only it writes down each request's status."""
    request = TRANSPORTS["rest-json"].request(subject.question)
    port = server.port("rest-json")
    options = ("--rps", f"{rate / connections:.3f}") if rate else ()
    _, log = call(port, request, connections, seconds, folder, "--h1", *options)
    return accepted(entries(log), seconds, rate)


def accepted(answers: Sequence[tuple[int, int]], seconds: float, offered: float | None) -> Accepted:
    """What a log of (status, microseconds) says.

    Raises:
        LoadError: something else than an answer or a refusal, or no answer at all.
    """
    strange = sorted({status for status, _ in answers} - {OK, REFUSED})
    if strange:
        raise LoadError(f"answers with status {', '.join(map(str, strange))} under overload")
    latencies = sorted(latency for status, latency in answers if status == OK)
    if not latencies:
        raise LoadError("nothing was accepted")
    return Accepted(
        offered_per_second=offered,
        accepted_per_second=len(latencies) / seconds,
        refused_per_second=(len(answers) - len(latencies)) / seconds,
        p50_ms=percentile(latencies, 50) / 1e3,
        p99_ms=percentile(latencies, 99) / 1e3,
    )
