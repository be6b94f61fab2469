"""Connection: one client's HTTP/2 connection as an asyncio protocol, server side.

It keeps the rules of RFC 9113 (section numbers below) and hands requests to an application; what
that answers goes through `Stream`. Server push, priorities and upgrades are not offered. A client
that breaks a rule loses the stream or the connection, as the rule says, and one that only makes
work is told to calm down (`limits`).
"""

import logging
from types import MappingProxyType
from typing import Any

from predictors.runtime.http2 import frames
from predictors.runtime.http2.application import Application
from predictors.runtime.http2.fields import check_trailers
from predictors.runtime.http2.frames import ACK, END_STREAM, ConnectionFault, ErrorCode, StreamFault
from predictors.runtime.http2.header_blocks import HeadReader
from predictors.runtime.http2.limits import (
    CONNECTION_WINDOW,
    MAX_HEADER_BYTES,
    STREAM_WINDOW,
    check_resets,
)
from predictors.runtime.http2.peer_settings import read_settings
from predictors.runtime.http2.session import DRAIN_PING, Session

_MAX_SKIPS = 1_000
_GOAWAY_BYTES = 8  # the last stream and the error code
_SETTINGS_BYTES = 384  # of SETTINGS, 64 values, that count as a frame
logger = logging.getLogger("serin.http2")


