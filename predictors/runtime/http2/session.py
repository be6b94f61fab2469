"""Session: a client's connection from its first byte to its last.

It reads a turn at a time, so that no client keeps the others waiting; ends what stands still; and
takes its leave of a client without losing what runs. What frames mean is `Connection`'s.
"""

import asyncio
import logging
from collections.abc import Iterator

from predictors.runtime.http2 import frames
from predictors.runtime.http2.frame_reader import NOT_HTTP2, Frame, FrameReader, NotHttp2
from predictors.runtime.http2.frames import ConnectionFault, ErrorCode
from predictors.runtime.http2.limits import (
    CALL_WORK,
    CALM_SECONDS,
    CALM_WORK,
    FINISH_SECONDS,
    IDLE_SWEEPS,
    LARGE_READ,
    MAX_CONNECTIONS,
    MAX_FRAME_BYTES,
    STALLED_SWEEPS,
    WORK_PER_TURN,
    Calm,
)
from predictors.runtime.http2.sender import Sender
from predictors.runtime.http2.stream import Stream

_GREETING_SECONDS = 10.0  # from connecting to the first SETTINGS
_LAST_CALL_SECONDS = 1.0  # from "no new streams" to meaning it
_CLOSING_SECONDS = 5.0  # for a client to read why it was closed
DRAIN_PING = b"drained?"
logger = logging.getLogger("serin.http2")


class Session(Sender):
    """One client; in `connections` for as long as it is there."""

    def __init__(self, connections: "set[Session]") -> None:
        super().__init__()
        self.closed = asyncio.get_running_loop().create_future()
        """Done once the client is gone."""
        self.last_id = 0
        """The newest stream's number."""
        self.last_call = False
        """Whether no more streams may begin."""
        self.late_frames = 0
        """DATA that a client may still send for calls which ended before their bodies."""
        self.calmed = False
        """Whether the client was told to calm down."""
        self._connections = connections
        self._reader = FrameReader()
        self._greeting: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._over = False
        self._idle_sweeps = 0
        self._frames: Iterator[Frame] | None = None  # of the last read, where work is left
        self._later = b""  # what came meanwhile

    def carry_out(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Do what a frame asks for.

        Raises:
            ConnectionFault: it breaks a rule that ends the connection, or is one too many (Calm).
        """
        raise NotImplementedError

    def hello(self) -> None:
        """Send our SETTINGS and open the connection's window."""
        raise NotImplementedError

    # --- begin and end ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._connections) >= MAX_CONNECTIONS and not self._make_room():
            self.transport.abort()
        self._connections.add(self)
        loop = asyncio.get_running_loop()
        self._greeting = loop.call_later(_GREETING_SECONDS, self.transport.abort)

    def greet(self) -> None:
        """Say hello (3.4), once it is HTTP/2 that the client speaks."""
        if self._greeting is None:
            return
        self._greeting.cancel()
        self._greeting = None
        self.hello()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._end()
        self.closed.set_result(None)

    def drain(self) -> None:
        """Take no new calls, and close once those that run are answered (6.8)."""
        if self.last_call and not self._over:
            return  # it was told already, and a later GOAWAY must not name more streams
        if self._over or not self._reader.greeted:
            self._close()
            return
        # What is on its way is still welcome. The answer to the ping says that no more is.
        self.write(frames.goaway(frames.LAST_STREAM_ID, ErrorCode.NO_ERROR, "shutting down"))
        self.write(frames.frame(frames.PING, 0, 0, DRAIN_PING))
        self._ending = asyncio.get_running_loop().call_later(_LAST_CALL_SECONDS, self.end_calls)

    def forget(self, stream: Stream) -> None:
        super().forget(stream)
        if not stream.ended:  # refused in the middle of its body, of which a window is on its way
            self.late_frames += max(stream.receivable, 0) // MAX_FRAME_BYTES
        if self.last_call and not self.streams:
            self._close()

    def end_calls(self) -> None:
        """Mean it: streams that begin from here on are ignored."""
        if self._over or self.last_call:
            return
        self.last_call = True
        self.write(frames.goaway(self.last_id, ErrorCode.NO_ERROR, "shutting down"))
        if not self.streams:
            self._close()

    def _close(self) -> None:
        if self._over:
            return
        self._end()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            # What a client still sends is read and dropped until it hangs up: a socket closed
            # with unread bytes is reset, and what was written last is lost on its way.
            self.transport.write_eof()
            self.paused = False
            self._frames, self._later = None, b""
            self.read_on()
        else:
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

    # --- turns ---

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._frames is not None:
            self._later += data
            return
        self._frames = self._reader.feed(data)
        self._work()
        if len(data) >= LARGE_READ and self._frames is None and not self._over:
            self._rest()  # or libuv goes on with this socket, 32 times before the next one

    def _work(self) -> None:
        """Carry out what was read; after `WORK_PER_TURN` the other clients have their turn."""
        left = CALM_WORK if self.calmed else WORK_PER_TURN
        try:
            for kind, flags, stream_id, payload in self._frames or ():
                if self._over:
                    return
                try:
                    self.carry_out(kind, flags, stream_id, payload)
                except Calm as fault:
                    self._calm(fault)
                left -= 1
                if kind == frames.HEADERS:
                    left -= CALL_WORK + (len(payload) >> 6)
                elif kind == frames.SETTINGS:
                    left -= len(payload) >> 6
                if left <= 0:
                    self._rest()
                    return
        except ConnectionFault as fault:
            logger.debug("connection refused: %s", fault)
            self.greet()
            self.write(frames.goaway(self.last_id, fault.code, str(fault)))
            self._close()
        except NotHttp2:
            self.write(NOT_HTTP2)
            self._close()
        self._frames = None

    def _rest(self) -> None:
        self.transport.pause_reading()
        loop = asyncio.get_running_loop()
        if self.calmed:
            loop.call_later(CALM_SECONDS, self._go_on)
        else:
            loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._over:
            return
        self._work()
        if self._frames is None and self._later:  # is work of another turn
            later, self._later = self._later, b""
            self._frames = self._reader.feed(later)
            self._rest()
        if self._frames is None:
            self.read_on()

    def read_on(self) -> None:
        if self._frames is None:
            super().read_on()

    def _calm(self, fault: Calm) -> None:
        """Take no more streams, read slowly, and end once those that run are answered."""
        if self.calmed:
            return
        logger.debug("connection told to calm down: %s", fault)
        self.calmed = self.last_call = True
        self.write(frames.goaway(self.last_id, fault.code, str(fault)))
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
            self.write(frames.goaway(self.last_id, ErrorCode.NO_ERROR, "too many connections"))
        self._connections.discard(self)
        self._close()
