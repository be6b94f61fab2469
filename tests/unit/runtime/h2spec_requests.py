"""h2spec's requests that a server answers or lets pass, by its sections and numbers."""

from predictors.runtime.http2.frames import ErrorCode
from predictors.runtime.http2.header_blocks import block_of
from tests.support.http2 import HEADERS
from tests.support.wire import raw
from tests.unit.runtime.test_http2_rules import (
    AWAY,
    BLOCK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD,
    PADDED,
    PING,
    PRIORITISED,
    PRIORITY,
    RST,
    WINDOW,
    head,
    number,
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
