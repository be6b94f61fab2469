"""The rules of RFC 9113: what breaks which is answered with the error code that it names."""

import struct

import hpack
import pytest
from hyperframe.frame import GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from predictors.runtime.http2.frames import PREFACE, ErrorCode
from predictors.runtime.http2.header_blocks import Field, block_of
from tests.support.http2 import HEADERS, MAX_STREAMS, Server, greeted, parsed, run
from tests.support.wire import raw

DATA, HEAD, PRIORITY, RST, SETTINGS, PUSH, PING, AWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITISED = 1, 4, 8, 32
EMPTY = b"\0\0\0\0\0"  # a message of no bytes
BLOCK = block_of(HEADERS)
C = ErrorCode


def head(stream: int, *more: Field, flags: int = END_HEADERS) -> bytes:
    """The beginning of a call."""
    return raw(HEAD, flags, stream, block_of([*HEADERS, *more]))


def changed(name: bytes, value: bytes | None) -> bytes:
    """A head with one field changed, or left out."""
    fields = [(n, v if n != name else value) for n, v in HEADERS]
    return raw(HEAD, END_HEADERS, 1, block_of([(n, v) for n, v in fields if v is not None]))


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def setting(key: int, value: int) -> bytes:
    return raw(SETTINGS, 0, 0, struct.pack(">HI", key, value))


