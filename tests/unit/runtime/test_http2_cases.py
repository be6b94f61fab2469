"""The cases of h2spec, the field's list for HTTP/2 servers, by its sections and numbers.

Written anew as a table. Where RFC 9113 took back a rule of RFC 7540 that h2spec still asks for, the
case says what is done instead, and why.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame

from predictors.runtime.http2.frames import PREFACE, ErrorCode
from predictors.runtime.http2.header_blocks import block_of
from tests.support.http2 import HEADERS, MAX_STREAMS, Server, greeted, run
from tests.unit.runtime.test_http2_rules import (
    AWAY,
    BLOCK,
    CONTINUATION,
    DATA,
    EMPTY,
    END_HEADERS,
    END_STREAM,
    HEAD,
    PADDED,
    PING,
    PRIORITISED,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    changed,
    head,
    number,
    raw,
    setting,
)

C = ErrorCode
WHOLE = END_STREAM | END_HEADERS
ONE = b"\0\0\0\0\x01x"  # a message of one byte
PONGED = raw(PING, 0, 0, b"for h2sp")
LATER = block_of([(n, v if n != b":path" else b"/t/Later") for n, v in HEADERS])
TWICE = {name: block_of([(name, value), *HEADERS]) for name, value in HEADERS[:3]}


def ended(stream: int = 1, block: bytes = BLOCK) -> bytes:
    """A call without a message, whole; its answer is an error, which is an answer."""
    return raw(HEAD, WHOLE, stream, block)


def call(stream: int = 1) -> bytes:
    """A call with a message of one byte, whole."""
    return head(stream) + raw(DATA, END_STREAM, stream, ONE)


PENDING = raw(HEAD, END_HEADERS, 1, LATER) + raw(DATA, END_STREAM, 1, ONE)
"""A call, whole, whose answer is still to come."""


def field(representation: bytes) -> bytes:
    """A call whose block ends with a field as it is written here."""
    return ended(1, BLOCK + representation)


def method(name: bytes) -> bytes:
    """A call by another method."""
    return ended(1, block_of([(n, v if n != b":method" else name) for n, v in HEADERS]))


HUFFMAN_NAME, HUFFMAN_VALUE = b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93", b"\x84\x9c\x48\xac\xa4"
PLAIN_NAME, PLAIN_VALUE = b"\x0auser-agent", b"\x06h2spec"
NEW_HUFFMAN, NEW_PLAIN = b"\x85\xf2\xb2\x4a\x84\xff", b"\x06x-test"
WEIGHTED = b"\0\0\0\0"

ANSWERED = {  # a HEADERS frame on stream 1
    "generic 3.1/1 DATA": call(),
    "generic 3.1/2 several DATA": head(1)
    + raw(DATA, 0, 1, ONE[:3])
    + raw(DATA, END_STREAM, 1, ONE[3:]),
    "generic 3.1/3 padded DATA": head(1)
    + raw(DATA, PADDED | END_STREAM, 1, b"\x06" + ONE + bytes(6)),
    "generic 3.2/1 HEADERS": ended(),
    "generic 3.2/2 padded HEADERS": raw(HEAD, WHOLE | PADDED, 1, b"\x06" + BLOCK + bytes(6)),
    "generic 3.2/3 HEADERS with priority": raw(
        HEAD, WHOLE | PRIORITISED, 1, WEIGHTED + b"\xff" + BLOCK
    ),
    "generic 3.3/1 weight 1": raw(PRIORITY, 0, 1, WEIGHTED + b"\0") + ended(),
    "generic 3.3/2 weight 256": raw(PRIORITY, 0, 1, WEIGHTED + b"\xff") + ended(),
    "generic 3.3/3 dependency": raw(PRIORITY, 0, 3, number(1) + b"\0") + ended(),
    "generic 3.3/4 exclusive": raw(PRIORITY, 0, 1, number(1 << 31) + b"\0") + ended(),
    "generic 3.3/5 idle, then a lower stream": raw(PRIORITY, 0, 3, WEIGHTED + b"\xff") + ended(),
    "generic 3.9/2 WINDOW_UPDATE of a stream": head(1)
    + raw(WINDOW, 0, 1, number(1))
    + raw(DATA, END_STREAM, 1, ONE),
    "generic 3.10/1 CONTINUATION": raw(HEAD, END_STREAM, 1, BLOCK[:9])
    + raw(CONTINUATION, END_HEADERS, 1, BLOCK[9:]),
    "generic 3.10/2 several CONTINUATION": raw(HEAD, END_STREAM, 1, BLOCK[:9])
    + raw(CONTINUATION, 0, 1, BLOCK[9:12])
    + raw(CONTINUATION, END_HEADERS, 1, BLOCK[12:]),
    "generic 4/1 GET": method(b"GET"),
    "generic 4/2 HEAD": method(b"HEAD"),
    "generic 4/3 POST": call(),
    "generic 4/4 POST with trailers": head(1)
    + raw(DATA, 0, 1, ONE)
    + raw(HEAD, WHOLE, 1, block_of([(b"x-test", b"ok")])),
    "generic 5/1 indexed": field(b"\xba"),
    "generic 5/2 indexing, known name": field(b"\x7a" + PLAIN_VALUE),
    "generic 5/3 indexing, known name, Huffman": field(b"\x7a" + HUFFMAN_VALUE),
    "generic 5/4 indexing, new name": field(b"\x40" + NEW_PLAIN + PLAIN_VALUE),
    "generic 5/5 indexing, new name, Huffman": field(b"\x40" + NEW_HUFFMAN + HUFFMAN_VALUE),
    "generic 5/6 no indexing, known name": field(b"\x0f\x2b" + PLAIN_VALUE),
    "generic 5/7 no indexing, known name, Huffman": field(b"\x0f\x2b" + HUFFMAN_VALUE),
    "generic 5/8 no indexing, new name": field(b"\0" + PLAIN_NAME + PLAIN_VALUE),
    "generic 5/9 no indexing, new name, Huffman": field(b"\0" + HUFFMAN_NAME + HUFFMAN_VALUE),
    "generic 5/10 never indexed, known name": field(b"\x1f\x2b" + PLAIN_VALUE),
    "generic 5/11 never indexed, known name, Huffman": field(b"\x1f\x2b" + HUFFMAN_VALUE),
    "generic 5/12 never indexed, new name": field(b"\x10" + NEW_PLAIN + PLAIN_VALUE),
    "generic 5/13 never indexed, new name, Huffman": field(b"\x10" + NEW_HUFFMAN + HUFFMAN_VALUE),
    "generic 5/14 size of the table": ended(1, b"\x20" + BLOCK),
    "generic 5/15 two sizes of the table": ended(1, b"\x20\x3f\xe1\x1f" + BLOCK),
    "http2 4.2/1 DATA of 2^14 bytes": head(1)
    + raw(DATA, END_STREAM, 1, b"\0\0\0\x3f\xfb" + bytes(16_379)),
    # RFC 9113, 5.3.2: priorities are not read any more, so nothing depends on itself.
    "http2 5.3.1/1 HEADERS that depend on themselves": raw(
        HEAD, WHOLE | PRIORITISED, 1, number(1) + b"\xff" + BLOCK
    ),
    "http2 5.3.1/2 PRIORITY that depends on itself": raw(PRIORITY, 0, 1, number(1) + b"\xff")
    + ended(),
    "http2 6.10/1 several CONTINUATION": raw(HEAD, END_STREAM, 1, BLOCK)
    + raw(CONTINUATION, 0, 1, block_of([(b"x-a", b"1")]))
    + raw(CONTINUATION, END_HEADERS, 1, block_of([(b"x-a", b"1")])),
}

PONG = {  # what came before a PING changes nothing: it is answered, and no stream is reset
    "generic 2/1 PRIORITY, idle": raw(PRIORITY, 0, 1, WEIGHTED + b"\xff"),
    "generic 2/4 RST_STREAM, half-closed": PENDING + raw(RST, 0, 1, number(8)),
    "generic 2/5 PRIORITY, closed": ended() + raw(PRIORITY, 0, 1, WEIGHTED + b"\xff"),
    "generic 3.4/1 RST_STREAM": head(1) + raw(RST, 0, 1, number(8)),
    "generic 3.5/1 SETTINGS": setting(3, 100),
    "generic 3.7/1 PING": b"",
    "generic 3.8/1 GOAWAY": raw(AWAY, 0, 0, bytes(8)),
    "generic 3.9/1 WINDOW_UPDATE of the connection": raw(WINDOW, 0, 0, number(1)),
    "http2 4.1/1 unknown kind": raw(22, 0, 0, bytes(8)),
    "http2 4.1/2 undefined flag": raw(PRIORITY, 22, 1, WEIGHTED + b"\0"),
    "http2 4.1/3 reserved bit": raw(PRIORITY, 0, 0x8000_0001, WEIGHTED + b"\0"),
    # RFC 9113, 5.1, closed: a frame may cross the answer or the reset, so it is dropped; a
    # connection error would end everybody's calls behind a proxy.
    "http2 5.1/8 closed by RST_STREAM: DATA": head(1)
    + raw(RST, 0, 1, number(8))
    + raw(DATA, END_STREAM, 1, ONE),
    "http2 5.1/9 closed by RST_STREAM: HEADERS": head(1)
    + raw(RST, 0, 1, number(8))
    + raw(HEAD, WHOLE, 1, BLOCK),
    "http2 5.1/11 closed: DATA": ended() + raw(DATA, END_STREAM, 1, ONE),
    "http2 5.1/12 closed: HEADERS": ended() + raw(HEAD, WHOLE, 1, BLOCK),
    "http2 5.5/1 unknown extension": raw(22, 0, 1, bytes(8)),
    "http2 6.5.2/5 unknown setting": setting(0xFF, 1),
    "http2 6.7/1 PING": b"",
    "http2 7/1 GOAWAY with an unknown code": raw(AWAY, 0, 0, number(0) + number(0xFF)),
    "http2 7/2 RST_STREAM with an unknown code": head(1) + raw(RST, 0, 1, number(0xFF)),
}

UNFINISHED = raw(HEAD, 0, 1, BLOCK)
GOAWAY = {
    "hpack 2.3.3/1 index past the table": (field(b"\xc6"), C.COMPRESSION_ERROR),
    "hpack 2.3.3/2 literal with an index past the table": (
        field(b"\x7f\x07" + PLAIN_VALUE),
        C.COMPRESSION_ERROR,
    ),
    "hpack 4.2/1 size behind a field": (ended(1, BLOCK + b"\x21"), C.COMPRESSION_ERROR),
    "hpack 5.2/1 Huffman padding of more than 7 bits": (
        field(b"\0\x85\xf2\xb2\x4a\x84\xff" + b"\x87\x9c\x48\xac\xa4\xff\xff\xff"),
        C.COMPRESSION_ERROR,
    ),
    "hpack 5.2/2 Huffman padding of zeros": (
        field(b"\0\x85\xf2\xb2\x4a\x84\xff" + b"\x83\x49\x50\x90"),
        C.COMPRESSION_ERROR,
    ),
    "hpack 5.2/3 Huffman with EOS": (  # a, 30 ones, a
        field(b"\0\x85\xf2\xb2\x4a\x84\xff" + b"\x85\x1f\xff\xff\xff\xe3"),
        C.COMPRESSION_ERROR,
    ),
    "hpack 6.1/1 index 0": (field(b"\x80"), C.COMPRESSION_ERROR),
    "hpack 6.3/1 table over the setting": (ended(1, b"\x3f\xe2\x1f" + BLOCK), C.COMPRESSION_ERROR),
    "http2 4.2/2 DATA over the size": (
        head(1) + raw(DATA, END_STREAM, 1, bytes(16_385)),
        C.FRAME_SIZE_ERROR,
    ),
    "http2 4.2/3 HEADERS over the size": (
        raw(HEAD, WHOLE, 1, BLOCK + bytes(16_385)),
        C.FRAME_SIZE_ERROR,
    ),
    "http2 4.3/1 damaged block": (ended(1, b"\x40"), C.COMPRESSION_ERROR),
    "http2 4.3/2 PRIORITY in a block": (
        UNFINISHED + raw(PRIORITY, 0, 1, WEIGHTED + b"\xff"),
        C.PROTOCOL_ERROR,
    ),
    "http2 4.3/3 HEADERS in another's block": (UNFINISHED + head(3), C.PROTOCOL_ERROR),
    "http2 5.1/1 idle: DATA": (raw(DATA, END_STREAM, 1, ONE), C.PROTOCOL_ERROR),
    "http2 5.1/2 idle: RST_STREAM": (raw(RST, 0, 1, number(8)), C.PROTOCOL_ERROR),
    "http2 5.1/3 idle: WINDOW_UPDATE": (raw(WINDOW, 0, 1, number(100)), C.PROTOCOL_ERROR),
    "http2 5.1/4 idle: CONTINUATION": (raw(CONTINUATION, END_HEADERS, 1, BLOCK), C.PROTOCOL_ERROR),
    "http2 5.1/7 half-closed: CONTINUATION": (
        PENDING + raw(CONTINUATION, END_HEADERS, 1, BLOCK),
        C.PROTOCOL_ERROR,
    ),
    "http2 5.1/10 closed by RST_STREAM: CONTINUATION": (
        head(1) + raw(RST, 0, 1, number(8)) + raw(CONTINUATION, END_HEADERS, 1, BLOCK),
        C.PROTOCOL_ERROR,
    ),
    "http2 5.1/13 closed: CONTINUATION": (
        ended() + raw(CONTINUATION, END_HEADERS, 1, BLOCK),
        C.PROTOCOL_ERROR,
    ),
    "http2 5.1.1/1 even number": (ended(2), C.PROTOCOL_ERROR),
    "http2 5.1.1/2 smaller number": (head(5) + head(3), C.PROTOCOL_ERROR),
    "http2 5.4.1/1 connection error closes": (raw(PING, 0, 3, bytes(8)), C.PROTOCOL_ERROR),
    "http2 5.4.1/2 connection error says GOAWAY": (raw(PING, 0, 3, bytes(8)), C.PROTOCOL_ERROR),
    "http2 5.5/2 extension in a block": (UNFINISHED + raw(22, 0, 1, bytes(8)), C.PROTOCOL_ERROR),
    "http2 6.1/1 DATA on 0": (raw(DATA, END_STREAM, 0, ONE), C.PROTOCOL_ERROR),
    "http2 6.1/3 DATA all padding": (
        head(1) + raw(DATA, PADDED | END_STREAM, 1, b"\x06Test"),
        C.PROTOCOL_ERROR,
    ),
    "http2 6.2/1 HEADERS, then PRIORITY": (
        UNFINISHED + raw(PRIORITY, 0, 1, WEIGHTED + b"\xff"),
        C.PROTOCOL_ERROR,
    ),
    "http2 6.2/2 HEADERS, then another's": (UNFINISHED + head(3), C.PROTOCOL_ERROR),
    "http2 6.2/3 HEADERS on 0": (ended(0), C.PROTOCOL_ERROR),
    "http2 6.2/4 HEADERS all padding": (
        raw(HEAD, WHOLE | PADDED, 1, b"\xff" + BLOCK),
        C.PROTOCOL_ERROR,
    ),
    "http2 6.3/1 PRIORITY on 0": (raw(PRIORITY, 0, 0, WEIGHTED + b"\xff"), C.PROTOCOL_ERROR),
    "http2 6.4/1 RST_STREAM on 0": (raw(RST, 0, 0, number(8)), C.PROTOCOL_ERROR),
    "http2 6.4/2 RST_STREAM, idle": (raw(RST, 0, 1, number(8)), C.PROTOCOL_ERROR),
    "http2 6.4/3 RST_STREAM of 3 bytes": (head(1) + raw(RST, 0, 1, bytes(3)), C.FRAME_SIZE_ERROR),
    "http2 6.5/1 ACK with content": (raw(SETTINGS, 1, 0, bytes(1)), C.FRAME_SIZE_ERROR),
    "http2 6.5/2 SETTINGS on a stream": (raw(SETTINGS, 0, 1, bytes(6)), C.PROTOCOL_ERROR),
    "http2 6.5/3 SETTINGS of 3 bytes": (raw(SETTINGS, 0, 0, bytes(3)), C.FRAME_SIZE_ERROR),
    "http2 6.5.2/1 ENABLE_PUSH of 2": (setting(2, 2), C.PROTOCOL_ERROR),
    "http2 6.5.2/2 window over 2^31 - 1": (setting(4, 1 << 31), C.FLOW_CONTROL_ERROR),
    "http2 6.5.2/3 frame size below 2^14": (setting(5, 16_383), C.PROTOCOL_ERROR),
    "http2 6.5.2/4 frame size over 2^24 - 1": (setting(5, 1 << 24), C.PROTOCOL_ERROR),
    "http2 6.7/3 PING on a stream": (raw(PING, 0, 1, bytes(8)), C.PROTOCOL_ERROR),
    "http2 6.7/4 PING of 6 bytes": (raw(PING, 0, 0, bytes(6)), C.FRAME_SIZE_ERROR),
    "http2 6.8/1 GOAWAY on a stream": (raw(AWAY, 0, 1, bytes(8)), C.PROTOCOL_ERROR),
    "http2 6.9/1 WINDOW_UPDATE by 0": (raw(WINDOW, 0, 0, number(0)), C.PROTOCOL_ERROR),
    "http2 6.9/3 WINDOW_UPDATE of 3 bytes": (raw(WINDOW, 0, 0, bytes(3)), C.FRAME_SIZE_ERROR),
    "http2 6.9.1/2 connection's window over 2^31 - 1": (
        2 * raw(WINDOW, 0, 0, number(2**31 - 1)),
        C.FLOW_CONTROL_ERROR,
    ),
    "http2 6.9.2/3 initial window over 2^31 - 1": (setting(4, 1 << 31), C.FLOW_CONTROL_ERROR),
    "http2 6.10/2 CONTINUATION, then DATA": (
        UNFINISHED + raw(CONTINUATION, 0, 1) + raw(DATA, END_STREAM, 1, ONE),
        C.PROTOCOL_ERROR,
    ),
    "http2 6.10/3 CONTINUATION on 0": (
        UNFINISHED + raw(CONTINUATION, END_HEADERS, 0),
        C.PROTOCOL_ERROR,
    ),
    "http2 6.10/4 CONTINUATION behind the end of a block": (
        ended() + raw(CONTINUATION, END_HEADERS, 1),
        C.PROTOCOL_ERROR,
    ),
    "http2 6.10/5 CONTINUATION behind the last": (
        UNFINISHED + 2 * raw(CONTINUATION, END_HEADERS, 1),
        C.PROTOCOL_ERROR,
    ),
    "http2 6.10/6 CONTINUATION behind DATA": (
        UNFINISHED + raw(DATA, END_STREAM, 1, ONE) + raw(CONTINUATION, END_HEADERS, 1),
        C.PROTOCOL_ERROR,
    ),
    "http2 8.2/1 PUSH_PROMISE": (raw(PUSH, END_HEADERS, 1, number(3) + BLOCK), C.PROTOCOL_ERROR),
}

RESET = {
    "http2 5.1/5 half-closed: DATA": (
        PENDING + raw(DATA, END_STREAM, 1, ONE),
        C.STREAM_CLOSED,
    ),
    "http2 5.1/6 half-closed: HEADERS": (PENDING + ended(), C.STREAM_CLOSED),
    "http2 6.1/2 DATA behind the end": (
        PENDING + raw(DATA, END_STREAM, 1, ONE),
        C.STREAM_CLOSED,
    ),
    "http2 6.3/2 PRIORITY of 4 bytes": (
        head(1) + raw(PRIORITY, 0, 1, bytes(4)),
        C.FRAME_SIZE_ERROR,
    ),
    "http2 6.9/2 WINDOW_UPDATE by 0": (head(1) + raw(WINDOW, 0, 1, number(0)), C.PROTOCOL_ERROR),
    "http2 6.9.1/3 stream's window over 2^31 - 1": (
        head(1) + 2 * raw(WINDOW, 0, 1, number(2**31 - 1)),
        C.FLOW_CONTROL_ERROR,
    ),
    "http2 8.1/1 second HEADERS without an end": (
        head(1) + raw(DATA, 0, 1, ONE) + head(1),
        C.PROTOCOL_ERROR,
    ),
    "http2 8.1.2/1 upper case": (head(1, (b"X-TEST", b"ok")), C.PROTOCOL_ERROR),
    "http2 8.1.2.1/1 unknown pseudo-header": (head(1, (b":test", b"ok")), C.PROTOCOL_ERROR),
    "http2 8.1.2.1/2 a response's pseudo-header": (
        ended(1, block_of([(b":status", b"200"), *HEADERS])),
        C.PROTOCOL_ERROR,
    ),
    "http2 8.1.2.1/3 pseudo-header in trailers": (
        head(1) + raw(DATA, 0, 1, ONE) + ended(1, block_of([(b":method", b"GET")])),
        C.PROTOCOL_ERROR,
    ),
    "http2 8.1.2.1/4 pseudo-header behind a field": (
        ended(1, block_of([(b"x-test", b"ok"), *HEADERS])),
        C.PROTOCOL_ERROR,
    ),
    "http2 8.1.2.2/1 connection": (head(1, (b"connection", b"keep-alive")), C.PROTOCOL_ERROR),
    "http2 8.1.2.2/2 te that is not trailers": (
        changed(b"te", b"trailers, deflate"),
        C.PROTOCOL_ERROR,
    ),
    "http2 8.1.2.3/1 empty :path": (changed(b":path", b""), C.PROTOCOL_ERROR),
    "http2 8.1.2.3/2 no :method": (changed(b":method", None), C.PROTOCOL_ERROR),
    "http2 8.1.2.3/3 no :scheme": (changed(b":scheme", None), C.PROTOCOL_ERROR),
    "http2 8.1.2.3/4 no :path": (changed(b":path", None), C.PROTOCOL_ERROR),
    "http2 8.1.2.3/5 :method twice": (ended(1, TWICE[b":method"]), C.PROTOCOL_ERROR),
    "http2 8.1.2.3/6 :scheme twice": (ended(1, TWICE[b":scheme"]), C.PROTOCOL_ERROR),
    "http2 8.1.2.3/7 :path twice": (ended(1, TWICE[b":path"]), C.PROTOCOL_ERROR),
    "http2 8.1.2.6/1 content-length of another DATA": (
        head(1, (b"content-length", b"1")) + raw(DATA, END_STREAM, 1, ONE),
        C.PROTOCOL_ERROR,
    ),
    "http2 8.1.2.6/2 content-length of other DATA": (
        head(1, (b"content-length", b"1")) + raw(DATA, 0, 1, EMPTY) + raw(DATA, END_STREAM, 1, ONE),
        C.PROTOCOL_ERROR,
    ),
}

WINDOWS = {  # DATA of one byte on stream 1, and no more
    "generic 2/2 WINDOW_UPDATE, half-closed": setting(4, 0) + call() + raw(WINDOW, 0, 1, number(1)),
    "generic 2/3 PRIORITY, half-closed": setting(4, 0)
    + call()
    + raw(PRIORITY, 0, 1, WEIGHTED + b"\xff")
    + raw(WINDOW, 0, 1, number(1)),
    "http2 6.5.3/1 two values of a setting": raw(
        SETTINGS, 0, 0, b"\0\x04" + number(100) + b"\0\x04" + number(1)
    )
    + call(),
    "http2 6.9.1/1 a window of 1": setting(4, 1) + call(),
    "http2 6.9.2/1 a window that changes behind HEADERS": setting(4, 0) + call() + setting(4, 1),
    "http2 6.9.2/2 a window below 0": setting(4, 3)
    + call()
    + setting(4, 2)
    + raw(WINDOW, 0, 1, number(2)),
}
OWN = [  # each with a test of its own below
    *("generic 1/1", "http2 3.5/1", "http2 3.5/2", "http2 5.1.2/1", "http2 6.5.3/2"),
    "http2 6.7/2",
]


def cases() -> Iterator[str]:
    """The section and number of each case."""
    for table in (ANSWERED, PONG, GOAWAY, RESET, WINDOWS):
        yield from (" ".join(name.split(" ")[:2]) for name in table)
    yield from OWN


def test_the_table_is_whole() -> None:
    """Each case has one row; 44 generic, 8 of HPACK and 95 of HTTP/2."""
    found = list(cases())

    assert len(found) == len(set(found))
    assert Counter(name.split()[0] for name in found) == {"generic": 44, "hpack": 8, "http2": 95}


@pytest.mark.parametrize("case", ANSWERED)
def test_what_is_right_is_answered(case: str) -> None:
    """A head of an answer on the stream, and the connection stays."""

    async def scenario() -> None:
        server = greeted().give(ANSWERED[case])
        frames = server.frames()

        assert [one for one in frames if isinstance(one, HeadersFrame) and one.stream_id == 1]
        assert not server.wire.closed

    run(scenario)


@pytest.mark.parametrize("case", PONG)
def test_what_changes_nothing_is_taken(case: str) -> None:
    """The connection goes on: a PING behind it comes back, and a call is answered."""

    async def scenario() -> None:
        server = greeted().give(PONG[case])
        server.take()
        (pong,) = server.give(PONGED).frames()

        assert isinstance(pong, PingFrame)
        assert pong.opaque_data == b"for h2sp"
        if "GOAWAY" not in case:
            answered = server.give(call(9)).frames()
            assert any(isinstance(one, HeadersFrame) for one in answered)

    run(scenario)


@pytest.mark.parametrize("case", GOAWAY)
def test_what_breaks_the_connection_ends_it(case: str) -> None:
    """GOAWAY with the code, and the connection closes."""
    data, code = GOAWAY[case]

    async def scenario() -> None:
        server = greeted().give(data)
        last = server.frames()[-1]

        assert isinstance(last, GoAwayFrame)
        assert last.error_code == code
        assert server.wire.closed

    run(scenario)


@pytest.mark.parametrize("case", RESET)
def test_what_breaks_a_stream_resets_it(case: str) -> None:
    """RST_STREAM with the code; the connection goes on."""
    data, code = RESET[case]

    async def scenario() -> None:
        server = greeted().give(data)
        resets = [one for one in server.frames() if isinstance(one, RstStreamFrame)]

        assert [(one.stream_id, one.error_code) for one in resets] == [(1, code)]
        assert not server.wire.closed

    run(scenario)


@pytest.mark.parametrize("case", WINDOWS)
def test_a_window_is_kept(case: str) -> None:
    """One byte of the answer comes, the rest waits."""

    async def scenario() -> None:
        server = greeted().give(WINDOWS[case])
        sizes = [len(one.data) for one in server.frames() if isinstance(one, DataFrame)]

        assert sum(sizes) == (1 if "below 0" not in case else 4)
        assert not server.wire.closed

    run(scenario)


def test_a_preface_is_answered_by_settings() -> None:
    """Cases 1/1, 3.5/1 and 6.5.3/2: SETTINGS come first; the client's are acknowledged."""

    async def scenario() -> None:
        server = Server().give(PREFACE + setting(2, 0))
        first, *_, acknowledged = server.frames()

        assert (first.type, "ACK" in first.flags) == (SETTINGS, False)
        assert (acknowledged.type, "ACK" in acknowledged.flags) == (SETTINGS, True)

    run(scenario)


def test_a_wrong_preface_ends_the_connection() -> None:
    """Case 3.5/2: what is no HTTP/2 is told so, and let go."""

    async def scenario() -> None:
        server = Server().give(b"INVALID CONNECTION PREFACE\r\n\r\n")

        assert server.wire.closed

    run(scenario)


def test_more_streams_than_announced_are_refused() -> None:
    """Case 5.1.2/1: REFUSED_STREAM for the one too many."""

    async def scenario() -> None:
        streams = range(1, 2 * MAX_STREAMS + 2, 2)
        server = greeted().give(b"".join(map(head, streams)))
        resets = [one for one in server.frames() if isinstance(one, RstStreamFrame)]

        assert [one.error_code for one in resets] == [C.REFUSED_STREAM]

    run(scenario)


def test_an_answer_to_a_ping_is_not_answered() -> None:
    """Case 6.7/2: a PING with ACK gets nothing, the next one its own answer."""

    async def scenario() -> None:
        server = greeted().give(raw(PING, 1, 0, b"invalid!") + PONGED)
        (pong,) = server.frames()

        assert pong.opaque_data == b"for h2sp"

    run(scenario)
