"""h2spec's requests that break a rule, or a window, by its sections and numbers."""

from predictors.runtime.http2.header_blocks import block_of
from tests.support.http2 import HEADERS
from tests.support.wire import raw
from tests.unit.runtime.h2spec_requests import (
    ONE,
    PENDING,
    PLAIN_VALUE,
    TWICE,
    WEIGHTED,
    WHOLE,
    C,
    call,
    ended,
    field,
)
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
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    changed,
    head,
    number,
    setting,
)

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
