"""20,000 connections of broken HTTP/2: never a crash, a hang or a byte kept."""

import gc
import logging
import random
import struct
import time

import pytest
from hyperframe.frame import GoAwayFrame, RstStreamFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.runtime.http2.frames import PREFACE, ErrorCode
from predictors.runtime.http2.header_blocks import block_of
from tests.support.http2 import HEADERS, Server, parsed, run
from tests.support.wire import raw

CONNECTIONS = 20_000
CONNECTIONS_A_SEED = 200  # drawing each by itself would cost more than running it
PATHS = (b"/t/Echo", b"/t/Later", b"/t/Each", b"/t/Once", b"/t/None")


def honest(rng: random.Random) -> list[tuple[int, int, int, bytes]]:
    """Frames of a few calls, as a client might send them."""
    frames = [(4, 0, 0, struct.pack(">HI", 4, rng.choice([0, 10, 65_535, 1 << 20])))]
    for stream in range(1, 2 * rng.randrange(2, 6), 2):
        path = rng.choice(PATHS)
        fields = [(n, path if n == b":path" else v) for n, v in HEADERS]
        message = rng.randbytes(rng.choice([0, 3, 200]))
        body = b"\0" + len(message).to_bytes(4) + message
        cut = rng.randrange(len(body) + 1)
        # Half of the heads as additions to the table, so that later blocks depend on it.
        block = block_of(fields)
        frames += [
            (1, 4, stream, b"\x40" + block[1:] if rng.randrange(2) else block),
            (0, 0, stream, body[:cut]),
            (0, 1, stream, body[cut:]),
            (8, 0, rng.choice([0, stream]), struct.pack(">I", rng.randrange(1, 1 << 16))),
        ]
        if rng.randrange(3) == 0:
            frames.append((3, 0, stream, struct.pack(">I", 8)))
    return [*frames, (6, 0, 0, bytes(8)), (4, 1, 0, b"")]


def spoilt(rng: random.Random, one: tuple[int, int, int, bytes]) -> tuple[int, int, int, bytes]:
    """A frame with one thing wrong."""
    kind, flags, stream, payload = one
    flipped = bytearray(payload)
    for _ in range(min(len(flipped), 3)):
        flipped[rng.randrange(len(flipped))] = rng.randrange(256)
    other = rng.choice([0, 1, 2, 3, 5, 99, 2**31 - 1, 2**32 - 1])
    return rng.choice(
        [
            (rng.randrange(12), flags, stream, payload),
            (kind, rng.randrange(256), stream, payload),
            (kind, flags, other, payload),
            (kind, flags, stream, payload[: rng.randrange(len(payload) + 1)]),
            (kind, flags, stream, rng.randbytes(rng.randrange(40))),
            (kind, flags, stream, bytes(flipped)),
        ]
    )


def broken(rng: random.Random) -> bytes:
    """A connection's bytes with some of its frames spoilt, doubled or left out."""
    frames = honest(rng)
    for _ in range(rng.randrange(1, 5)):
        index = rng.randrange(len(frames))
        match rng.randrange(8):
            case 0:
                frames.insert(rng.randrange(len(frames)), frames[index])
            case 1 if len(frames) > 1:
                del frames[index]
            case _:
                frames[index] = spoilt(rng, frames[index])
    rest = b"".join(raw(*one) for one in frames)
    if rng.randrange(8) == 0:
        rest = rest[: rng.randrange(len(rest))] + rng.randbytes(rng.randrange(20))
    return PREFACE + rest if rng.randrange(50) else rng.randbytes(30)


@pytest.mark.timeout(300)
def test_broken_connections_never_crash_hang_or_leave_anything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each is answered in frames; one that was given up says why; nothing stays behind."""
    caplog.set_level(logging.ERROR)
    codes: set[int] = set()
    seen = 0

    def converse(rng: random.Random) -> None:
        server, data = Server(), broken(rng)
        started = time.process_time()
        while data:
            size = rng.choice([1, 9, 100, 100_000])
            server.give(data[:size])
            data = data[size:]
        assert time.process_time() - started < 1  # CPU seconds; most take milliseconds
        written = server.take()
        if b"HTTP/1.1 505" not in written:
            frames = parsed(written)
            ends = [one for one in frames if isinstance(one, GoAwayFrame | RstStreamFrame)]
            codes.update(one.error_code for one in ends)
            assert server.wire.closed == (bool(frames) and isinstance(frames[-1], GoAwayFrame))
        if not server.wire.closed:
            server.wire.closed = True
            server.protocol.connection_lost(None)
        assert not server.protocol.streams
        assert server.budget.held == 0

    @settings(max_examples=CONNECTIONS // CONNECTIONS_A_SEED, deadline=None, database=None)
    @given(st.integers(0, 2**32))
    def converse_many(seed: int) -> None:
        nonlocal seen
        rng = random.Random(seed)

        async def scenario() -> None:
            for _ in range(CONNECTIONS_A_SEED):
                converse(rng)

        run(scenario)
        seen += CONNECTIONS_A_SEED

    gc.freeze()  # or a collection of what all other tests left takes that second
    try:
        converse_many()
    finally:
        gc.unfreeze()

    assert seen >= CONNECTIONS
    assert not caplog.records
    assert codes == {  # every rule that these can break, and INTERNAL_ERROR never
        ErrorCode.NO_ERROR,
        ErrorCode.PROTOCOL_ERROR,
        ErrorCode.FLOW_CONTROL_ERROR,
        ErrorCode.STREAM_CLOSED,
        ErrorCode.FRAME_SIZE_ERROR,
        ErrorCode.COMPRESSION_ERROR,
    }
