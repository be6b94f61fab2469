"""gRPC: one HTTP/2 connection with many calls under way (RFC 9113, gRPC's PROTOCOL-HTTP2).

A client library costs more a call than a predictor's answer, so a call here is bytes made once,
with the stream's number put in. The peer is told to keep no header table, so equal header blocks
mean the same and are decoded once. Messages are those that fit into every window's initial size.
"""

import asyncio
from dataclasses import dataclass
from typing import cast

from hpack import Decoder

from scripts.loadtest.connection import Owner
from scripts.loadtest.plan import NO_VERSION, OK
from scripts.loadtest.wire import frame, grpc_version

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *(0, 1, 3, 4, 6, 7, 8, 9),
)
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 1, 1, 4, 8, 32
_MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE = 3, 4
_OWN_WINDOW = (1 << 31) - 1
_REFILL = 1 << 24
"""Bytes taken until the connection's window is opened again."""
_STREAMS = 100
"""Calls on one connection; what servers allow by default."""
_KNOWN_BLOCKS = 4096
PREFACE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    # No header table, no pushes, and windows that never stop an answer.
    + frame(
        SETTINGS,
        0,
        0,
        b"\0\1\0\0\0\0" + b"\0\2\0\0\0\0" + b"\0\4" + _OWN_WINDOW.to_bytes(4, "big"),
    )
    + frame(WINDOW_UPDATE, 0, 0, (_OWN_WINDOW - 65_535).to_bytes(4, "big"))
)
# The codes of https://grpc.github.io/grpc/core/md_doc_statuscodes.html, by number.
_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)


@dataclass(slots=True)
class _Call:
    """One call under way."""

    planned: float
    sent_at: float
    message: bytes = b""
    http_status: str = ""