class Connection(Session):
    """What a client's frames do."""

    def __init__(self, application: Application, connections: "set[Session]") -> None:
        super().__init__(connections)
        self._application = application
        self._heads: HeadReader[Any] = HeadReader(MAX_HEADER_BYTES, application.parse)
        self._skipped: list[range] = []  # stream numbers that were passed over
        self._receivable = frames.DEFAULT_WINDOW
        self._resets = 0

    def hello(self) -> None:
        self.write(
            frames.settings(
                {
                    frames.MAX_CONCURRENT_STREAMS: self._application.max_streams,
                    frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                    frames.MAX_HEADER_LIST_SIZE: MAX_HEADER_BYTES,
                }
            )
        )
        self._replenish()

    def carry_out(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        try:
            self._HANDLERS.get(kind, Connection._ignored)(self, flags, stream_id, payload)
        except StreamFault as fault:
            self._refuse(stream_id, fault)

    def _refuse(self, stream_id: int, fault: StreamFault) -> None:
        logger.debug("stream refused: %s", fault)
        self.write(frames.reset(stream_id, fault.code))
        self._lose(stream_id)

    def _lose(self, stream_id: int) -> None:
        """A stream ends before its answer, by the client's will or by its fault."""
        stream = self.streams.get(stream_id)
        if stream:
            stream.close()
            stream.lost()
        self._resets += 1
        if not self.calmed:
            check_resets(self._resets, (self.last_id + 1) // 2)  # a client's have odd numbers

    def _headers(self, flags: int, stream_id: int, block: bytes) -> None:
        if stream_id <= self.last_id:
            self._trailers(flags, stream_id, block)
            return
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's streams have odd numbers")
        if self.last_call:  # it will be tried elsewhere, but its block may change the table
            self._heads.fields(block)
            return
        if stream_id != self.last_id + 2 and stream_id != 1:
            self._skip(stream_id)
        self.last_id = stream_id
        self.allowance.earn()
        head = self._heads.read(block)
        if len(self.streams) >= self._application.max_streams:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many streams")
        stream = self.streams[stream_id] = self._application.open(self, stream_id, head)
        stream.ended = bool(flags & END_STREAM)
        stream.opened()
        if stream.ended and not stream.closed:
            stream.received(b"", ended=True)

    def _skip(self, stream_id: int) -> None:
        """Remember which numbers were passed over: they can begin no more (5.1.1)."""
        if len(self._skipped) == _MAX_SKIPS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many numbers are passed over")
        self._skipped.append(range(self.last_id + 2 if self.last_id else 1, stream_id, 2))

    def _trailers(self, flags: int, stream_id: int, block: bytes) -> None:
        fields = self._heads.fields(block)
        stream = self.streams.get(stream_id)
        if stream is None:
            if (
                not flags & END_STREAM
                or not stream_id & 1
                or any(stream_id in skipped for skipped in self._skipped)
            ):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream's number comes again")
            self._spend()  # sent before the client knew that the stream was over
            return
        if stream.ended:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "a header block behind the end")
        if not flags & END_STREAM:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a header block behind the head")
        check_trailers(fields)
        stream.ended = True
        stream.received(b"", ended=True)

    def _data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)  # padding counts (6.9.1)
        self._receivable -= size
        if self._receivable < CONNECTION_WINDOW // 2:
            self._replenish()
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            if self.late_frames:
                self.late_frames -= 1
            else:
                self._spend()
            return
        if stream.ended:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "DATA behind the end")
        stream.receivable -= size
        if stream.receivable < 0:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more than the stream's window")
        if flags & frames.PADDED:
            payload = frames.unpadded(flags, payload)
            stream.consumed(size - len(payload))
        if flags & END_STREAM:
            stream.ended = True
            stream.received(payload, ended=True)
        elif payload:
            stream.received(payload, ended=False)
        else:
            self._spend()

    def _replenish(self) -> None:
        """Open the window anew, read or not: it is the streams' windows that hold clients back."""
        self.write(frames.window_update(0, CONNECTION_WINDOW - self._receivable))
        self._receivable = CONNECTION_WINDOW

    def _reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        _check_size(payload, 4, "RST_STREAM")
        self._check_known(stream_id)
        if stream_id in self.streams:
            self._lose(stream_id)
        else:
            self._spend()

    def _window(self, flags: int, stream_id: int, payload: bytes) -> None:
        _check_size(payload, 4, "WINDOW_UPDATE")
        size = frames.NUMBER.unpack(payload)[0] & frames.MAX_WINDOW
        self._spend()
        if stream_id == 0:
            self.widen(size)
            return
        self._check_known(stream_id)
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        if size == 0:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        stream.widen(size)

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        _check_connection(stream_id, "SETTINGS")
        self._spend(1 + len(payload) // _SETTINGS_BYTES)
        if flags & ACK:
            _check_size(payload, 0, "the answer to SETTINGS")
            return
        self.greet()
        self.adopt(read_settings(payload))
        self.write(frames.frame(frames.SETTINGS, ACK, 0))

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        _check_connection(stream_id, "PING")
        _check_size(payload, 8, "PING")
        self._spend()
        if not flags & ACK:
            self.write(frames.frame(frames.PING, ACK, 0, payload))
        elif payload == DRAIN_PING:
            self.end_calls()

    def _push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "clients do not push")

    def _priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Priorities change nothing here (5.3.2)."""
        self._spend()
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY of the connection")
        if len(payload) != frames.PRIORITY_BYTES:
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes")

    def _goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        """The client opens no more streams, or has none of ours to speak of."""
        self._spend()
        _check_connection(stream_id, "GOAWAY")
        if len(payload) < _GOAWAY_BYTES:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes")

    def _ignored(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Unknown kinds are to be ignored (5.5)."""
        self._spend()

    def _spend(self, count: int = 1) -> None:
        """Count a frame that is no request and none of its data, or several in one."""
        if not self.calmed:
            self.allowance.spend(count)

    def _check_known(self, stream_id: int) -> None:
        is_ours = not stream_id & 1  # which never begins, since nothing is pushed
        if (stream_id > self.last_id and not self.last_call) or is_ours:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream that never began")

    _HANDLERS = MappingProxyType(
        {
            frames.DATA: _data,
            frames.HEADERS: _headers,
            frames.PRIORITY: _priority,
            frames.GOAWAY: _goaway,
            frames.RST_STREAM: _reset,
            frames.SETTINGS: _settings,
            frames.PUSH_PROMISE: _push_promise,
            frames.PING: _ping,
            frames.WINDOW_UPDATE: _window,
        }
    )


def _check_size(payload: bytes, size: int, name: str) -> None:
    if len(payload) != size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"{name} of {len(payload)} bytes")


def _check_connection(stream_id: int, name: str) -> None:
    if stream_id:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{name} on a stream")
