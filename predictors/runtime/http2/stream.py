"""Stream: one request and its answer on a connection, with flow control both ways."""

from typing import Protocol

from predictors.runtime.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    MAX_WINDOW,
    ErrorCode,
    StreamFault,
    frame,
    reset,
    window_update,
)
from predictors.runtime.http2.limits import STREAM_WINDOW


class Sender(Protocol):
    """What a stream needs of its connection: to write, and to know how much it may."""

    initial_window: int
    max_frame: int
    sendable: int
    paused: bool
    table_update: bytes

    def write(self, data: bytes) -> None: ...

    def write_block(self, flags: int, stream_id: int, block: bytes) -> None: ...

    def flush(self, stream: "Stream") -> None: ...

    def forget(self, stream: "Stream") -> None: ...


class Stream:
    """A stream's state and windows; an application adds `received` and `lost`."""

    body_is_due = True
    """Whether a client that opened it has to send its body; not of one that may go on for ever."""

    __slots__ = (
        "_consumed",
        "_last",
        "_unsent",
        "closed",
        "ended",
        "id",
        "receivable",
        "sendable",
        "sender",
        "sweeps",
    )

    def __init__(self, sender: Sender, stream_id: int) -> None:
        self.sender = sender
        self.id = stream_id
        self.ended = False
        """Whether the client has sent all it will."""
        self.closed = False
        """Whether nothing can be answered any more."""
        self.sendable = sender.initial_window
        """Bytes that the client is ready to take; it may make this negative (6.9.2)."""
        self.receivable = STREAM_WINDOW
        self._unsent: bytearray | None = None
        self._last: bytes | None = None  # the header block that ends the answer, behind `_unsent`
        self._consumed = 0
        self.sweeps = 0
        """How many times nothing had come or gone since it was looked at."""

    def opened(self) -> None:
        """Learn that the connection knows the stream."""

    def received(self, payload: bytes, *, ended: bool) -> None:
        """Take what the client sent."""
        raise NotImplementedError

    def lost(self) -> None:
        """Learn that the client reset the stream, or its connection is gone."""
        raise NotImplementedError

    def stalled(self) -> None:
        """Answer a client whose body does not come."""
        raise NotImplementedError

    def drained(self) -> None:
        """Learn that all data given to `send` is on its way."""

    @property
    def unsent_bytes(self) -> int:
        """How much waits for the client's windows."""
        return len(self._unsent) if self._unsent else 0

    def begin(self, block: bytes) -> None:
        """Send the answer's header block."""
        self.sender.write_block(END_HEADERS, self.id, block)

    def send(self, data: bytes) -> None:
        """Send data, now or when the client's windows allow."""
        if self._unsent is None:
            self._unsent = bytearray()
        self._unsent += data
        self.sender.flush(self)

    def finish(self, block: bytes) -> None:
        """End the answer with a header block, behind all data."""
        if self._unsent:
            self._last = block
        else:
            self._end(block)

    def push(self) -> None:
        """Send one frame of what waits, as far as the windows reach."""
        unsent, sender = self._unsent, self.sender
        if not unsent:
            return
        size = min(len(unsent), self.sendable, sender.sendable, sender.max_frame)
        if size <= 0:
            return
        self.sweeps = 0
        self.sendable -= size
        sender.sendable -= size
        sender.write(frame(DATA, 0, self.id, bytes(unsent[:size])))
        del unsent[:size]  # moves nothing: a bytearray's start is an offset
        if unsent:
            return
        if self._last is not None:
            self._end(self._last)
        else:
            self.drained()

    @property
    def waits(self) -> bool:
        """Whether there is data that only the connection holds back."""
        return bool(self._unsent) and self.sendable > 0 and not self.closed

    def widen(self, size: int) -> None:
        """Take the client's leave to send more."""
        self.sendable += size
        if self.sendable > MAX_WINDOW:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "the window is over 2^31-1")
        if self._unsent:
            self.sender.flush(self)

    def consumed(self, size: int) -> None:
        """Let the client send `size` bytes more; told once they are half of the window."""
        self._consumed += size
        if self._consumed >= STREAM_WINDOW // 2 and not self.ended and not self.closed:
            self.receivable += self._consumed
            self.sender.write(window_update(self.id, self._consumed))
            self._consumed = 0

    def close(self) -> None:
        """Be over; what the client still sends is ignored."""
        self.closed = True
        self._unsent = None
        self.sender.forget(self)

    def _end(self, block: bytes) -> None:
        self.sender.write_block(END_HEADERS | END_STREAM, self.id, block)
        if not self.ended:  # "request that the client abort transmission … without error" (8.1)
            self.sender.write(reset(self.id, ErrorCode.NO_ERROR))
        self.close()
