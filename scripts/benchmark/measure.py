"""The run: every peer in turn, and all of them again each round.

Rounds are interleaved so that a machine that slows down slows all peers; every second round goes
backwards so that none is always the first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.peer import Peer
from scripts.benchmark.serving.machine import Cores
from scripts.benchmark.serving.server import Server, serving
from scripts.benchmark.traffic import h2load, wrk
from scripts.benchmark.traffic.load import Load
from scripts.benchmark.traffic.question import Question
from scripts.benchmark.traffic.transports import TRANSPORTS

WARM_UP_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is made."""

    seconds: int
    """Of each load."""
    warm_up_seconds: int
    """Before the loads of each transport."""
    rounds: int
    connections: tuple[int, ...]
    home: Path
    """Where environments, logs and other files of the run are."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One model, its artifact and what is asked of it."""

    question: Question
    artifact: Path

    @property
    def model(self) -> str:
        """The model's name."""
        return self.question.model


@dataclass(frozen=True, slots=True)
class Point:
    """One load."""

    model: str
    peer: str
    transport: str
    connections: int
    round: int
    load: Load


@dataclass(frozen=True, slots=True)
class Process:
    """One start of one server."""

    model: str
    peer: str
    round: int
    start_seconds: float
    """From the process's start to its first right answer."""
    memory_bytes: int
    """Resident, after all loads."""


@dataclass(slots=True)
class Measured:
    """All of a run. With failures it is no result."""

    points: list[Point] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def measure(
    settings: Settings,
    subjects: Sequence[Subject],
    peers: Mapping[str, tuple[Peer, Path]],
    cores: Cores,
    tell: Callable[[str], None],
) -> Measured:
    """Load every peer with every model that it can serve.

    Args:
        settings: how long, how often, how many connections.
        subjects: the models.
        peers: by name, each with the interpreter of its environment.
        cores: where servers and load run.
        tell: called with what is measured now.
    """
    measured = Measured()
    for subject in subjects:
        for number in range(1, settings.rounds + 1):
            order = list(peers) if number % 2 else list(peers)[::-1]
            for name in order:
                peer, python = peers[name]
                if not peer.serves(subject.artifact):
                    continue
                what = f"{subject.model}, round {number} of {settings.rounds}, {name}"
                tell(what)
                try:
                    with serving(
                        name, peer, python, subject.model, subject.artifact, settings.home, cores
                    ) as server:
                        _visit(settings, subject, name, number, server, measured)
                except BenchmarkError as error:
                    measured.failures.append(f"{what}: {error.message}")
    return measured


def _visit(
    settings: Settings,
    subject: Subject,
    name: str,
    number: int,
    server: Server,
    measured: Measured,
) -> None:
    """All loads of one server."""
    question = subject.question
    start_seconds = server.wait(server.peer.transports[0], question)
    for transport in server.peer.transports:
        answer_bytes = server.ask(transport, question)
        load_of = _loader(settings, question, server, transport, answer_bytes)
        if settings.warm_up_seconds:
            load_of(WARM_UP_CONNECTIONS, settings.warm_up_seconds)
        for connections in settings.connections:
            load = load_of(connections, settings.seconds)
            point = Point(subject.model, name, transport, connections, number, load)
            measured.points.append(point)
            if not load.requests or load.errors:
                measured.failures.append(_failure(point))
            # Also waits until the server is done with what the load left behind.
            server.ask(transport, question)
    measured.processes.append(
        Process(subject.model, name, number, start_seconds, server.memory_bytes())
    )


def _loader(
    settings: Settings, question: Question, server: Server, transport: str, answer_bytes: int
) -> Callable[[int, int], Load]:
    """One transport's load, by connections and seconds."""
    way = TRANSPORTS[transport]
    request = way.request(question)
    port = server.port(transport)

    def load(connections: int, seconds: int) -> Load:
        if way.over_grpc:
            return h2load.run(port, request, connections, seconds, settings.home, answer_bytes)
        return wrk.run(port, request, connections, seconds, settings.home)

    return load


def _failure(point: Point) -> str:
    errors = ", ".join(f"{count} {kind}" for kind, count in point.load.errors.items())
    return (
        f"{point.model}, round {point.round}, {point.peer} {point.transport}, "
        f"{point.connections} connections: {errors or 'no answer'}"
    )
