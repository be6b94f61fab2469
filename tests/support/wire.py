"""HTTP/2 by hand over a real socket: what no honest library would write."""

import itertools
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator

from predictors.runtime.http2.frames import PREFACE
from predictors.runtime.http2.header_blocks import Field, block_of

METHOD = "/inference.GRPCInferenceService/"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, AWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
FRAME = 16_384


def raw(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame."""
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def head(
    stream: int, path: str, *more: Field, authority: str = "here", ended: bool = False
) -> bytes:
    """The beginning of a gRPC call."""
    fields: list[Field] = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]
    return raw(HEADERS, END_HEADERS | ended, stream, block_of(fields))


def body(stream: int, message: bytes, *, ended: bool, packed: bool = False) -> bytes:
    """A message in DATA frames."""
    data = bytes([packed]) + len(message).to_bytes(4) + message
    parts = [data[start : start + FRAME] for start in range(0, len(data), FRAME)]
    last = len(parts) - 1
    return b"".join(
        raw(DATA, END_STREAM if ended and index == last else 0, stream, part)
        for index, part in enumerate(parts)
    )


class Attacker:
    """One HTTP/2 connection that has greeted; it reads what comes, and throws it away."""

    def __init__(self, port: int, *settings: tuple[int, int]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self.socket)
        self._unread = b""
        self.sent = 0
        self.cut = False
        self.told = False
        """Whether GOAWAY came."""
        self.ended = 0
        """Streams that the server ended."""
        values = b"".join(struct.pack(">HI", *pair) for pair in settings)
        self.send(PREFACE + raw(SETTINGS, 0, 0, values) + raw(SETTINGS, 1, 0))

    def send(self, data: bytes, seconds: float = 5.0) -> bool:
        """Send as far as the server takes it; whether it took all of it, and is still there."""
        view, end = memoryview(data), time.monotonic() + seconds
        try:
            while view and not self.cut and time.monotonic() < end:
                if self._look(select.POLLIN | select.POLLOUT) & select.POLLOUT:
                    size = self.socket.send(view[: 1 << 16])
                    self.sent += size
                    view = view[size:]
        except OSError:
            self.cut = True
        return not view and not self.cut

    def wait(self, count: int, seconds: float) -> None:
        """Read until so many streams are over, or time is up, or the server hangs up."""
        end = time.monotonic() + seconds
        while self.ended < count and not self.cut and time.monotonic() < end:
            self._look(select.POLLIN)

    def _look(self, events: int) -> int:
        """Wait a moment for the socket; read what there is; what it is ready for."""
        self._poll.modify(self.socket, events)
        ready = self._poll.poll(100)
        state = ready[0][1] if ready else 0
        if state & select.POLLIN:
            try:
                data = self.socket.recv(1 << 16)
            except OSError:
                data = b""
            self.cut = not data
            self._unread += data
            while len(self._unread) >= 9:
                size = 9 + int.from_bytes(self._unread[:3])
                if len(self._unread) < size:
                    break
                kind, flags = self._unread[3], self._unread[4]
                self.ended += kind == RESET or (kind == HEADERS and flags & END_STREAM)
                self.told |= kind == AWAY
                self._unread = self._unread[size:]
        return state

    def flood(self, parts: Iterable[bytes], seconds: float) -> None:
        """Send one part after the other until time is up or the server hangs up."""
        end = time.monotonic() + seconds
        for part in parts:
            left = end - time.monotonic()
            if left <= 0 or not self.send(part, left):
                return

    def close(self) -> None:
        self.socket.close()


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def repeated(frame: bytes, first: bytes = b"") -> Iterator[bytes]:
    """A frame over and over, 64 KB at a time."""
    return itertools.chain([first], itertools.repeat(frame * max(1, 65_536 // len(frame))))
