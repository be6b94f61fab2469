"""HTTP/2 frames as bytes: the kinds, their flags, the errors, and the frames that we write.

Section numbers are those of RFC 9113.
"""

from enum import IntEnum
from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # 3.4

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4  # 6.1 to 6.5
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9  # 6.6 to 6.10

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20

HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 3, 4  # 6.5.2
ENABLE_PUSH, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 2, 5, 6

LAST_STREAM_ID = MAX_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME_SIZE = 16_384
HEAD_BYTES = 9
PRIORITY_BYTES = 5

HEAD = Struct(">BHBBI")
"""A frame's head (4.1): length in two parts, for struct has no three bytes; kind, flags, stream."""
SETTING = Struct(">HI")
NUMBER = Struct(">I")
_GOAWAY = Struct(">II")


class ErrorCode(IntEnum):
    """Why a stream or a connection ended (7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """The peer broke a rule that ends the connection (5.4.1): GOAWAY says which."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class StreamFault(Exception):
    """The peer broke a rule that ends one stream (5.4.2): RST_STREAM."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A frame, whole."""
    size = len(payload)
    return HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(SETTING.pack(*pair) for pair in values.items()))


def window_update(stream_id: int, size: int) -> bytes:
    """Leave to send `size` bytes more; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, NUMBER.pack(size))


def reset(stream_id: int, code: ErrorCode) -> bytes:
    """An RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, NUMBER.pack(code))


def goaway(last_stream_id: int, code: ErrorCode, reason: str = "") -> bytes:
    """A GOAWAY frame: streams after the last are not answered and may be tried elsewhere."""
    return frame(GOAWAY, 0, 0, _GOAWAY.pack(last_stream_id, code) + reason.encode())


def unpadded(flags: int, payload: bytes) -> bytes:
    """The payload without padding (6.1, 6.2)."""
    if not flags & PADDED:
        return payload
    if not payload:  # "too small to contain mandatory frame data" (4.2)
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without its length")
    if payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding is longer than its frame")
    return payload[1 : len(payload) - payload[0]]
