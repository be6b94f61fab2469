"""Serin's model beside the same weights on stock kserve with transformers, over one artifact.

For the models that `serin bench` cannot ask: it compares in environments of scikit-learn, and asks
for one numeric row. Both servers run in this environment at the same time, on one core with one
thread a computation, and are loaded in turn from another core. Beside rates the servers' CPU time
is counted, which other programs on the machine disturb less.
"""

import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import psutil

from controlplane.local.node.processes import free_ports
from scripts.benchmark.errors import BenchmarkError, NoAnswerError
from scripts.benchmark.repository import ROOT
from scripts.benchmark.serving.machine import Cores
from scripts.benchmark.serving.server import ENVIRONMENT, launched

SERIN, STOCK = "serin", "stock kserve"
START_SECONDS = 240
ANSWER_SECONDS = 300

Ask = Callable[[http.client.HTTPConnection, int], int]
"""Asks the number-th question; returns how much was answered, in requests or in tokens."""


@dataclass(frozen=True)
class Server:
    """A server that was started."""

    name: str
    port: int
    process: psutil.Process
    started: float
    """time.monotonic() before its process began."""

    def connection(self) -> http.client.HTTPConnection:
        """A new connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)

    def cpu_seconds(self) -> float:
        """Processor time spent so far."""
        spent = self.process.cpu_times()
        return float(spent.user + spent.system)

    def resident_bytes(self) -> int:
        """Memory now."""
        return int(self.process.memory_info().rss)

    def use_all_cores(self) -> None:
        """Take its threads off the one core that rates are measured on."""
        if hasattr(os, "sched_setaffinity"):
            for thread in self.process.threads():
                os.sched_setaffinity(thread.id, range(os.cpu_count() or 1))


S = TypeVar("S", bound=Server)


@contextmanager
def started(
    kind: type[S], name: str, program: Sequence[str], model: str, artifact: Path, **settings: str
) -> Iterator[S]:
    """A server of this environment on the servers' core, from the start of its process on."""
    http_port, grpc_port, metrics_port = free_ports(3)
    command = [
        *(sys.executable, *program, f"--model_name={model}"),
        *(f"--model_dir={artifact.resolve()}", f"--http_port={http_port}"),
        f"--grpc_port={grpc_port}",
    ]
    own = {"PREDICTOR_HOST": "127.0.0.1", "PREDICTOR_METRICS_PORT": str(metrics_port), **settings}
    environment = os.environ | ENVIRONMENT | own
    with launched(command, Cores.choose(), environment, ROOT) as (process, began):
        yield kind(name, http_port, psutil.Process(process.pid), began)


@contextmanager
def both(model: str, stock_script: str, artifact: Path, ask: Ask) -> Iterator[list[Server]]:
    """Serin and stock kserve, each asked until it answers; stopped when the block ends.

    Args:
        model: its name.
        stock_script: of scripts/benchmark/servers.
        artifact: the folder that both serve from.
        ask: any question.

    Raises:
        NoAnswerError: one did not answer in time.
    """
    stock = str(ROOT / "scripts" / "benchmark" / "servers" / stock_script)
    programs = {
        SERIN: ["-m", f"predictors.{model.replace('-', '_')}"],
        STOCK: ["-P", stock],
    }
    with ExitStack() as stack:
        servers = []
        for name, program in programs.items():
            server = stack.enter_context(started(Server, name, program, model, artifact))
            wait(server, partial(_asked, ask))
            servers.append(server)
        stack.enter_context(Cores.choose().of_load())
        yield servers


def load(server: Server, connections: int, seconds: float, ask: Ask) -> tuple[float, float]:
    """Ask over so many connections, each of which waits for its answer.

    Returns:
        How much was answered a second, until the last answer; and the server's CPU milliseconds
        for one of it.
    """

    def client(index: int) -> int:
        answered = 0
        connection = server.connection()
        asked = index
        while time.monotonic() < stop:
            answered += ask(connection, asked)
            asked += connections
        connection.close()
        return answered

    before, started = server.cpu_seconds(), time.monotonic()
    stop = started + seconds
    with ThreadPoolExecutor(connections) as pool:
        answered = sum(pool.map(client, range(connections)))
    elapsed = time.monotonic() - started
    return answered / elapsed, (server.cpu_seconds() - before) / answered * 1e3


def compare(
    servers: list[Server], connections: int, seconds: float, rounds: int, ask: Ask
) -> dict[str, Any]:
    """Rounds of load, every second one backwards; ratios are medians over rounds.

    Returns:
        For the result file: `to_stock_kserve` of rates and of CPU time, then every round.
    """
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    cpu: dict[str, list[float]] = {server.name: [] for server in servers}
    for number in range(rounds):
        for server in servers if number % 2 == 0 else reversed(servers):
            rate, milliseconds = load(server, connections, seconds, ask)
            rates[server.name].append(round(rate, 2))
            cpu[server.name].append(round(milliseconds, 4))
    faster = [one / other for one, other in zip(rates[SERIN], rates[STOCK], strict=True)]
    leaner = [other / one for one, other in zip(cpu[SERIN], cpu[STOCK], strict=True)]
    return {
        "connections": connections,
        "to_stock_kserve": round(median(faster), 2),
        "to_stock_kserve_by_cpu_time": round(median(leaner), 2),
        "answered_per_second": rates,
        "cpu_milliseconds_each": cpu,
    }


def post(
    connection: http.client.HTTPConnection, path: str, document: dict[str, Any]
) -> dict[str, Any]:
    """A JSON answer.

    Raises:
        BenchmarkError: it is another than 200.
    """
    body = json.dumps(document).encode()
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != http.client.OK:
        raise BenchmarkError(f"{path} was answered {response.status}: {answer[:300]!r}")
    read: dict[str, Any] = json.loads(answer)
    return read


def wait(server: S, ask: Callable[[S], object]) -> float:
    """Ask until it answers; seconds from its process's start to its first answer.

    Raises:
        NoAnswerError: It did not in time, or it ended.
    """
    while True:
        try:
            ask(server)
        except (OSError, http.client.HTTPException) as error:  # nobody listens yet
            late = time.monotonic() - server.started > START_SECONDS
            if late or server.process.status() == psutil.STATUS_ZOMBIE:
                raise NoAnswerError(f"{server.name} did not answer: {error}") from error
            time.sleep(0.02)
        else:
            return time.monotonic() - server.started


def _asked(ask: Ask, server: Server) -> int:
    return ask(server.connection(), 0)
