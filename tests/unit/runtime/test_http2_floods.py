"""Clients that only make work: told to calm down, at a bounded cost."""

import struct
from collections.abc import Iterator

import pytest
from hyperframe.frame import GoAwayFrame

from predictors.runtime.http2 import session
from predictors.runtime.http2.frames import PREFACE, ErrorCode
from predictors.runtime.http2.header_blocks import block_of
from predictors.runtime.http2.limits import WORK_PER_TURN
from tests.support.http2 import HEADERS, Server, framed, greeted, run, settle
from tests.support.wire import raw

BLOCK = block_of(HEADERS)


def split(data: bytes) -> Iterator[bytes]:
    """Frames, one by one."""
    while data:
        size = 9 + int.from_bytes(data[:3])
        yield data[:size]
        data = data[size:]


def moved(frame: bytes) -> bytes:
    """The frame on the stream behind its own."""
    return frame[:5] + (int.from_bytes(frame[5:9]) + 2).to_bytes(4) + frame[9:]


def rapid_resets() -> Iterator[bytes]:
    """CVE-2023-44487: open a call, cancel it."""
    for stream in range(1, 8_000, 2):
        yield raw(1, 4, stream, BLOCK) + raw(3, 0, stream, struct.pack(">I", 8))


def resets_of_our_own() -> Iterator[bytes]:
    """CVE-2025-8671, "MadeYouReset": break a rule so that the server cancels."""
    for stream in range(1, 8_000, 2):
        yield raw(1, 4, stream, BLOCK) + raw(8, 0, stream, struct.pack(">I", 0))


def refused_streams() -> Iterator[bytes]:
    """More streams than there may be, again and again."""
    for stream in range(1, 8_000, 2):
        yield raw(1, 4, stream, BLOCK)


def same(frame: bytes, first: bytes = b"") -> Iterator[bytes]:
    """One frame over and over."""
    yield first
    for _ in range(3_000):
        yield frame


FLOODS = {
    "rapid reset": rapid_resets,
    "resets of our own": resets_of_our_own,
    "refused streams": refused_streams,
    "PING": lambda: same(raw(6, 0, 0, bytes(8))),
    "SETTINGS": lambda: same(raw(4, 0, 0)),
    "PRIORITY": lambda: same(raw(2, 0, 1, bytes(5))),
    "unknown frames": lambda: same(raw(77, 0, 0)),
    "empty DATA": lambda: same(raw(0, 0, 1), raw(1, 4, 1, BLOCK)),
    "empty DATA of a closed stream": lambda: same(
        raw(0, 0, 1), raw(1, 4, 1, BLOCK) + raw(3, 0, 1, bytes(4))
    ),
    "DATA of a closed stream": lambda: same(
        raw(0, 0, 1, b"x"), raw(1, 4, 1, BLOCK) + raw(3, 0, 1, bytes(4))
    ),
    "WINDOW_UPDATE": lambda: same(raw(8, 0, 0, struct.pack(">I", 1))),
    "WINDOW_UPDATE of a closed stream": lambda: same(
        raw(8, 0, 1, struct.pack(">I", 1)), raw(1, 4, 1, BLOCK) + raw(3, 0, 1, bytes(4))
    ),
    "answers to SETTINGS": lambda: same(raw(4, 1, 0)),
    "answers to PING": lambda: same(raw(6, 1, 0, bytes(8))),
    "GOAWAY": lambda: same(raw(7, 0, 0, bytes(8))),
    "empty CONTINUATION": lambda: same(raw(9, 0, 1), raw(1, 0, 1, BLOCK)),
    "long CONTINUATION": lambda: same(raw(9, 0, 1, bytes(9_000)), raw(1, 0, 1, BLOCK)),
}


