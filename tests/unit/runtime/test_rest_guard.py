"""HTTP/1.1 connections that send too much, too slowly, or what RFC 9112 has refused."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvicorn

from predictors.runtime.rest import guard
from predictors.runtime.rest.guard import (
    BODY_SWEEPS,
    HEAD_SWEEPS,
    MAX_HEAD_BYTES,
    STALLED_SWEEPS,
    Clients,
    GuardedProtocol,
)

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n"


class Guarded(GuardedProtocol):
    """The guard on uvicorn's own way; `DirectProtocol` calls it alike."""

    def on_message_begin(self) -> None:
        self.begin_message()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.check_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.count_body(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.end_message()
        super().on_message_complete()


class Wire(asyncio.Transport):
    """A socket in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    @property
    def status(self) -> int:
        """Of the first answer."""
        return int(self.sent.split(b" ", 2)[1])


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer."""
    del scope
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class Server:
    """Connections of one server."""

    def __init__(self) -> None:
        config = uvicorn.Config(echo, interface="asgi3", lifespan="off", log_config=None, ws="none")
        config.load()
        self._config, self._state = config, uvicorn.Server(config).server_state
        self._kind = type("Kind", (Guarded,), {"clients": Clients()})

    def connect(self) -> tuple[GuardedProtocol, Wire]:
        """One more client."""
        protocol = self._kind(self._config, self._state, {}, asyncio.get_running_loop())
        wire = Wire()
        protocol.connection_made(wire)
        return protocol, wire


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "part",
    [b"GET /" + b"a" * 1000, b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"a" * 1000],
    ids=["path", "value"],
)
def test_a_head_without_end_is_refused(part: bytes) -> None:
    """431 once it is past the limit, whichever part never ends; then the connection closes."""

    async def scenario() -> None:
        protocol, wire = Server().connect()
        protocol.data_received(part)
        sent = 0
        while not wire.closed and sent < 10 * MAX_HEAD_BYTES:
            protocol.data_received(b"a" * 4096)
            sent += 4096

        assert wire.status == 431
        assert sent <= MAX_HEAD_BYTES + 4096
        assert "head" in json.loads(wire.sent.partition(b"\r\n\r\n")[2])["error"]

    run(scenario)


@pytest.mark.parametrize(
    "part", [b"X: y\r\n" * 500, b"1;" + b"e" * 4000], ids=["trailers", "chunk extension"]
)
def test_what_is_neither_head_nor_body_has_a_limit(part: bytes) -> None:
    """Trailers, and extensions of chunks."""

    async def scenario() -> None:
        protocol, wire = Server().connect()
        protocol.data_received(
            b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
        )
        if part.startswith(b"X"):
            protocol.data_received(b"0\r\n")
        for _ in range(1000):
            if not wire.closed:
                protocol.data_received(part)
        await settle()

        assert wire.closed

    run(scenario)


def test_a_large_body_in_small_chunks_is_no_attack() -> None:
    """What chunks add is allowed for, at any size."""

    async def scenario() -> None:
        protocol, wire = Server().connect()
        protocol.data_received(
            b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(50):
            protocol.data_received(b"1\r\nx\r\n" * 1000)
        protocol.data_received(b"0\r\n\r\n")
        await settle()

        assert wire.status == 200

    run(scenario)


FORBIDDEN = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "unknown coding": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        501,
    ),
    "coding in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505),
}


