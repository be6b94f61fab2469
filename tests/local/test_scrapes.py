"""The port of /metrics, and clients that hold on to it."""

import socket
import urllib.request
from pathlib import Path

import psutil

from predictors.runtime.observe.scrapes import MAX_SCRAPES
from tests.support.predictor import running
from tests.support.slow_model import write_artifact


def test_half_asked_scrapes_cost_few_threads_and_hold_up_none(tmp_path: Path) -> None:
    """The oldest is hung up on, and a whole scrape is answered among a hundred of them."""
    artifact = write_artifact(tmp_path / "artifact")
    module = "tests.support.slow_model"
    with running("slow", artifact, tmp_path / "log", module=module) as predictor:
        process = psutil.Process(predictor.process.pid)
        before = process.num_threads()
        clients = [
            socket.create_connection(("127.0.0.1", predictor.metrics_port), timeout=20)
            for _ in range(100)
        ]
        for client in clients:
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
        url = f"http://127.0.0.1:{predictor.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=20) as response:
            body = response.read()

        assert b"predictor_requests_in_flight" in body
        assert clients[0].recv(1) == b""
        assert process.num_threads() <= before + MAX_SCRAPES + 2
        for client in clients:
            client.close()
