"""nli beside the same weights in stock kserve with transformers: `python -m scripts.benchmark.nli`.

    ./serin install train-nli serve-nli
    .venv/bin/python -m scripts.benchmark.nli ARTIFACT [--connections 8] [--seconds 5] [--rounds 3]

ARTIFACT is what `serin train nli --output ARTIFACT` wrote. `serin bench` compares models of one
numeric tensor in environments of scikit-learn; this one needs torch, a part of Serin's own.
Rounds alternate between the two servers, each with one thread a computation. Beside requests a
second it counts the server's CPU time a request, which other programs on the machine disturb less.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from scripts.benchmark.repository import ROOT
from scripts.benchmark.server import ENVIRONMENT, free_ports

START_SECONDS = 180
TOLERANCE = 1e-4
SUBJECTS = (  # what people write, by length
    "A man is walking in the garden.",
    "Four goats are lying down in the office at night.",
    "You can see two teachers running on the beach in the morning.",
    "It was not only the weather, they said, which had kept them from going home before noon.",
)


@contextmanager
def serving(command: list[str], port: int, environment: dict[str, str]) -> Iterator[psutil.Process]:
    """A server until the block ends, asked until it is ready."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                ask(port, body(0))
            except (OSError, http.client.HTTPException, KeyError, ValueError):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"error: {' '.join(command)} did not answer within {START_SECONDS} s")
                time.sleep(0.1)
            else:
                break
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def body(number: int) -> bytes:
    """One pair, by its number."""
    texts = {
        "premise": SUBJECTS[number % len(SUBJECTS)],
        "hypothesis": SUBJECTS[number // len(SUBJECTS) % len(SUBJECTS)],
    }
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [text]}
        for name, text in texts.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def ask(port: int, request: bytes, connection: Any = None) -> list[float]:
    """The probabilities of one pair."""
    own = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    own.request("POST", "/v2/models/nli/infer", request, {"Content-Type": "application/json"})
    document = json.loads(own.getresponse().read())
    (found,) = (one for one in document["outputs"] if one["shape"] == [1, 3])
    return list(found["data"])


def load(port: int, connections: int, seconds: float) -> int:
    """How many requests so many clients, who each wait for their answer, get answered."""
    answered = [0] * connections
    stop = time.monotonic() + seconds

    def client(index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while time.monotonic() < stop:
            ask(port, body(index + answered[index]), connection)
            answered[index] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(index,)) for index in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered)


def main() -> None:
    """Start both, compare answers, load them in turn, print JSON."""
    parser = argparse.ArgumentParser(description="nli beside stock kserve with transformers")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ports = free_ports(5)
    folder = ["--model_name=nli", f"--model_dir={args.artifact.resolve()}"]
    commands = {
        "serin": ["-m", "predictors.nli", *folder],
        "stock kserve": ["-P", str(ROOT / "scripts/benchmark/servers/stock_kserve_t5.py"), *folder],
    }
    environment = {"PREDICTOR_HOST": "127.0.0.1", "PREDICTOR_METRICS_PORT": str(ports[4])}
    with ExitStack() as stack:
        servers = {}
        for (name, command), port, grpc_port in zip(
            commands.items(), ports[:2], ports[2:4], strict=True
        ):
            flags = [f"--http_port={port}", f"--grpc_port={grpc_port}"]
            servers[name] = (
                port,
                stack.enter_context(serving([*command, *flags], port, environment)),
            )
        off = 0.0
        for number in range(len(SUBJECTS) ** 2):
            first, second = (ask(port, body(number)) for port, _ in servers.values())
            off = max(off, *(abs(a - b) for a, b in zip(first, second, strict=True)))
        if off > TOLERANCE:
            sys.exit(f"error: answers differ by {off:.2g}: not compared")
        rates: dict[str, list[float]] = {name: [] for name in servers}
        cpu: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(args.rounds):
            for name, (port, process) in servers.items():
                before = sum(process.cpu_times()[:2])
                count = load(port, args.connections, args.seconds)
                cpu[name].append((sum(process.cpu_times()[:2]) - before) / count * 1e3)
                rates[name].append(count / args.seconds)
    result = {
        "connections": args.connections,
        "largest_difference": off,
        "requests_per_second": rates,
        "cpu_milliseconds_per_request": cpu,
        "ratio_of_sums": sum(rates["serin"]) / sum(rates["stock kserve"]),
        "cpu_ratio_of_sums": sum(cpu["stock kserve"]) / sum(cpu["serin"]),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
