"""Clients that take their time: none of them keeps memory or a place for ever."""

import struct

import pytest
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from predictors.runtime.http2 import session
from predictors.runtime.http2.frames import PREFACE, ErrorCode
from predictors.runtime.http2.header_blocks import block_of
from predictors.runtime.http2.limits import IDLE_SWEEPS, STALLED_SWEEPS
from tests.support.http2 import HEADERS, Client, Server, Wire, framed, greeted, run, settle
from tests.support.wire import raw


def head(stream: int, path: bytes = b"/t/Echo") -> bytes:
    """The beginning of a call."""
    return raw(1, 4, stream, block_of([(n, path if n == b":path" else v) for n, v in HEADERS]))


@pytest.mark.parametrize("begun", [b"", b"\0", framed(b"whole")], ids=["none", "part", "whole"])
def test_body_that_stands_still_is_answered_for(begun: bytes) -> None:
    """DEADLINE_EXCEEDED after half a minute without a byte, and nothing of it is kept."""

    async def scenario() -> None:
        server = greeted()
        server.give(head(1) + (raw(0, 0, 1, begun) if begun else b""))
        for _ in range(STALLED_SWEEPS):
            server.protocol.sweep()
        assert set(server.protocol.streams) == {1}
        server.protocol.sweep()

        assert not server.protocol.streams
        assert server.budget.held == 0
        assert not server.wire.closed

    run(scenario)


def test_a_body_that_comes_slowly_is_waited_for() -> None:
    """A byte between two looks is progress."""

    async def scenario() -> None:
        server = greeted().give(head(1))
        for byte in framed(b"slowly, but it comes"):
            for _ in range(STALLED_SWEEPS):
                server.protocol.sweep()
            server.give(raw(0, 0, 1, bytes([byte])))
        server.give(raw(0, 1, 1))

        assert [frame.type for frame in server.frames()][-3:] == [1, 0, 1]

    run(scenario)


def test_answer_that_nobody_takes_is_dropped() -> None:
    """A window that stays shut ends the stream, not the connection."""

    async def scenario() -> None:
        server = greeted().give(raw(4, 0, 0, struct.pack(">HI", 4, 0)))  # no window at all
        server.give(head(1) + raw(0, 1, 1, framed(b"x" * 1000)))
        assert server.protocol.streams[1].unsent_bytes
        server.take()
        for _ in range(STALLED_SWEEPS + 1):
            server.protocol.sweep()
        (reset,) = server.frames()

        assert isinstance(reset, RstStreamFrame)
        assert reset.error_code == ErrorCode.CANCEL
        assert not server.protocol.streams
        assert not server.wire.closed

    run(scenario)


def test_a_stream_of_messages_may_be_silent() -> None:
    """Watch and ModelStreamInfer wait for as long as their client does."""

    async def scenario() -> None:
        server = greeted().give(head(1, b"/t/Each"))
        for _ in range(IDLE_SWEEPS + STALLED_SWEEPS):
            server.protocol.sweep()
        server.give(raw(0, 1, 1, framed(b"at last")))
        await settle()

        assert not server.wire.closed
        assert [frame.type for frame in server.frames()] == [1, 0, 1]

    run(scenario)


def test_connection_without_a_call_is_drained_in_the_end() -> None:
    """GOAWAY without an error: an honest client opens another when it has a call."""

    async def scenario() -> None:
        server = greeted()
        for _ in range(IDLE_SWEEPS):
            server.protocol.sweep()
        assert server.frames() == []
        server.protocol.sweep()
        (first, *_) = server.frames()

        assert isinstance(first, GoAwayFrame)
        assert first.error_code == ErrorCode.NO_ERROR

    run(scenario)


def test_a_new_client_takes_the_place_of_an_idle_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all places have calls, the new one is turned away."""
    monkeypatch.setattr(session, "MAX_CONNECTIONS", 2)

    async def scenario() -> None:
        server = greeted().give(head(1, b"/t/Never"))
        wires: list[Wire] = []
        for _ in range(2):
            wire = Wire(server)
            protocol = server.server.connection()
            protocol.connection_made(wire)
            wires.append(wire)
        idle, newest = wires
        assert idle.closed
        assert not newest.closed
        protocol.data_received(PREFACE + raw(4, 0, 0) + head(1, b"/t/Never"))
        turned_away = Wire(server)
        server.server.connection().connection_made(turned_away)

        assert turned_away.closed
        assert not server.wire.closed

    run(scenario)


@pytest.mark.parametrize("value", [b"123456789S", b"5", b"x", b"-1S"])
def test_a_timeout_of_another_form_harms_its_own_call(value: bytes) -> None:
    """INVALID_ARGUMENT, as an answer: a proxy that passed it on has other clients' calls there."""

    async def scenario() -> None:
        server = Server()
        client = Client(server)
        stream = client.call("/t/Echo", b"x", grpc_timeout=value.decode())
        status, message = client.status(stream)

        assert status == 3
        assert "grpc-timeout" in message
        assert not server.wire.closed

    run(scenario)
