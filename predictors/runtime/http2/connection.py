"""Connection: one client's HTTP/2 connection as an asyncio protocol, server side.

It keeps the rules of RFC 9113 (section numbers below) and hands requests to an application; what
that answers goes through `Stream`. Server push, priorities and upgrades are not offered. A client
that breaks a rule loses the stream or the connection, as the rule says, and one that only makes
work is told to calm down (`limits`).
"""

import asyncio
import logging
from types import MappingProxyType
from typing import Any

from predictors.runtime.http2 import frames
from predictors.runtime.http2.application import Application
from predictors.runtime.http2.frame_reader import NOT_HTTP2, FrameReader, NotHttp2
from predictors.runtime.http2.frames import ACK, END_STREAM, ConnectionFault, ErrorCode, StreamFault
from predictors.runtime.http2.header_blocks import HeadReader
from predictors.runtime.http2.limits import (
    CONNECTION_WINDOW,
    MAX_HEADER_BYTES,
    STREAM_WINDOW,
    Allowance,
    check_resets,
)
from predictors.runtime.http2.peer_settings import read_settings
from predictors.runtime.http2.sender import Sender
from predictors.runtime.http2.stream import Stream

_GREETING_SECONDS = 10.0  # from connecting to the first SETTINGS
_LAST_CALL_SECONDS = 1.0  # from "no new streams" to meaning it
_CLOSING_SECONDS = 5.0  # for a client to read why it was closed
_DRAIN_PING = b"drained?"
logger = logging.getLogger("serin.http2")


class Connection(Sender):
    """One client; in `connections` for as long as it is there."""

    def __init__(self, application: Application, connections: "set[Connection]") -> None:
        super().__init__()
        self.closed = asyncio.get_running_loop().create_future()
        """Done once the client is gone."""
        self._application = application
        self._connections = connections
        self._reader = FrameReader()
        self._heads: HeadReader[Any] = HeadReader(MAX_HEADER_BYTES, application.parse)
        self._allowance = Allowance()
        self._greeting: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._over = False
        self._last_call = False
        self._receivable = frames.DEFAULT_WINDOW
        self._last_id = 0
        self._resets = 0

    # --- begin and end ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)
        loop = asyncio.get_running_loop()
        self._greeting = loop.call_later(_GREETING_SECONDS, self.transport.abort)

    def _greet(self) -> None:
        """Say hello (3.4), once it is HTTP/2 that the client speaks."""
        if self._greeting is None:
            return
        self._greeting.cancel()
        self._greeting = None
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

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._end()
        self.closed.set_result(None)

    def drain(self) -> None:
        """Take no new calls, and close once those that run are answered (6.8)."""
        if self._over or not self._reader.greeted:
            self._close()
            return
        # What is on its way is still welcome. The answer to the ping says that no more is.
        self.write(frames.goaway(frames.LAST_STREAM_ID, ErrorCode.NO_ERROR, "shutting down"))
        self.write(frames.frame(frames.PING, 0, 0, _DRAIN_PING))
        self._ending = asyncio.get_running_loop().call_later(_LAST_CALL_SECONDS, self._end_calls)

    def forget(self, stream: Stream) -> None:
        super().forget(stream)
        if self._last_call and not self.streams:
            self._close()

    def _end_calls(self) -> None:
        if self._over or self._last_call:
            return
        self._last_call = True
        self.write(frames.goaway(self._last_id, ErrorCode.NO_ERROR, "shutting down"))
        if not self.streams:
            self._close()

    def _close(self) -> None:
        if self._over:
            return
        self._end()
        self.transport.close()
        loop = asyncio.get_running_loop()
        self._ending = loop.call_later(_CLOSING_SECONDS, self.transport.abort)

    def _end(self) -> None:
        self._over = True
        for timer in (self._greeting, self._ending):
            if timer:
                timer.cancel()
        for stream in list(self.streams.values()):
            stream.close()
            stream.lost()

    # --- frames ---

    def data_received(self, data: bytes) -> None:
        try:
            for kind, flags, stream_id, payload in self._reader.feed(data):
                if self._over:
                    return
                try:
                    handle = self._HANDLERS.get(kind, Connection._ignored)
                    handle(self, flags, stream_id, payload)
                except StreamFault as fault:
                    self._refuse(stream_id, fault)
        except ConnectionFault as fault:
            logger.debug("connection refused: %s", fault)
            self._greet()
            self.write(frames.goaway(self._last_id, fault.code, str(fault)))
            self._close()
        except NotHttp2:
            self.write(NOT_HTTP2)
            self._close()

    def _refuse(self, stream_id: int, fault: StreamFault) -> None:
        logger.debug("stream refused: %s", fault)
        self.write(frames.reset(stream_id, fault.code))
        self._lose(stream_id)

    def _lose(self, stream_id: int) -> None:
        """A stream ends before its answer, by the client's will or by its fault."""
        self._resets += 1
        check_resets(self._resets, (self._last_id + 1) // 2)  # a client's have odd numbers
        stream = self.streams.get(stream_id)
        if stream:
            stream.close()
            stream.lost()

    def _headers(self, flags: int, stream_id: int, block: bytes) -> None:
        if stream_id <= self._last_id:
            self._trailers(flags, stream_id, block)
            return
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's streams have odd numbers")
        if self._last_call:  # it will be tried elsewhere, but its block may change the table
            self._heads.fields(block)
            return
        self._last_id = stream_id
        head = self._heads.read(block)
        if len(self.streams) >= self._application.max_streams:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many streams")
        stream = self.streams[stream_id] = self._application.open(self, stream_id, head)
        stream.ended = bool(flags & END_STREAM)
        stream.opened()
        if stream.ended and not stream.closed:
            stream.received(b"", ended=True)

    def _trailers(self, flags: int, stream_id: int, block: bytes) -> None:
        self._heads.fields(block)
        stream = self.streams.get(stream_id)
        if stream is None:
            if not flags & END_STREAM or not stream_id & 1:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream's number comes again")
            self._allowance.spend()  # sent before the client knew that the stream was over
            return
        if stream.ended or not flags & END_STREAM:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a header block behind the head")
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
            if not payload:
                self._allowance.spend()
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
            self._allowance.spend()

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
            self._allowance.spend()

    def _window(self, flags: int, stream_id: int, payload: bytes) -> None:
        _check_size(payload, 4, "WINDOW_UPDATE")
        size = frames.NUMBER.unpack(payload)[0] & frames.MAX_WINDOW
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
        if flags & ACK:
            _check_size(payload, 0, "the answer to SETTINGS")
            return
        self._greet()
        self._allowance.spend()
        self.adopt(read_settings(payload))
        self.write(frames.frame(frames.SETTINGS, ACK, 0))

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        _check_connection(stream_id, "PING")
        _check_size(payload, 8, "PING")
        if not flags & ACK:
            self._allowance.spend()
            self.write(frames.frame(frames.PING, ACK, 0, payload))
        elif payload == _DRAIN_PING:
            self._end_calls()

    def _push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "clients do not push")

    def _ignored(self, flags: int, stream_id: int, payload: bytes) -> None:
        """PRIORITY and GOAWAY change nothing here; unknown kinds are to be ignored (5.5)."""
        self._allowance.spend()

    def _check_known(self, stream_id: int) -> None:
        if (stream_id > self._last_id and not self._last_call) or not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream that never began")

    _HANDLERS = MappingProxyType(
        {
            frames.DATA: _data,
            frames.HEADERS: _headers,
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
