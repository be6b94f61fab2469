"""One server of a run: started on its core, asked until it answers rightly, measured, stopped."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from controlplane.local.node.processes import free_ports
from scripts.benchmark.errors import AnswerError, BenchmarkError, NoAnswerError
from scripts.benchmark.peer import Peer, Place
from scripts.benchmark.serving.machine import Cores
from scripts.benchmark.traffic.question import Question
from scripts.benchmark.traffic.transports import TRANSPORTS, post

START_SECONDS = 90.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.005
LOG_LINES = 20
# One thread a computation, for all alike: they share one core.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Settings of whoever runs the benchmark are not the peers'; the path would mix environments.
FOREIGN = ("PREDICTOR_", "MLSERVER_", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass(slots=True)
class Server:
    """A started server; use `serving`."""

    peer: Peer
    place: Place
    log: Path
    process: subprocess.Popen[bytes]
    started: float

    def port(self, transport: str) -> int:
        """Where a transport is served."""
        over_grpc = TRANSPORTS[transport].over_grpc
        return self.place.grpc_port if over_grpc else self.place.http_port

    def ask(self, transport: str, question: Question) -> int:
        """Ask once and check the answer.

        Returns:
            The answer's size in bytes.

        Raises:
            AnswerError: it is wrong.
            NoAnswerError: there is none.
        """
        way = TRANSPORTS[transport]
        request = way.request(question)
        if self.peer.echoes:
            body, _ = post(self.port(transport), request)
            if body != request.body:
                raise AnswerError("did not send the body back")
            return len(body)
        body, outputs = way.ask(self.port(transport), request)
        question.check(outputs)
        return len(body)

    def wait(self, transport: str, question: Question) -> float:
        """Seconds from the process's start to its first right answer.

        Raises:
            AnswerError: its first answer was wrong.
            NoAnswerError: there was none in time, or the process ended.
        """
        while True:
            try:
                self.ask(transport, question)
            except NoAnswerError as error:
                if self.process.poll() is not None:
                    raise NoAnswerError(f"ended at its start:\n{self.last_lines()}") from error
                if time.monotonic() - self.started > START_SECONDS:
                    reason = f"{error.message}\n{self.last_lines()}"
                    raise NoAnswerError(f"is not ready in {START_SECONDS:g} s: {reason}") from error
                time.sleep(POLL_SECONDS)
            else:
                return time.monotonic() - self.started

    def memory_bytes(self) -> int:
        """Resident memory of the process and all its children."""
        listed = subprocess.run(
            ["ps", "-axo", "pid=,ppid=,rss="], check=True, capture_output=True, text=True
        )
        rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
        tree = {self.process.pid}
        grown = True
        while grown:
            children = {pid for pid, parent, _ in rows if parent in tree}
            grown = not children <= tree
            tree |= children
        return sum(kib for pid, _, kib in rows if pid in tree) * 1024

    def last_lines(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])


@contextmanager
def launched(
    command: Sequence[str | Path],
    cores: Cores,
    environment: Mapping[str, str],
    directory: Path,
    output: int | IO[bytes] = subprocess.DEVNULL,
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A process on the servers' core, and when it began; ended with its children after the block.

    They are asked first, and made to when that takes too long.

    Raises:
        BenchmarkError: It cannot be started.
    """
    with cores.of_server():
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                list(command),
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise BenchmarkError(f"{command[0]} cannot be started: {error}") from error
    try:
        yield process, started
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(STOP_SECONDS)


@contextmanager
def serving(
    name: str,
    peer: Peer,
    python: Path,
    model: str,
    artifact: Path,
    home: Path,
    cores: Cores,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Server]:
    """A server of `peer` for `model` while the block runs; its log stays if that ends badly."""
    folder = home / "run" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = home / "logs" / f"{name}-{model}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    http_port, grpc_port, metrics_port = free_ports(3)
    place = Place(python, model, artifact, folder, http_port, grpc_port, metrics_port)
    start = peer.start(place)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)
    } | {**ENVIRONMENT, **start.environment, **settings}
    directory = start.directory or folder
    with (
        log.open("wb") as output,
        launched(start.command, cores, environment, directory, output) as (process, started),
    ):
        yield Server(peer, place, log, process, started)
    log.unlink()  # one line a request: a hundred megabytes