class GrpcConnection(asyncio.Protocol):
    """One connection; the engine hands it calls while it has room."""

    def __init__(self, engine: Owner) -> None:
        self._engine = engine
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, _Call] = {}
        self._last_stream = -1
        self._limit = _STREAMS
        self._window = 65_535
        self._largest = engine.largest_request
        self._taken = 0
        self._unread = b""
        self._block = b""
        self._ends_stream = False
        self._decoder = Decoder()
        self._known: dict[bytes, dict[str, str]] = {}
        self.greeted = asyncio.Event()
        self.usable = False
        self.listed = False
        """Whether the engine has it among the free ones."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(PREFACE)

    @property
    def has_room(self) -> bool:
        """Whether a call may be sent now: a stream and window enough for any message."""
        return self.usable and len(self._calls) < self._limit and self._window >= self._largest

    def send(self, request: bytes, planned: float, now: float) -> None:
        """Send a call; there is room. `request` is wire.grpc_request's."""
        self._last_stream = stream = self._last_stream + 2
        self._calls[stream] = _Call(planned, now)
        head = int.from_bytes(request[:3], "big") + 9
        number = stream.to_bytes(4, "big")
        pieces = [request[:5], number, request[9:head]]
        at = head
        while at < len(request):
            length = int.from_bytes(request[at : at + 3], "big")
            pieces += (request[at : at + 5], number, request[at + 9 : at + 9 + length])
            self._window -= length
            at += 9 + length
        assert self._transport is not None  # noqa: S101  it has room
        self._transport.write(b"".join(pieces))
        if stream > 1 << 30:
            self._leave()

    def data_received(self, data: bytes) -> None:
        data = self._unread + data if self._unread else data
        at, end = 0, len(data)
        while end - at >= 9:
            length = int.from_bytes(data[at : at + 3], "big")
            if end - at < 9 + length:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFF_FFFF
            self._frame(data[at + 3], data[at + 4], stream, data[at + 9 : at + 9 + length])
            at += 9 + length
        self._unread = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        for stream in tuple(self._calls):
            self._end(stream, "connection lost")
        self.greeted.set()
        self._engine.closed(self)

    def expire(self, before: float) -> None:
        """Give up the calls that left before this time."""
        for stream, call in tuple(self._calls.items()):
            if call.sent_at >= before:
                break
            self._write(frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big")))  # CANCEL
            self._end(stream, "timeout")

    def close(self) -> None:
        """Leave."""
        self.usable = False
        if self._transport:
            self._transport.abort()

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._data(stream, payload, flags)
        elif kind in (HEADERS, CONTINUATION):
            self._headers(stream, kind, flags, payload)
        elif kind == SETTINGS and not flags & _ACK:
            self._settings(payload)
        elif kind == PING and not flags & _ACK:
            self._write(frame(PING, _ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big") & 0x7FFF_FFFF
            self._engine.offer(self)
        elif kind == RST_STREAM:
            self._end(stream, f"stream reset {int.from_bytes(payload, 'big')}")
        elif kind == GOAWAY:
            self._goaway(int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF)

    def _data(self, stream: int, payload: bytes, flags: int) -> None:
        self._taken += len(payload)
        if self._taken > _REFILL:
            self._write(frame(WINDOW_UPDATE, 0, 0, self._taken.to_bytes(4, "big")))
            self._taken = 0
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        call = self._calls.get(stream)
        if call:
            call.message += payload
        if flags & _END_STREAM:
            self._end(stream, "no grpc-status")

    def _headers(self, stream: int, kind: int, flags: int, payload: bytes) -> None:
        if kind == HEADERS:
            if flags & _PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if flags & _PRIORITY:
                payload = payload[5:]
            self._ends_stream = bool(flags & _END_STREAM)
        self._block += payload
        if not flags & _END_HEADERS:
            return
        block, self._block = self._block, b""
        fields = self._decoded(block)
        call = self._calls.get(stream)
        if call is None:
            return
        call.http_status = call.http_status or fields.get(":status", "")
        if not self._ends_stream:
            return
        if call.http_status != "200":
            self._end(stream, f"HTTP {call.http_status}")
            return
        status = fields.get("grpc-status", "")
        if status == "0":
            self._end(stream, OK, grpc_version(call.message))
        elif status.isdigit() and int(status) < len(_CODES):
            self._end(stream, _CODES[int(status)])
        else:
            self._end(stream, "no grpc-status")

    def _decoded(self, block: bytes) -> dict[str, str]:
        fields = self._known.get(block)
        if fields is None:
            pairs = self._decoder.decode(block)
            fields = {str(name): str(value) for name, value in pairs}
            if not self._decoder.header_table.dynamic_entries and len(self._known) < _KNOWN_BLOCKS:
                self._known[block] = fields
        return fields

    def _settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            value = int.from_bytes(payload[at + 2 : at + 6], "big")
            match int.from_bytes(payload[at : at + 2], "big"):
                case 3:  # MAX_CONCURRENT_STREAMS
                    self._limit = min(value, _STREAMS)
                case 4 if value < self._largest:  # INITIAL_WINDOW_SIZE
                    self._engine.fail(
                        f"the server takes {value} bytes of a call at once, the largest request "
                        f"has {self._largest}: load it over REST"
                    )
        self._write(frame(SETTINGS, _ACK, 0, b""))
        if not self.greeted.is_set():
            self.greeted.set()
            self.usable = True
            self._engine.opened(self)

    def _goaway(self, last: int) -> None:
        """The server leaves; it has not begun what came after `last`."""
        for stream in [one for one in self._calls if one > last]:
            self._engine.again(self._calls.pop(stream).planned)
        self._leave()

    def _leave(self) -> None:
        self.usable = False
        if not self._calls and self._transport:
            self._transport.close()

    def _end(self, stream: int, outcome: str, version: str = NO_VERSION) -> None:
        call = self._calls.pop(stream, None)
        if call:
            self._engine.answered(self, call.planned, call.sent_at, outcome, version)
            if not self.usable and not self._calls and self._transport:
                self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)
