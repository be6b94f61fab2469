"""FrameReader: a client's bytes to frames, header blocks whole (RFC 9113, 3.4, 4 and 6.10)."""

from collections.abc import Iterator

from predictors.runtime.http2.frames import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    LAST_STREAM_ID,
    PADDED,
    PREFACE,
    PRIORITISED,
    PRIORITY_BYTES,
    SETTINGS,
    ConnectionFault,
    ErrorCode,
    unpadded,
)
from predictors.runtime.http2.limits import MAX_BLOCK_BYTES, MAX_FRAME_BYTES

Frame = tuple[int, int, int, bytes]
"""Kind, flags, stream and payload; of HEADERS, the whole block and nothing else."""
_PARTS = frozenset({HEADERS, CONTINUATION})
_MAX_FRAGMENTS = 16  # of one header block: more than its bytes need

_TEXT = b"this port speaks gRPC; REST is on the other one\n"
NOT_HTTP2 = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\n"
    b"content-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (len(_TEXT), _TEXT)
)


class NotHttp2(Exception):
    """The client speaks something else."""


class FrameReader:
    """Holds what is left of the last read: less than a frame, and less than a header block."""

    def __init__(self) -> None:
        self.greeted = False
        """Whether the client has said hello as HTTP/2 asks: the preface, then SETTINGS."""
        self._prefaced = False
        self._unread = b""
        self._block: tuple[int, int, list[bytes]] | None = None  # flags, stream, fragments

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with these bytes.

        Raises:
            NotHttp2: no preface.
            ConnectionFault: a rule of framing is broken.
        """
        if self._unread:
            data = self._unread + data
        position, end = 0 if self._prefaced else self._preface(data), len(data)
        while self._prefaced and end - position >= HEAD_BYTES:
            high, low, kind, flags, stream_id = HEAD.unpack_from(data, position)
            size = high << 16 | low
            if size > MAX_FRAME_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            start = position + HEAD_BYTES
            if start + size > end:
                break
            position = start + size
            payload = data[start:position]
            stream_id &= LAST_STREAM_ID
            if not self.greeted:
                self._greet(kind, flags)
            if kind in _PARTS or self._block:
                whole = self._headers(kind, flags, stream_id, payload)
                if whole:
                    yield whole
            else:
                yield kind, flags, stream_id, payload
        self._unread = data[position:]

    def _preface(self, data: bytes) -> int:
        """Where the frames begin; 0 while even the preface is not complete."""
        if data[: len(PREFACE)] != PREFACE[: len(data)]:
            raise NotHttp2
        if len(data) < len(PREFACE):
            return 0
        self._prefaced = True
        return len(PREFACE)

    def _greet(self, kind: int, flags: int) -> None:
        if kind != SETTINGS or flags & ACK:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS is to come first")
        self.greeted = True

    def _headers(self, kind: int, flags: int, stream_id: int, payload: bytes) -> Frame | None:
        """Put a header block together; None while more of it is to come."""
        if self._block is None:
            if kind == CONTINUATION:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
            if flags & (PADDED | PRIORITISED):
                payload = _block_of(flags, payload)
            if flags & END_HEADERS:
                return kind, flags, stream_id, payload
            self._block = flags, stream_id, [payload]
            return None
        first_flags, begun, fragments = self._block
        if kind != CONTINUATION or stream_id != begun:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is not finished")
        fragments.append(payload)
        block = b"".join(fragments)
        # CVE-2024-27316 and its kin, "CONTINUATION flood": a block without end.
        if len(block) > MAX_BLOCK_BYTES or len(fragments) > _MAX_FRAGMENTS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block is too long")
        if not flags & END_HEADERS:
            return None
        self._block = None
        return HEADERS, first_flags, stream_id, block


def _block_of(flags: int, payload: bytes) -> bytes:
    """The header block of a HEADERS frame with padding or a priority (6.2)."""
    payload = unpadded(flags, payload)
    if not flags & PRIORITISED:
        return payload
    if len(payload) < PRIORITY_BYTES:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS of a broken length")
    return payload[PRIORITY_BYTES:]
