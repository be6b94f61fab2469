"""Serin's model beside the same weights on stock kserve with transformers, over one artifact.

For the models that `serin bench` cannot ask: it compares in environments of scikit-learn, and asks
for one numeric row. Both servers run in this environment at the same time, on one core with one
thread a computation, and are loaded in turn from another core. Beside rates the servers' CPU time
is counted, which other programs on the machine disturb less.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from controlplane.local.node.processes import free_ports
from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.repository import ROOT
from scripts.benchmark.result.provenance import provenance
from scripts.benchmark.serving.machine import Cores, OthersShare, load_average
from scripts.benchmark.serving.server import ENVIRONMENT

SERIN, STOCK = "serin", "stock kserve"
PACKAGES = ("kserve", "onnxruntime", "tokenizers", "torch", "transformers")
START_SECONDS = 240
ANSWER_SECONDS = 300

Ask = Callable[[http.client.HTTPConnection, int], int]
"""Asks the number-th question; returns how much was answered, in requests or in tokens."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    name: str
    port: int
    process: psutil.Process

    def connection(self) -> http.client.HTTPConnection:
        """A new connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)

    def cpu_seconds(self) -> float:
        """Processor time spent so far."""
        spent = self.process.cpu_times()
        return float(spent.user + spent.system)

    def use_all_cores(self) -> None:
        """Take its threads off the one core that rates are measured on."""
        if hasattr(os, "sched_setaffinity"):
            for thread in self.process.threads():
                os.sched_setaffinity(thread.id, range(os.cpu_count() or 1))


@contextmanager
def both(model: str, stock_script: str, artifact: Path, ask: Ask) -> Iterator[list[Server]]:
    """Serin and stock kserve, each asked until it answers; stopped when the block ends.

    Args:
        model: its name.
        stock_script: of scripts/benchmark/servers.
        artifact: the folder that both serve from.
        ask: any question.

    Raises:
        BenchmarkError: one did not answer in time.
    """
    stock = str(ROOT / "scripts" / "benchmark" / "servers" / stock_script)
    programs = {
        SERIN: ["-m", f"predictors.{model.replace('-', '_')}"],
        STOCK: ["-P", stock],
    }
    cores = Cores.choose()
    with ExitStack() as stack:
        servers = []
        for name, program in programs.items():
            http_port, grpc_port, metrics_port = free_ports(3)
            command = [
                *(sys.executable, *program, f"--model_name={model}"),
                *(f"--model_dir={artifact.resolve()}", f"--http_port={http_port}"),
                f"--grpc_port={grpc_port}",
            ]
            own = {"PREDICTOR_HOST": "127.0.0.1", "PREDICTOR_METRICS_PORT": str(metrics_port)}
            with cores.of_server():
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=os.environ | ENVIRONMENT | own,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
            server = Server(name, http_port, psutil.Process(process.pid))
            _wait(server, process, ask)
            servers.append(server)
        stack.enter_context(cores.of_load())
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


def report(module: str, artifact: Path, measure: Callable[[], dict[str, Any]]) -> None:
    """Measure, and print the result file's JSON."""
    at_start = load_average()
    others = OthersShare(Cores.choose())
    measured = measure()
    manifest = json.loads((artifact / "MANIFEST.json").read_bytes())
    document = {
        **provenance("python", "-m", module, arguments=sys.argv[1:]),
        "versions": {name: version(name) for name in PACKAGES if find_spec(name)},
        "model": {"name": manifest["model"], "data": manifest["data"]},
        "noise": {"load_average_at_start": at_start, "others_share": others.measure()},
        **measured,
    }
    print(json.dumps(document, indent=1, ensure_ascii=False))


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


def _wait(server: Server, process: "subprocess.Popen[bytes]", ask: Ask) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            ask(server.connection(), 0)
        except (OSError, http.client.HTTPException) as error:  # nobody listens yet
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"{server.name} did not answer: {error}") from error
            time.sleep(0.1)
        else:
            return
