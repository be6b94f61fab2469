"""HTTP/2: floods, and clients that take their time.

An honest client asks every 20 ms from a process of its own, all through each attack. Figures are
printed; the bounds are far above what a quiet machine shows, and far below what was met before:
waits of 1 to 10 s, 200 to 700 MiB, broken streams.
"""

import gzip
import itertools
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.attack import FLOOD_SECONDS, INFER, STREAM, TOP, called, rows, say, watched
from tests.support.honest import Honest
from tests.support.predictor import Predictor
from tests.support.wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RESET,
    SETTINGS,
    WINDOW,
    Attacker,
    body,
    head,
    number,
    raw,
    repeated,
)

pytestmark = [pytest.mark.calm, pytest.mark.usefixtures("memory_comes_back")]


def streams(first: int = 1) -> Iterator[int]:
    return itertools.count(first, 2)


def in_order(make: Callable[[int], bytes], together: int = 50) -> Iterator[bytes]:
    """A frame or several on each stream, in order."""
    numbers = streams()
    while True:
        yield b"".join(make(next(numbers)) for _ in range(together))


def block(stream: int, content: bytes) -> bytes:
    """A header block of up to four frames."""
    parts = [content[start : start + 16_384] for start in range(0, len(content), 16_384)]
    last = len(parts) - 1
    return b"".join(
        raw(
            CONTINUATION if index else HEADERS,
            (END_HEADERS if index == last else 0) | (0 if index else END_STREAM),
            stream,
            part,
        )
        for index, part in enumerate(parts)
    )


def bomb() -> Iterator[bytes]:
    """HPACK: a field of 4 KB in the table, then thousands of references to it."""
    value = b"\x40\x01a\x7f\x81\x1f" + b"v" * 4_000  # a literal to be indexed
    yield block(1, value)
    yield from in_order_from(3, lambda stream: block(stream, b"\xbe" * 16_000))


def in_order_from(first: int, make: Callable[[int], bytes]) -> Iterator[bytes]:
    return (make(stream) for stream in streams(first))


CLOSED = head(1, INFER) + raw(RESET, 0, 1, number(8))
EIGHT_MIB = gzip.compress(bytes(TOP - 1_000))
FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "WINDOW_UPDATE": lambda: repeated(raw(WINDOW, 0, 0, number(1))),
    "WINDOW_UPDATE of a closed stream": lambda: repeated(raw(WINDOW, 0, 1, number(1)), CLOSED),
    "answers to SETTINGS": lambda: repeated(raw(SETTINGS, 1, 0)),
    "answers to PING": lambda: repeated(raw(PING, 1, 0, bytes(8))),
    "PING": lambda: repeated(raw(PING, 0, 0, bytes(8))),
    "SETTINGS of 2,730 values": lambda: repeated(
        raw(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535) * 2_730)
    ),
    "DATA behind the end": lambda: repeated(
        raw(DATA, 0, 1, b"x"), head(1, INFER, ended=True) + raw(DATA, 0, 1, b"x")
    ),
    "rapid reset": lambda: in_order(lambda n: head(n, INFER) + raw(RESET, 0, n, number(8))),
    "unknown path before its body": lambda: in_order(lambda n: head(n, "/no/such")),
    "unknown path with its body": lambda: in_order(
        lambda n: head(n, "/no/such") + raw(DATA, END_STREAM, n, b"x" * 100)
    ),
    "malformed heads": lambda: in_order(lambda n: head(n, INFER, (b"X", b"y"))),
    "HPACK references": bomb,
    "HPACK empty inserts": lambda: in_order_from(1, lambda n: block(n, b"\x40\x00\x00" * 5_000)),
    "HPACK size updates": lambda: in_order_from(1, lambda n: block(n, b"\x20" * 15_000)),
    "HPACK table churn": lambda: in_order_from(
        1, lambda n: block(n, (b"\x40\x01a\x7f\x81\x0f" + b"v" * 2_048) * 7)
    ),
    "HPACK huffman": lambda: in_order_from(
        1, lambda n: block(n, b"\x00\x01a\xff\xe9\x76" + b"\x07" * 15_200)
    ),
    "heads of 15 KB": lambda: in_order_from(
        1, lambda n: head(n, INFER, *[(b"x%d-%d" % (n, i), b"y" * 400) for i in range(33)])
    ),
    "empty messages": lambda: in_order(lambda n: head(n, INFER) + body(n, b"", ended=True)),
    "one byte a frame": lambda: itertools.chain(
        [head(1, INFER) + raw(DATA, 0, 1, b"\0\0\x70\0\0")], repeated(raw(DATA, 0, 1, b"x"))
    ),
    "padding alone": lambda: repeated(raw(DATA, 8, 1, b"\xff" + bytes(255)), head(1, INFER)),
    "gzip that unpacks to 8 MiB": lambda: in_order_from(
        1,
        lambda n: (
            head(n, INFER, (b"grpc-encoding", b"gzip"))
            + body(n, EIGHT_MIB, ended=True, packed=True)
        ),
    ),
}


@pytest.mark.parametrize("what", FLOODS)
def test_flood_stalls_nobody(iris: Predictor, client: Honest, what: str) -> None:
    """S8: two connections that send as fast as they can."""
    attackers = [Attacker(iris.grpc_port) for _ in range(2)]
    with watched(iris.process.pid, client, what):
        threads = [
            threading.Thread(target=attacker.flood, args=(FLOODS[what](), FLOOD_SECONDS))
            for attacker in attackers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        say(f"{[a.sent for a in attackers]} bytes, cut {[a.cut for a in attackers]}")
        for attacker in attackers:
            attacker.close()


# --- clients that take their time ---


def test_answers_that_nobody_takes_are_bounded(iris: Predictor, client: Honest) -> None:
    """S5: 60 large answers on each of 4 connections without a window."""
    message = rows(60_000)
    attackers = [Attacker(iris.grpc_port, (4, 0)) for _ in range(4)]
    with watched(iris.process.pid, client, "240 answers, no window"):
        for attacker in attackers:
            for stream in range(1, 121, 2):
                attacker.send(head(stream, INFER) + body(stream, message, ended=True), 2)
        time.sleep(1)
    for attacker in attackers:
        attacker.close()


@pytest.mark.parametrize("path", [INFER, STREAM, "/grpc.health.v1.Health/Watch"])
def test_bodies_without_an_end_are_bounded(iris: Predictor, client: Honest, path: str) -> None:
    """S5, S6: 30 messages of 4 MB, whole, whose streams do not end; others' 24 KB still pass."""
    message = rows(250_000)
    attackers = [Attacker(iris.grpc_port) for _ in range(3)]
    with watched(iris.process.pid, client, f"90 bodies without an end {path}"):
        for attacker in attackers:
            for stream in range(1, 61, 2):
                attacker.send(head(stream, path) + body(stream, message, ended=False), 1)
        codes = called(iris, rows(1_500), 10)
    for attacker in attackers:
        attacker.close()
    say(codes)
    assert codes == {"OK"}


def test_connections_that_only_greet_leave_room(iris: Predictor, client: Honest) -> None:
    """S5: 1,200 of them, and a new client is answered."""
    with ExitStack() as opened, watched(iris.process.pid, client, "1,200 connections"):
        for _ in range(1_200):
            attacker = Attacker(iris.grpc_port)
            opened.callback(attacker.close)
        codes = called(iris, rows(10), 10)
    assert codes == {"OK"}