CONNECTION = {
    "frame over the size": (raw(DATA, 0, 1, bytes(16_385)), C.FRAME_SIZE_ERROR),
    "DATA on stream 0": (raw(DATA, 0, 0, EMPTY), C.PROTOCOL_ERROR),
    "DATA on a stream that never began": (raw(DATA, 0, 1, EMPTY), C.PROTOCOL_ERROR),
    "DATA all padding": (head(1) + raw(DATA, PADDED, 1, b"\x05abc"), C.PROTOCOL_ERROR),
    "HEADERS on stream 0": (head(0), C.PROTOCOL_ERROR),
    "HEADERS on an even stream": (head(2), C.PROTOCOL_ERROR),
    "HEADERS on an older stream": (head(5) + head(3), C.PROTOCOL_ERROR),
    "trailers of a number that was passed over": (
        head(5) + raw(HEAD, END_STREAM | END_HEADERS, 3, BLOCK),
        C.PROTOCOL_ERROR,
    ),
    "PRIORITY of the connection": (raw(PRIORITY, 0, 0, bytes(5)), C.PROTOCOL_ERROR),
    "GOAWAY on a stream": (head(1) + raw(AWAY, 0, 1, bytes(8)), C.PROTOCOL_ERROR),
    "HEADERS too short for a priority": (
        raw(HEAD, END_HEADERS | PRIORITISED, 1, b"abc"),
        C.FRAME_SIZE_ERROR,
    ),
    "HEADERS, then something else than CONTINUATION": (
        raw(HEAD, 0, 1, BLOCK) + raw(PING, 0, 0, bytes(8)),
        C.PROTOCOL_ERROR,
    ),
    "CONTINUATION of another stream": (
        raw(HEAD, 0, 1, BLOCK) + raw(CONTINUATION, END_HEADERS, 3),
        C.PROTOCOL_ERROR,
    ),
    "CONTINUATION of nothing": (raw(CONTINUATION, END_HEADERS, 1, BLOCK), C.PROTOCOL_ERROR),
    "damaged header block": (raw(HEAD, END_HEADERS, 1, b"\xbe"), C.COMPRESSION_ERROR),
    "RST_STREAM of three bytes": (head(1) + raw(RST, 0, 1, b"abc"), C.FRAME_SIZE_ERROR),
    "RST_STREAM of a stream that never began": (raw(RST, 0, 1, number(8)), C.PROTOCOL_ERROR),
    "RST_STREAM of the connection": (raw(RST, 0, 0, number(8)), C.PROTOCOL_ERROR),
    "SETTINGS on a stream": (raw(SETTINGS, 0, 1), C.PROTOCOL_ERROR),
    "SETTINGS of five bytes": (raw(SETTINGS, 0, 0, b"abcde"), C.FRAME_SIZE_ERROR),
    "answer to SETTINGS with content": (raw(SETTINGS, 1, 0, bytes(6)), C.FRAME_SIZE_ERROR),
    "ENABLE_PUSH of 2": (setting(2, 2), C.PROTOCOL_ERROR),
    "INITIAL_WINDOW_SIZE of 2^31": (setting(4, 2**31), C.FLOW_CONTROL_ERROR),
    "MAX_FRAME_SIZE below the default": (setting(5, 16_383), C.PROTOCOL_ERROR),
    "PUSH_PROMISE": (raw(PUSH, 0, 1, BLOCK), C.PROTOCOL_ERROR),
    "PING of seven bytes": (raw(PING, 0, 0, bytes(7)), C.FRAME_SIZE_ERROR),
    "PING on a stream": (raw(PING, 0, 1, bytes(8)), C.PROTOCOL_ERROR),
    "GOAWAY of seven bytes": (raw(AWAY, 0, 0, bytes(7)), C.FRAME_SIZE_ERROR),
    "DATA on an even stream": (head(5) + raw(DATA, 0, 2, EMPTY), C.PROTOCOL_ERROR),
    "RST_STREAM of an even stream": (head(5) + raw(RST, 0, 4, number(8)), C.PROTOCOL_ERROR),
    "WINDOW_UPDATE of an even stream": (head(5) + raw(WINDOW, 0, 2, number(1)), C.PROTOCOL_ERROR),
    "padded DATA without a length": (head(1) + raw(DATA, PADDED, 1), C.FRAME_SIZE_ERROR),
    "HEADERS all padding": (
        raw(HEAD, END_HEADERS | PADDED, 1, b"\x05abc"),
        C.PROTOCOL_ERROR,
    ),
    "index past the table": (raw(HEAD, END_HEADERS, 1, b"\xff\x20"), C.COMPRESSION_ERROR),
    "table larger than allowed": (
        raw(HEAD, END_HEADERS, 1, b"\x3f\xe2\x1f" + BLOCK),
        C.COMPRESSION_ERROR,
    ),
    "size of the table behind a field": (
        raw(HEAD, END_HEADERS, 1, BLOCK + b"\x20"),
        C.COMPRESSION_ERROR,
    ),
    "GOAWAY, then nonsense": (raw(AWAY, 0, 0, bytes(8)) + raw(PUSH, 0, 1), C.PROTOCOL_ERROR),
    "WINDOW_UPDATE of three bytes": (raw(WINDOW, 0, 0, b"abc"), C.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE by nothing": (raw(WINDOW, 0, 0, number(0)), C.PROTOCOL_ERROR),
    "WINDOW_UPDATE of a stream that never began": (
        raw(WINDOW, 0, 1, number(1)),
        C.PROTOCOL_ERROR,
    ),
    "window of the connection over 2^31": (
        raw(WINDOW, 0, 0, number(2**31 - 1)),
        C.FLOW_CONTROL_ERROR,
    ),
    "initial window and a stream's own over 2^31": (
        head(1) + raw(WINDOW, 0, 1, number(2**30)) + setting(4, 2**31 - 1),
        C.FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize("case", CONNECTION)
def test_broken_connection_ends_with_the_code_of_its_rule(case: str) -> None:
    """GOAWAY with that code and a reason, then the connection closes; calls on it are lost."""
    data, code = CONNECTION[case]

    async def scenario() -> None:
        server = greeted().give(data)
        last = server.frames()[-1]

        assert isinstance(last, GoAwayFrame)
        assert last.error_code == code
        assert last.additional_data
        assert server.wire.closed
        assert not server.protocol.streams

    run(scenario)


STREAM = {
    "upper case in a name": (head(1, (b"X-Up", b"1")), C.PROTOCOL_ERROR),
    "line break in a value": (head(1, (b"x", b"a\r\nb")), C.PROTOCOL_ERROR),
    "connection-specific field": (head(1, (b"connection", b"close")), C.PROTOCOL_ERROR),
    "te that is not trailers": (changed(b"te", b"gzip"), C.PROTOCOL_ERROR),
    "no path": (changed(b":path", None), C.PROTOCOL_ERROR),
    "empty path": (changed(b":path", b""), C.PROTOCOL_ERROR),
    "no method": (changed(b":method", None), C.PROTOCOL_ERROR),
    "path twice": (
        raw(HEAD, END_HEADERS, 1, block_of([(b":path", b"/x"), *HEADERS])),
        C.PROTOCOL_ERROR,
    ),
    "pseudo-header behind the fields": (head(1, (b":authority", b"x")), C.PROTOCOL_ERROR),
    "unknown pseudo-header": (
        raw(HEAD, END_HEADERS, 1, block_of([(b":status", b"200"), *HEADERS])),
        C.PROTOCOL_ERROR,
    ),
    "space before a value": (head(1, (b"x", b" a")), C.PROTOCOL_ERROR),
    "tab behind a value": (head(1, (b"x", b"a\t")), C.PROTOCOL_ERROR),
    "two content-lengths that differ": (
        head(1, (b"content-length", b"5"), (b"content-length", b"6")),
        C.PROTOCOL_ERROR,
    ),
    "pseudo-header in trailers": (
        head(1) + raw(HEAD, END_STREAM | END_HEADERS, 1, block_of([(b":path", b"/")])),
        C.PROTOCOL_ERROR,
    ),
    "upper case in trailers": (
        head(1) + raw(HEAD, END_STREAM | END_HEADERS, 1, block_of([(b"X-Up", b"1")])),
        C.PROTOCOL_ERROR,
    ),
    "connection-specific field in trailers": (
        head(1)
        + raw(HEAD, END_STREAM | END_HEADERS, 1, block_of([(b"transfer-encoding", b"chunked")])),
        C.PROTOCOL_ERROR,
    ),
    "empty name": (head(1, (b"", b"x")), C.PROTOCOL_ERROR),
    "NUL in a value": (head(1, (b"x", b"a\0b")), C.PROTOCOL_ERROR),
    "no scheme": (changed(b":scheme", None), C.PROTOCOL_ERROR),
    "PRIORITY of four bytes": (head(1) + raw(PRIORITY, 0, 1, b"four"), C.FRAME_SIZE_ERROR),
    "content-length of words": (head(1, (b"content-length", b"five")), C.PROTOCOL_ERROR),
    "less than content-length": (
        head(1, (b"content-length", b"9")) + raw(DATA, END_STREAM, 1, EMPTY),
        C.PROTOCOL_ERROR,
    ),
    "more than content-length": (
        head(1, (b"content-length", b"2")) + raw(DATA, 0, 1, EMPTY),
        C.PROTOCOL_ERROR,
    ),
    "trailers that end nothing": (head(1) + head(1), C.PROTOCOL_ERROR),
    "WINDOW_UPDATE by nothing": (head(1) + raw(WINDOW, 0, 1, number(0)), C.PROTOCOL_ERROR),
    "window of a stream over 2^31": (
        head(1) + raw(WINDOW, 0, 1, number(2**31 - 1)),
        C.FLOW_CONTROL_ERROR,
    ),
    "header list over the limit": (
        head(1, *[(b"x-%d" % i, b"y" * 400) for i in range(37)]),
        C.ENHANCE_YOUR_CALM,
    ),
}


@pytest.mark.parametrize("case", STREAM)
def test_broken_stream_is_reset_and_the_connection_goes_on(case: str) -> None:
    """RST_STREAM with the code of the rule; the next call on the connection is answered."""
    data, code = STREAM[case]

    async def scenario() -> None:
        server = greeted().give(data)
        last = server.frames()[-1]

        assert isinstance(last, RstStreamFrame)
        assert (last.stream_id, last.error_code) == (1, code)
        assert not server.protocol.streams
        server.give(head(3) + raw(DATA, END_STREAM, 3, EMPTY))
        assert isinstance(server.frames()[0], HeadersFrame)

    run(scenario)


def test_data_behind_the_end_is_stream_closed() -> None:
    """While the answer is still to come; afterwards what comes is ignored."""

    async def scenario() -> None:
        block = block_of([(n, v if n != b":path" else b"/t/Later") for n, v in HEADERS])
        server = greeted().give(raw(HEAD, END_HEADERS, 1, block))
        server.give(raw(DATA, END_STREAM, 1, EMPTY) + raw(DATA, END_STREAM, 1, EMPTY))

        assert server.frames()[-1].error_code == C.STREAM_CLOSED
        assert server.later.left == 1
        server.give(raw(DATA, 0, 1, EMPTY) + raw(RST, 0, 1, number(8)))
        server.give(raw(WINDOW, 0, 1, number(9)))
        assert not server.sent

    run(scenario)


def test_padding_priority_and_fragments_change_nothing() -> None:
    """Padded DATA and HEADERS, a priority, a block in pieces, unknown frames, byte by byte."""

    async def scenario() -> None:
        plain = raw(HEAD, END_HEADERS, 1, BLOCK) + raw(DATA, END_STREAM, 1, b"\0\0\0\0\x02hi")
        padded = b"\x03" + bytes(5) + BLOCK + bytes(3)
        odd = (
            raw(PRIORITY, 0, 1, bytes(5))
            + raw(99, 255, 1, b"unknown")
            + raw(HEAD, PADDED | PRIORITISED, 1, padded)
            + raw(CONTINUATION, 0, 1)
            + raw(CONTINUATION, END_HEADERS, 1)
            + raw(DATA, PADDED, 1, b"\x02\0\0\0" + bytes(2))
            + raw(DATA, END_STREAM, 1, b"\0\x02hi")
        )
        whole, bytewise = greeted().give(plain).take(), greeted()
        for index in range(len(odd)):
            bytewise.give(odd[index : index + 1])

        assert bytewise.take() == whole
        assert [type(one).__name__ for one in parsed(whole)] == [
            *("HeadersFrame", "DataFrame", "HeadersFrame")
        ]

    run(scenario)


def test_hello_comes_first_and_settings_are_acknowledged() -> None:
    """Our SETTINGS and window; an answer to the client's; a PING comes back."""

    async def scenario() -> None:
        server = Server().give(PREFACE[:10]).give(PREFACE[10:] + raw(SETTINGS, 0, 0))
        hello, window, settled = server.frames()
        (pong,) = server.give(raw(PING, 0, 0, b"12345678")).frames()

        assert isinstance(hello, SettingsFrame)
        assert hello.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == MAX_STREAMS
        assert (window.type, window.stream_id) == (WINDOW, 0)
        assert (settled.type, "ACK" in settled.flags) == (SETTINGS, True)
        assert ("ACK" in pong.flags, pong.opaque_data) == (True, b"12345678")

    run(scenario)


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", PREFACE[:-1] + b"x"],
    ids=["HTTP/1.1", "TLS", "almost"],
)
def test_what_is_not_http2_is_told_so(data: bytes) -> None:
    """A person with curl reads what the port is for."""

    async def scenario() -> None:
        server = Server().give(data)

        assert server.take().startswith(b"HTTP/1.1 505 ")
        assert server.wire.closed

    run(scenario)


def test_first_frame_must_be_settings() -> None:
    """RFC 9113, 3.4."""

    async def scenario() -> None:
        server = Server().give(PREFACE + raw(PING, 0, 0, bytes(8)))

        assert server.frames()[-1].error_code == C.PROTOCOL_ERROR

    run(scenario)


def test_streams_over_the_limit_are_refused_not_queued() -> None:
    """REFUSED_STREAM says that nothing was done, so a client may try again."""

    async def scenario() -> None:
        server = greeted()
        for index in range(MAX_STREAMS + 1):
            server.give(head(2 * index + 1))
        refused = server.frames()

        assert [(one.stream_id, one.error_code) for one in refused] == [
            (2 * MAX_STREAMS + 1, C.REFUSED_STREAM)
        ]
        assert len(server.protocol.streams) == MAX_STREAMS

    run(scenario)


def test_smaller_table_of_the_client_is_acknowledged_in_the_next_block() -> None:
    """RFC 7541, 4.2: a decoder whose table shrank waits for the size update."""

    async def scenario() -> None:
        server = greeted().give(setting(1, 0))
        server.take()
        frames = server.give(head(1) + raw(DATA, END_STREAM, 1, EMPTY)).frames()
        decoder = hpack.Decoder()
        decoder.max_allowed_table_size = 0
        blocks = [one.data for one in frames if isinstance(one, HeadersFrame)]

        assert dict(decoder.decode(blocks[0], raw=True))[b":status"] == b"200"
        assert dict(decoder.decode(blocks[1], raw=True))[b"grpc-status"] == b"0"

    run(scenario)
