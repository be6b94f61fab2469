"""HTTP/1.1: requests without an end, and the port of /metrics.

An honest client asks every 20 ms from a process of its own, all through each attack. Figures are
printed; the bounds are far above what a quiet machine shows, and far below what was met before:
waits of 1 to 10 s, 200 to 700 MiB, broken streams.
"""

import socket
import time
from contextlib import ExitStack

import psutil
import pytest

from tests.support.attack import FLOOD_SECONDS, FLOWER, say, watched
from tests.support.honest import Honest
from tests.support.predictor import Predictor

pytestmark = [pytest.mark.calm, pytest.mark.usefixtures("memory_comes_back")]

HEAD = "POST /v2/models/iris/infer HTTP/1.1\r\nHost: a\r\n"
ENDLESS: dict[str, tuple[str, str]] = {
    "head": (HEAD, "x: y\r\n" * 1_000),
    "value": (HEAD + "x: ", "y" * 6_000),
    "path": ("GET /", "a" * 6_000),
    "trailers": (HEAD + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "x: y\r\n" * 1_000),
    "chunk extension": (HEAD + "Transfer-Encoding: chunked\r\n\r\n1;", "e" * 6_000),
    "one-byte chunks": (HEAD + "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n" * 1_000),
    "pipelined": ("", "GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n" * 200),
    "empty lines": ("", "\r\n" * 3_000),
}


def send_all(port: int, start: str, more: str, seconds: float) -> int:
    """Send without end or reading; the bytes that were taken."""
    sent = 0
    end = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as plain:
        try:
            plain.sendall(start.encode())
            while time.monotonic() < end and sent < 100 << 20:
                sent += plain.send(more.encode())
        except OSError:
            pass
    return sent


@pytest.mark.parametrize("what", ENDLESS)
def test_request_without_an_end_harms_nobody(iris: Predictor, client: Honest, what: str) -> None:
    """S9: heads, values, paths, trailers, chunks."""
    start, more = ENDLESS[what]
    with watched(iris.process.pid, client, what):
        sent = send_all(iris.http_port, start, more, FLOOD_SECONDS)
    say(f"{sent} bytes")


def test_slow_heads_leave_room(iris: Predictor, client: Honest) -> None:
    """S9: 1,500 connections that begin a head."""
    with ExitStack() as opened, watched(iris.process.pid, client, "1,500 slow heads"):
        for _ in range(1_500):
            plain = socket.create_connection(("127.0.0.1", iris.http_port))
            opened.callback(plain.close)
            plain.send(b"GET /v2 HT")
        assert iris.infer(FLOWER).status == 200


def test_half_asked_scrapes_cost_no_threads(iris: Predictor) -> None:
    """S10: 400 of them; a scrape is answered."""
    process = psutil.Process(iris.process.pid)
    before = process.num_threads()
    with ExitStack() as opened:
        for _ in range(400):
            plain = socket.create_connection(("127.0.0.1", iris.metrics_port))
            opened.callback(plain.close)
            plain.send(b"GET /metr")
        assert "predictor_requests_total" in iris.metrics()
        threads = process.num_threads()
    say(f"threads {before} → {threads}")
    assert threads < before + 20