@pytest.mark.parametrize(("head", "status"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_head_that_the_protocol_forbids_is_answered(head: bytes, status: int) -> None:
    """In V2's form, and the connection closes: what follows is not to be trusted."""

    async def scenario() -> None:
        protocol, wire = Server().connect()
        protocol.data_received(head + b"0\r\n\r\n" + GET)
        await settle()

        assert wire.status == status
        assert json.loads(wire.sent.partition(b"\r\n\r\n")[2])["error"]
        assert wire.closed

    run(scenario)


def chunked(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def field(line: bytes) -> bytes:
    """A request with a body of three bytes, as whoever reads it otherwise has it, and a field."""
    return b"POST / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\nabc"


DOUBTFUL = {
    "version of words": b"GET / HTTP/one\r\nHost: a\r\n\r\n",
    "no version in the line": b"GET / \r\nHost: a\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "space before a colon": field(b"Content-Length : 3"),
    "no name": field(b": 3"),
    "a line that goes on": field(b"Content-Length:\r\n 3"),
    "both lengths": field(b"Content-Length: 3\r\nTransfer-Encoding: chunked"),
    "chunked is not last": field(b"Transfer-Encoding: chunked, identity"),
    "two lengths": field(b"Content-Length: 3\r\nContent-Length: 4"),
    "length of words": field(b"Content-Length: three"),
    "negative length": field(b"Content-Length: -3"),
    "length with a sign": field(b"Content-Length: +3"),
    "size of words": chunked(b"xyz\r\nabc\r\n"),
    "size past 2^64": chunked(b"10000000000000003\r\nabc\r\n"),
    "chunk longer than its size": chunked(b"3\r\nabcd\r\n"),
}


@pytest.mark.parametrize("sent", DOUBTFUL.values(), ids=DOUBTFUL)
def test_what_has_no_certain_end_is_never_read_as_two(sent: bytes) -> None:
    """A proxy may see another end: it is refused, and nothing behind it is answered."""

    async def scenario() -> None:
        protocol, wire = Server().connect()
        protocol.data_received(sent + GET)
        await settle()

        assert wire.status in {400, 501, 505}
        assert wire.sent.count(b"HTTP/1.1 ") == 1
        assert wire.closed

    run(scenario)


@pytest.mark.parametrize(
    ("begun", "sweeps"),
    [(b"", HEAD_SWEEPS), (b"GET", HEAD_SWEEPS), (POST + b"12", STALLED_SWEEPS)],
    ids=["silent", "head", "body"],
)
def test_a_request_that_does_not_come_ends(begun: bytes, sweeps: int) -> None:
    """408 for a head or a body that stands still; a silent connection just closes."""

    async def scenario() -> None:
        protocol, wire = Server().connect()
        if begun:
            protocol.data_received(begun)
            protocol.sweep()
        for _ in range(sweeps):
            assert not wire.closed
            protocol.sweep()
        protocol.sweep()

        assert wire.closed
        assert not begun or wire.status == 408

    run(scenario)


def test_a_body_has_a_time_in_all() -> None:
    """A byte now and then keeps a request, but not for ever."""

    async def scenario() -> None:
        protocol, wire = Server().connect()
        protocol.data_received(POST.replace(b" 9", b" 9999"))
        for _ in range(BODY_SWEEPS + 1):
            assert not wire.closed
            protocol.data_received(b"x")
            protocol.sweep()

        assert wire.status == 408

    run(scenario)


def test_connections_that_work_are_left_alone() -> None:
    """A request that is being answered, and one that waits for uvicorn's keep-alive."""

    async def scenario() -> None:
        protocol, wire = Server().connect()
        protocol.data_received(GET)
        for _ in range(3 * BODY_SWEEPS):
            protocol.sweep()
        await settle()
        for _ in range(3 * BODY_SWEEPS):
            protocol.sweep()

        assert wire.status == 200
        assert not wire.closed

    run(scenario)


def test_pipelined_requests_have_a_limit() -> None:
    """The connection ends: what was asked before may be answered, nothing is read on."""

    async def scenario() -> None:
        protocol, wire = Server().connect()
        protocol.data_received(GET * (guard.MAX_PIPELINED + 3))
        await settle()

        assert wire.closed

    run(scenario)


def test_a_new_client_takes_the_place_of_an_idle_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all are at work, the new one is turned away."""
    monkeypatch.setattr(guard, "MAX_CONNECTIONS", 2)

    async def scenario() -> None:
        server = Server()
        busy, busy_wire = server.connect()
        busy.data_received(POST)
        _, idle_wire = server.connect()
        newest, newest_wire = server.connect()
        assert idle_wire.closed
        newest.data_received(POST)
        _, last_wire = server.connect()

        assert (busy_wire.closed, newest_wire.closed, last_wire.closed) == (False, False, True)

    run(scenario)