@pytest.mark.parametrize("case", FLOODS)
def test_flood_is_told_to_calm_down(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """GOAWAY with ENHANCE_YOUR_CALM; its own streams have a moment more, then all is closed."""
    monkeypatch.setattr(session, "FINISH_SECONDS", 0)

    async def scenario() -> None:
        server = greeted()
        sent = 0
        told: list[GoAwayFrame] = []
        for data in FLOODS[case]():
            server.give(data)
            sent += 1
            told = [frame for frame in server.frames() if isinstance(frame, GoAwayFrame)]
            if told:
                break
        await settle()

        assert told[-1].error_code == ErrorCode.ENHANCE_YOUR_CALM
        assert sent < 2_200
        assert server.wire.closed
        assert not server.protocol.streams
        assert server.budget.held == 0

    run(scenario)


@pytest.mark.parametrize("case", ["rapid reset", "PING", "WINDOW_UPDATE", "refused streams"])
def test_calls_of_others_outlive_a_flood_on_their_connection(case: str) -> None:
    """Behind a proxy the flood is one client's: calls that run are answered, new ones refused."""

    async def scenario() -> None:
        server = greeted()
        path = block_of([(n, b"/t/Later" if n == b":path" else v) for n, v in HEADERS])
        server.give(raw(1, 4, 1, path) + raw(0, 1, 1, framed(b"")))
        begins_streams = case in {"rapid reset", "refused streams"}  # at 1, which is taken
        for data in FLOODS[case]():
            server.give(b"".join(map(moved, split(data))) if begins_streams else data)
            await settle()
            if any(isinstance(frame, GoAwayFrame) for frame in server.frames()):
                break
        server.give(raw(1, 5, 100_001, BLOCK))
        await settle()
        assert not server.wire.closed
        assert server.frames() == []
        (call,) = server.later.calls
        call.answer(b"late")
        answered = server.frames()
        await settle()

        assert [frame.stream_id for frame in answered if frame.type == 0] == [1]
        assert 100_001 not in server.protocol.streams

    run(scenario)


def test_one_client_has_its_turn_and_then_the_others() -> None:
    """What a client sent at once is carried out a part at a time, and it is not read meanwhile."""

    async def scenario() -> None:
        server = greeted()
        calls = 2 * WORK_PER_TURN
        numbers = range(1, 2 * calls, 2)
        server.give(b"".join(raw(1, 4, n, BLOCK) + raw(0, 1, n, framed(b"x")) for n in numbers))
        first = sum(frame.type == 0 for frame in server.frames())
        reading = server.wire.reading
        for _ in range(5):
            await settle()
        rest = sum(frame.type == 0 for frame in server.frames())

        assert 0 < first < calls
        assert not reading
        assert first + rest == calls
        assert server.wire.reading

    run(scenario)


def test_proxy_that_cancels_a_third_of_its_calls_is_left_alone() -> None:
    """A proxy's clients give up under load; that is no attack."""

    async def scenario() -> None:
        server = greeted()
        for stream in range(1, 12_000, 2):
            server.give(raw(1, 4, stream, BLOCK))
            if stream % 3 == 0:
                server.give(raw(3, 0, stream, struct.pack(">I", 8)))
            else:
                server.give(raw(0, 1, stream, bytes(5)))

        assert not server.wire.closed
        assert not server.protocol.streams

    run(scenario)


def test_client_that_does_not_read_is_not_read_from() -> None:
    """A full socket stops the reading; what it asks would only pile up."""

    async def scenario() -> None:
        server = greeted()
        server.protocol.pause_writing()
        assert not server.wire.reading
        server.give(raw(1, 4, 1, BLOCK) + raw(0, 1, 1, bytes(5)))
        held_back = [frame.type for frame in server.frames()]
        server.protocol.resume_writing()

        assert held_back == [1]  # HEADERS alone
        assert server.wire.reading
        assert [frame.type for frame in server.frames()] == [0, 1]

    run(scenario)


def test_bodies_that_were_refused_half_way_cost_their_client_nothing() -> None:
    """What is on its way when a call is refused was sent in good faith, a window of it."""

    async def scenario() -> None:
        server = greeted()
        server.budget.limit = 100_000
        prefix = b"\0" + (900_000).to_bytes(4)
        for stream in range(1, 100, 2):
            server.give(raw(1, 4, stream, BLOCK) + raw(0, 0, stream, prefix + bytes(16_000)))
        for _ in range(40):
            for stream in range(21, 100, 2):
                server.give(raw(0, 0, stream, bytes(16_000)))

        assert not server.wire.closed
        assert not any(isinstance(frame, GoAwayFrame) for frame in server.frames())

    run(scenario)


def test_many_large_beginnings_are_refused_before_they_fill_the_memory() -> None:
    """Unfinished messages of a process are bounded, whatever each stream may hold."""

    async def scenario() -> None:
        server = greeted()
        server.budget.limit = 400_000
        prefix = b"\0" + (500_000).to_bytes(4)
        for stream in range(1, 20, 2):
            server.give(raw(1, 4, stream, BLOCK) + raw(0, 0, stream, prefix + bytes(16_000)))
        open_streams = set(server.protocol.streams)
        held = server.budget.held
        server.protocol.connection_lost(None)

        assert open_streams == set(range(1, 13, 2))
        assert held <= 100_000
        assert server.budget.held == 0

    run(scenario)


def test_settings_of_many_values_touch_each_stream_once() -> None:
    """2,000 changes of the window in a frame would be 100,000 steps with 50 streams."""

    async def scenario() -> None:
        server = greeted()
        values = b"".join(struct.pack(">HI", 4, value) for value in (0, 2**31 - 1) * 1_000)
        server.give(raw(4, 0, 0, values + struct.pack(">HI", 4, 77)))

        assert server.protocol.initial_window == 77
        assert not server.wire.closed

    run(scenario)


def test_silent_client_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that never says hello does not stay."""
    monkeypatch.setattr("predictors.runtime.http2.session._GREETING_SECONDS", 0.0)

    async def scenario() -> None:
        server = Server()
        server.give(PREFACE)
        await server.protocol.closed

        assert server.wire.closed

    run(scenario)


def test_long_settings_count_as_many_frames() -> None:
    """2,730 values cost as much as they are: a few dozen such frames are a flood."""

    async def scenario() -> None:
        server = greeted()
        values = struct.pack(">HI", 4, 65_535) * 2_730
        told: list[GoAwayFrame] = []
        sent = 0
        while not told and sent < 100:
            server.give(raw(4, 0, 0, values))
            sent += 1
            await settle()
            told = [frame for frame in server.frames() if isinstance(frame, GoAwayFrame)]

        assert told[0].error_code == ErrorCode.ENHANCE_YOUR_CALM

    run(scenario)


def test_client_that_was_told_to_calm_down_is_told_of_no_later_streams() -> None:
    """A GOAWAY may not name more streams than the one before (6.8): a shutdown adds none."""

    async def scenario() -> None:
        server = greeted()
        path = block_of([(n, b"/t/Later" if n == b":path" else v) for n, v in HEADERS])
        server.give(raw(1, 4, 1, path) + raw(0, 1, 1, framed(b"")))
        server.give(raw(6, 0, 0, bytes(8)) * 3_000)
        await settle()
        before = [f.last_stream_id for f in server.frames() if isinstance(f, GoAwayFrame)]
        server.protocol.drain()
        after = [f for f in server.frames() if isinstance(f, GoAwayFrame)]

        assert before == [1]
        assert after == []

    run(scenario)


def test_what_comes_behind_a_large_read_waits_for_the_others() -> None:
    """A socket that gives much at once has more: it is read on when the others had their turn."""

    async def scenario() -> None:
        server = greeted()
        server.give(raw(1, 4, 1, BLOCK) + raw(0, 0, 1, bytes([0]) + (90_000).to_bytes(4)))
        server.give(raw(0, 0, 1, bytes(16_000)) * 5)
        reading = server.wire.reading
        await settle()

        assert not reading
        assert server.wire.reading

    run(scenario)
