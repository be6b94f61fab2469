"""Sender: the half of a connection that writes, within the client's windows (RFC 9113, 5.2)."""

import asyncio

from predictors.runtime.http2 import frames
from predictors.runtime.http2.frames import ConnectionFault, ErrorCode
from predictors.runtime.http2.header_blocks import TABLE_BYTES
from predictors.runtime.http2.limits import Allowance
from predictors.runtime.http2.stream import Stream

_MAX_FRAME_SENT = 65_536  # a larger one would hold up the other streams
_SIZE_UPDATE = b"\x20"  # HPACK: a table of no bytes (RFC 7541, 6.3)


class Sender(asyncio.Protocol):
    """Windows, open streams and the socket."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.sendable = frames.DEFAULT_WINDOW
        """Bytes of DATA that the client is ready to take on all streams."""
        self.initial_window = frames.DEFAULT_WINDOW
        """What a new stream may send."""
        self.max_frame = frames.DEFAULT_FRAME_SIZE
        self.paused = False
        """Whether the socket takes no more for now."""
        self.table_update = b""
        """What our next header block has to begin with."""
        self.allowance = Allowance()
        """What the client may send beside its requests."""
        self.streams: dict[int, Stream] = {}
        self._waiting: dict[int, Stream] = {}  # those that have data, and leave to send it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream socket's

    def pause_writing(self) -> None:
        """Read no more from a client that does not read: what it asks would only pile up."""
        self.paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        self.read_on()
        self._push()

    def read_on(self) -> None:
        """Read again, unless something else holds the reading back."""
        if not self.paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Write frames, unless nobody is there to read them."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def write_block(self, flags: int, stream_id: int, block: bytes) -> None:
        """Write a HEADERS frame."""
        self.write(frames.frame(frames.HEADERS, flags, stream_id, self.table_update + block))
        self.table_update = b""

    def flush(self, stream: Stream) -> None:
        """Send what a stream has, as far as windows and socket allow; the rest waits its turn."""
        if stream.waits:
            self._waiting[stream.id] = stream
            self._push()

    def widen(self, size: int) -> None:
        """Take the client's leave to send more."""
        if size == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        self.sendable += size
        if self.sendable > frames.MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the window is over 2^31-1")
        self._push()

    def adopt(self, settings: dict[int, int]) -> None:
        """Heed a client's settings."""
        if settings.get(frames.HEADER_TABLE_SIZE, TABLE_BYTES) < TABLE_BYTES:
            # We keep no table, but that one grew too small has to be said (RFC 7541, 4.2).
            self.table_update = _SIZE_UPDATE
        self.max_frame = min(settings.get(frames.MAX_FRAME_SIZE, self.max_frame), _MAX_FRAME_SENT)
        window = settings.get(frames.INITIAL_WINDOW_SIZE, self.initial_window)
        change = window - self.initial_window  # holds for open streams too (6.9.2)
        self.initial_window = window
        if change:
            for stream in list(self.streams.values()):
                stream.sendable += change
                if stream.sendable > frames.MAX_WINDOW:
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window is over 2^31-1")
                if stream.waits:
                    self._waiting[stream.id] = stream
            self._push()

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        self.streams.pop(stream.id, None)
        self._waiting.pop(stream.id, None)

    def _push(self) -> None:
        """A frame of each stream in turn, so that a long answer holds up no short one."""
        while self._waiting and self.sendable > 0 and not self.paused:
            stream = self._waiting.pop(next(iter(self._waiting)))
            if stream.waits:
                stream.push()
                self.allowance.earn()
            if stream.waits:
                self._waiting[stream.id] = stream
