"""Requests that cost more than they weigh.

An honest client asks every 20 ms from a process of its own, all through each attack. Figures are
printed; the bounds are far above what a quiet machine shows, and far below what was met before:
waits of 1 to 10 s, 200 to 700 MiB, broken streams.
"""

import json
import threading
from collections.abc import Callable

import pytest

from tests.support.attack import GZIP, INFER, TOP, packed, rows, say, watched
from tests.support.honest import Honest
from tests.support.predictor import JSON, Predictor
from tests.support.wire import (
    Attacker,
    body,
    head,
)

pytestmark = [pytest.mark.calm, pytest.mark.usefixtures("memory_comes_back")]


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def inside(*tags: int, content: bytes) -> bytes:
    """Content as a field of a field, and so on."""
    for tag in reversed(tags):
        content = bytes([tag]) + varint(len(content)) + content
    return content


ROOM = TOP - 64
IRIS = b"\x0a\x04iris"
MESSAGES: dict[str, Callable[[], bytes]] = {
    "even rows": rows,
    "empty inputs": lambda: b"\x2a\x00" * (ROOM // 2),
    "dimensions of a shape": lambda: IRIS + inside(0x2A, 0x1A, content=b"\x01" * ROOM),
    "empty bytes_contents": lambda: IRIS + inside(0x2A, 0x2A, content=b"\x42\x00" * (ROOM // 2)),
    "int_contents, not packed": lambda: (
        IRIS + inside(0x2A, 0x2A, content=b"\x10\x01" * (ROOM // 2))
    ),
    "packed int_contents": lambda: (
        IRIS + inside(0x2A, 0x2A, content=inside(0x12, content=b"\1" * ROOM))
    ),
    "packed bool_contents": lambda: (
        IRIS + inside(0x2A, 0x2A, content=inside(0x0A, content=b"\1" * ROOM))
    ),
    "parameters of an input": lambda: IRIS + inside(0x2A, content=b"\x22\x00" * (ROOM // 2)),
    "parameters of an output": lambda: IRIS + inside(0x32, content=b"\x1a\x00" * (ROOM // 2)),
    "unknown fields": lambda: IRIS + b"\x78\x01" * (ROOM // 2),
    "nested groups": lambda: IRIS + b"\x7b" * ROOM,
}


@pytest.mark.parametrize("what", MESSAGES)
def test_message_that_costs_more_than_it_weighs(iris: Predictor, client: Honest, what: str) -> None:
    """S1, S2: 20 compressed calls at once are answered or refused, and others are answered."""
    message = packed(MESSAGES[what]())
    attacker = Attacker(iris.grpc_port)
    with watched(iris.process.pid, client, f"20 × {what}"):
        for stream in range(1, 41, 2):
            attacker.send(
                head(stream, INFER, GZIP) + body(stream, message, ended=True, packed=True)
            )
        attacker.wait(20, 20)
    attacker.close()
    assert attacker.ended == 20


def data(text: str, end: str = "") -> bytes:
    """An infer body whose data is `text` again and again."""
    start = '{"inputs":[{"name":"input-0","datatype":"FP32","shape":[1,4],"data":['
    return (start + text * ((ROOM - 256) // len(text)) + end + "]}]}").encode()


BODIES: dict[str, Callable[[], bytes]] = {
    "lists": lambda: data("[],", "[]"),
    "nested": lambda: b"[" * ROOM,
    "numbers": lambda: data("1,", "1"),
    "escapes": lambda: b'{"id":"' + b"\\u0041" * (ROOM // 6 - 10) + b'"}',
    "dimensions": lambda: (
        b'{"inputs":[{"name":"input-0","datatype":"FP32","shape":['
        + b"1," * (ROOM // 2 - 100)
        + b'1],"data":[1]}]}'
    ),
    "keys": lambda: json.dumps({f"k{number}": 1 for number in range(600_000)}).encode(),
    "parameters": lambda: b'{"parameters":' + b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_001,
}


@pytest.mark.parametrize("what", BODIES)
def test_body_that_costs_more_than_it_weighs(iris: Predictor, client: Honest, what: str) -> None:
    """S2 over REST, compressed, 4 at once."""
    content = packed(BODIES[what]())
    statuses: list[int] = []

    def ask() -> None:
        headers = JSON | {"Content-Encoding": "gzip"}
        statuses.append(iris.request("POST", iris.infer_path, content, headers).status)

    with watched(iris.process.pid, client, f"4 × {what}"):
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    say(statuses)
    assert set(statuses) <= {400, 413, 429}
