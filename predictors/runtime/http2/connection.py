"""Connection: one client's HTTP/2 connection as an asyncio protocol, server side.

It keeps the rules of RFC 9113 (section numbers below) and hands requests to an application; what
that answers goes through `Stream`. Server push, priorities and upgrades are not offered. A client
that breaks a rule loses the stream or the connection, as the rule says, and one that only makes
work is told to calm down (`limits`).
"""

import asyncio
import logging
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from predictors.runtime.http2 import frames
from predictors.runtime.http2.application import Application
from predictors.runtime.http2.fields import check_trailers
from predictors.runtime.http2.frame_reader import NOT_HTTP2, Frame, FrameReader, NotHttp2
from predictors.runtime.http2.frames import ACK, END_STREAM, ConnectionFault, ErrorCode, StreamFault
from predictors.runtime.http2.header_blocks import HeadReader
from predictors.runtime.http2.limits import (
    CALM_SECONDS,
    CALM_WORK,
    CONNECTION_WINDOW,
    FINISH_SECONDS,
    IDLE_SWEEPS,
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
    STALLED_SWEEPS,
    STREAM_WINDOW,
    WORK_PER_TURN,
    Calm,
    check_resets,
)
from predictors.runtime.http2.peer_settings import read_settings
from predictors.runtime.http2.sender import Sender
from predictors.runtime.http2.stream import Stream

_GREETING_SECONDS = 10.0  # from connecting to the first SETTINGS
_LAST_CALL_SECONDS = 1.0  # from "no new streams" to meaning it
_CLOSING_SECONDS = 5.0  # for a client to read why it was closed
_MAX_SKIPS = 1_000
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
        self._greeting: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._over = False
        self._last_call = False
        self._calmed = False
        self._idle_sweeps = 0
        self._frames: Iterator[Frame] | None = None  # of the last read, where work is left
        self._later = b""  # what came meanwhile
        self._skipped: list[range] = []  # stream numbers that were passed over
        self._receivable = frames.DEFAULT_WINDOW
        self._last_id = 0
        self._resets = 0

    # --- begin and end ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._connections) >= MAX_CONNECTIONS and not self._make_room():
            self.transport.abort()
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
        if self._frames is not None:
            self._later += data
            return
        self._frames = self._reader.feed(data)
        self._work()

    def _work(self) -> None:
        """Carry out what was read; after `WORK_PER_TURN` the other clients have their turn."""
        left = CALM_WORK if self._calmed else WORK_PER_TURN
        try:
            for kind, flags, stream_id, payload in self._frames or ():
                if self._over:
                    return
                self._carry_out(kind, flags, stream_id, payload)
                left -= 1
                if kind == frames.HEADERS:
                    left -= len(payload) >> 6
                if left <= 0:
                    self._rest()
                    return
        except ConnectionFault as fault:
            logger.debug("connection refused: %s", fault)
            self._greet()
            self.write(frames.goaway(self._last_id, fault.code, str(fault)))
            self._close()
        except NotHttp2:
            self.write(NOT_HTTP2)
            self._close()
        self._frames = None

    def _carry_out(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        try:
            try:
                self._HANDLERS.get(kind, Connection._ignored)(self, flags, stream_id, payload)
            except StreamFault as fault:
                self._refuse(stream_id, fault)
        except Calm as fault:
            self._calm(fault)

    def _rest(self) -> None:
        self.transport.pause_reading()
        loop = asyncio.get_running_loop()
        if self._calmed:
            loop.call_later(CALM_SECONDS, self._go_on)
        else:
            loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._over:
            return
        self._work()
        if self._frames is None and self._later:
            later, self._later = self._later, b""
            self.data_received(later)
        if self._frames is None:
            self.read_on()

    def read_on(self) -> None:
        if self._frames is None:
            super().read_on()

    def _calm(self, fault: Calm) -> None:
        """Take no more streams, read slowly, and end once those that run are answered."""
        if self._calmed:
            return
        logger.debug("connection told to calm down: %s", fault)
        self._calmed = self._last_call = True
        self.write(frames.goaway(self._last_id, fault.code, str(fault)))
        if not self.streams:
            self._close()
            return
        if self._ending:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(FINISH_SECONDS, self._close)

    # --- time ---

    def sweep(self) -> None:
        """End what makes no progress; called every `SWEEP_SECONDS`."""
        if self._over:
            return
        self._idle_sweeps = 0 if self.streams else self._idle_sweeps + 1
        if self._idle_sweeps > IDLE_SWEEPS:
            self.drain()
        for stream in list(self.streams.values()):
            stream.sweeps += 1
            if stream.sweeps <= STALLED_SWEEPS:
                continue
            if stream.unsent_bytes:
                self.write(frames.reset(stream.id, ErrorCode.CANCEL))
                stream.close()
                stream.lost()
            elif stream.body_is_due and not stream.ended:
                stream.stalled()

    def _make_room(self) -> bool:
        """Close a connection that has no stream, for a new one; whether there was any."""
        idle = next((client for client in self._connections if not client.streams), None)
        if idle is not None:
            idle.drop()
        return idle is not None

    def drop(self) -> None:
        """Close a connection on which nothing runs."""
        if self._reader.greeted:
            self.write(frames.goaway(self._last_id, ErrorCode.NO_ERROR, "too many connections"))
        self._connections.discard(self)
        self._close()

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
        if not self._calmed:
            check_resets(self._resets, (self._last_id + 1) // 2)  # a client's have odd numbers

    def _headers(self, flags: int, stream_id: int, block: bytes) -> None:
        if stream_id <= self._last_id:
            self._trailers(flags, stream_id, block)
            return
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's streams have odd numbers")
        if self._last_call:  # it will be tried elsewhere, but its block may change the table
            self._heads.fields(block)
            return
        if stream_id != self._last_id + 2 and stream_id != 1:
            self._skip(stream_id)
        self._last_id = stream_id
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
        self._skipped.append(range(self._last_id + 2 if self._last_id else 1, stream_id, 2))

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
        self._spend()
        if flags & ACK:
            _check_size(payload, 0, "the answer to SETTINGS")
            return
        self._greet()
        self.adopt(read_settings(payload))
        self.write(frames.frame(frames.SETTINGS, ACK, 0))

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        _check_connection(stream_id, "PING")
        _check_size(payload, 8, "PING")
        self._spend()
        if not flags & ACK:
            self.write(frames.frame(frames.PING, ACK, 0, payload))
        elif payload == _DRAIN_PING:
            self._end_calls()

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

    def _ignored(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Unknown kinds are to be ignored (5.5)."""
        self._spend()

    def _spend(self) -> None:
        """Count a frame that is no request and none of its data."""
        if not self._calmed:
            self.allowance.spend()

    def _check_known(self, stream_id: int) -> None:
        if (stream_id > self._last_id and not self._last_call) or not stream_id:
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
