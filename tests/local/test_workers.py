"""`--workers 2`: two processes on one port, one of which may die."""

import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from predictors.runtime.lean_kserve import pb
from tests.support.predictor import (
    JSON,
    STOP_SECONDS,
    Predictor,
    metric,
    running,
    start_refused,
    wait_until,
)
from tests.support.slow_model import HELD, let_go, write_artifact

MODULE = "tests.support.slow_model"
CONNECTIONS = 24  # the kernel chooses a worker for each: all on one of two is one time in 2^23


class Client:
    """One connection, and so one worker."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.connection = http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=20)

    def ask(self, seconds: float) -> tuple[int, Any, bool]:
        """Status and document of one request, and whether the connection ends with it."""
        tensor = {"name": "seconds", "datatype": "FP32", "shape": [1], "data": [seconds]}
        body = json.dumps({"inputs": [tensor]})
        self.connection.request("POST", self.predictor.infer_path, body, JSON)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.getheader("connection") == "close"

    def worker(self) -> str:
        """The process at its other end: ids that it gives begin alike."""
        return str(self.ask(0.0)[1]["id"].split("-")[0])


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published slow model."""
    return write_artifact(tmp_path_factory.mktemp("slow"))


@pytest.fixture
def predictor(artifact: Path, tmp_path: Path) -> Iterator[Predictor]:
    """Two workers of it, both loaded."""
    with running("slow", artifact, tmp_path / "log", module=MODULE, flags="--workers=2") as started:
        wait_until(lambda: count(started, "predictor_workers") == 2, 60, "two loaded workers")
        yield started


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What ends with the test."""
    with ExitStack() as found:
        yield found


def count(predictor: Predictor, name: str, **labels: str) -> float:
    """One series of the shared /metrics."""
    return metric(predictor.metrics(), name, **labels)


def clients_by_worker(predictor: Predictor, stack: ExitStack) -> dict[str, list[Client]]:
    """Some connections to each worker, until `stack` ends."""
    found: dict[str, list[Client]] = {}
    for client in [Client(predictor) for _ in range(CONNECTIONS)]:
        stack.callback(client.connection.close)
        found.setdefault(client.worker(), []).append(client)
    assert len(found) == 2, {worker: len(clients) for worker, clients in found.items()}
    return found


def test_killed_worker_loses_what_it_had_in_hand_and_nothing_else(
    predictor: Predictor, stack: ExitStack
) -> None:
    """Both answer; metrics are their sum, also of the dead; another takes the dead one's place."""
    found = clients_by_worker(predictor, stack)
    clients = [(worker, client) for worker, listed in found.items() for client in listed]
    parent = psutil.Process(predictor.process.pid)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        held = [(worker, listed[0]) for worker, listed in found.items()]
        slow = [(worker, pool.submit(client.ask, HELD)) for worker, client in held]
        in_flight(predictor, len(held))  # each holds up its worker's others
        slow += [(each[0], pool.submit(each[1].ask, 0.01)) for each in clients if each not in held]
        in_flight(predictor, CONNECTIONS)
        parent.children()[0].kill()
        let_go(predictor.folder)
        lost = {worker for worker, one in slow if one.exception() is not None}
        kept = {worker for worker, one in slow if one.exception() is None}
        statuses = {one.result()[0] for _, one in slow if one.exception() is None}
    (dead,) = lost
    wait_until(lambda: count(predictor, "predictor_workers") == 2, 60, "a new worker")
    answered = CONNECTIONS + sum(worker != dead for worker, _ in clients)

    assert not lost & kept
    assert statuses == {200}
    assert count(predictor, "predictor_worker_restarts_total") == 1
    assert count(predictor, "predictor_requests_total", outcome="ok") == answered
    assert count(predictor, "predictor_request_duration_seconds_count") == answered
    assert count(predictor, "predictor_requests_in_flight") == 0
    assert dead not in clients_by_worker(predictor, stack)
    ready = predictor.call("ModelReady", pb.ModelReadyRequest(name="slow"))
    assert ready.ready
    assert predictor.stop() == 0


def in_flight(predictor: Predictor, requests: int) -> None:
    """Wait until so many are."""
    wait_until(
        lambda: count(predictor, "predictor_requests_in_flight") == requests,
        60,
        f"{requests} in flight",
    )


def test_sigterm_under_load_loses_nothing(predictor: Predictor, stack: ExitStack) -> None:
    """Clients that leave when told to, as a proxy does, get an answer to each request."""
    found = clients_by_worker(predictor, stack)
    answers: list[int] = []
    failures: list[str] = []

    def ask_until_told(client: Client) -> None:
        ends = False
        while not ends:
            try:
                status, _, ends = client.ask(0.02)
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                return
            answers.append(status)

    threads = [
        threading.Thread(target=ask_until_told, args=(client,))
        for listed in found.values()
        for client in listed
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answers) > 2 * CONNECTIONS, 60, "load")
    predictor.process.terminate()
    for thread in threads:
        thread.join(20)

    assert predictor.process.wait(STOP_SECONDS) == 0
    assert not failures
    assert set(answers) == {200}
    lines = [line for line in predictor.log_lines() if line["event"] == "infer"]
    assert len(lines) == len(answers) + CONNECTIONS  # whole lines, though two processes wrote them


def test_workers_do_not_outlive_their_parent(predictor: Predictor) -> None:
    """A parent that is killed cannot tell them; they notice."""
    workers = psutil.Process(predictor.process.pid).children()
    predictor.process.send_signal(signal.SIGKILL)

    assert len(workers) == 2
    assert psutil.wait_procs(workers, STOP_SECONDS)[1] == []


ENDLESS = """
import os, signal, time
from predictors.runtime.process.workers import Workers

def serve(metrics):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    while True:
        time.sleep(60)

Workers(1, serve, "m", "v", "e", leave_seconds=0.1).run("127.0.0.1", 0)
"""


def test_a_worker_that_does_not_end_is_ended_once_its_parent_is_gone() -> None:
    """A call that goes on for ever keeps no process longer than a drain may take."""
    command = [sys.executable, "-c", ENDLESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        alive = psutil.wait_procs([worker], STOP_SECONDS)[1]
        for process in alive:
            process.kill()

    assert alive == []


def test_workers_that_cannot_start_end_it_all(artifact: Path, tmp_path: Path) -> None:
    """A wrong golden answer or a taken port is exit 1 and a sentence, not a loop of restarts."""
    folder = shutil.copytree(artifact, tmp_path / "golden")
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["golden_sample"]["outputs"][1]["data"] = [2]
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    wrong = start_refused("slow", MODULE, folder, "--workers=2")
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        refused = start_refused(
            "slow", MODULE, artifact, "--workers=2", f"--http_port={port}", "--grpc_port=0"
        )

    assert (wrong.returncode, refused.returncode) == (1, 1)
    assert "golden sample: output 'shared' expected [2]" in wrong.stdout
    assert "worker cannot start" in wrong.stdout
    assert f"REST cannot listen on 127.0.0.1:{port}" in refused.stdout
