"""What an HTTP/1.1 connection may send, and how long it may take: uvicorn's parser has no limits.

Bytes of a message that are none of its body (head, trailers, chunks' own) are counted by reads, so
a request that comes in one read costs nothing more. Time is looked at every few seconds for all
connections at once, not by a timer each.
"""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

MAX_HEAD_BYTES = 65_536  # beyond the read in which the message began
MAX_CONNECTIONS = 4_096
LARGE_READ = 1 << 16  # bytes that came at once, behind which the others have their turn
MAX_PIPELINED = 64  # requests behind the one that is answered
SWEEP_SECONDS = 5.0
HEAD_SWEEPS = 2  # for a head to be whole, from its first byte; and for a first byte to come
STALLED_SWEEPS = 6  # without a byte of a body, or of an answer that is taken
BODY_SWEEPS = 60  # for a body in all
_CHUNK_OVERHEAD = 8  # bytes for each of the body: a chunk of one byte has six


class Refused(Exception):
    """A head that RFC 9112 has refused; ends the parser's read."""


class Clients:
    """The connections of one server."""

    def __init__(self) -> None:
        self._connections: set[GuardedProtocol] = set()
        self._sweeping = False

    def add(self, connection: "GuardedProtocol") -> None:
        """Take one more, in the place of an idle one where all are taken."""
        if len(self._connections) >= MAX_CONNECTIONS:
            idle = next((client for client in self._connections if client.idle), None)
            if idle is None:
                connection.transport.abort()
                return
            self._connections.discard(idle)
            idle.transport.abort()
        self._connections.add(connection)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def discard(self, connection: "GuardedProtocol") -> None:
        """One is gone."""
        self._connections.discard(connection)

    def _sweep(self) -> None:
        for connection in list(self._connections):
            connection.sweep()
        self._sweeping = bool(self._connections)
        if self._sweeping:
            asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits; `clients` is set by whoever makes the class of a server."""

    clients: Clients

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields: dict[bytes, bytes] = {}
        """The head's fields by name, of one given twice the last."""
        self._under_way = False  # a message that is not whole
        self._head_whole = False
        self._overhead = 0  # its bytes that are no body
        self._moved = False  # whether anything came since the last sweep
        self._sweeps = 0  # since the message began, or the connection
        self._still_sweeps = 0  # of them, since anything came
        self._refusal = 400, "the request is no HTTP/1.1"

    @property
    def idle(self) -> bool:
        """Whether no request is being read or answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first, whatever its type
        return not self._under_way and (cycle is None or cycle.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.clients.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._moved = True
        self._overhead += len(data)
        super().data_received(data)
        if self._under_way and self._overhead > MAX_HEAD_BYTES:
            what = "the trailers are" if self._head_whole else "the request's head is"
            self._end(431, f"{what} longer than {MAX_HEAD_BYTES} bytes")
        if len(data) >= LARGE_READ and not self.transport.is_closing():
            self.transport.pause_reading()  # or libuv goes on with it, 32 times before the others
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.flow.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def begin_message(self) -> None:
        """A message begins with the read that is being parsed."""
        self._under_way, self._head_whole = True, False
        self._overhead = self._sweeps = self._still_sweeps = 0

    def check_head(self) -> None:
        """Hold a complete head to RFC 9112, 3.2 and 6.1; sets `fields`.

        Raises:
            Refused: it is answered with 400, 429 or 501, and the connection closes.
        """
        self._head_whole = True
        if len(self.pipeline) > MAX_PIPELINED:
            self._refuse(429, f"more than {MAX_PIPELINED} requests before the first is answered")
        fields = self.fields = dict(self.headers)
        if len(fields) < len(self.headers):
            hosts = sum(name == b"host" for name, _ in self.headers)
            if hosts > 1:
                self._refuse(400, "more than one Host field")
        version = self.parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            self._refuse(505, "expected HTTP/1.1")
        is_newest = version == "1.1"
        if b"host" not in fields and is_newest:
            self._refuse(400, "a Host field is missing")
        coding = fields.get(b"transfer-encoding")
        if coding is not None:
            if not is_newest:
                self._refuse(400, "Transfer-Encoding in a request of HTTP/1.0")
            if coding.strip().lower() != b"chunked":
                shown = coding[:80].decode("latin-1")
                self._refuse(501, f"expected transfer-encoding chunked, got {shown}")

    def count_body(self, size: int) -> None:
        """A part of the message's body came."""
        self._overhead -= size * (1 + _CHUNK_OVERHEAD)

    def end_message(self) -> None:
        """The message is whole."""
        self._under_way = False

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser did not take, in V2's form."""
        del msg  # uvicorn's, which says nothing of what was wrong
        self._end(*self._refusal)

    def sweep(self) -> None:
        """End what takes too long; called every `SWEEP_SECONDS`."""
        self._sweeps += 1
        self._still_sweeps = 0 if self._moved else self._still_sweeps + 1
        self._moved = False
        if self._under_way:
            if not self._head_whole and self._sweeps > HEAD_SWEEPS:
                self._end(408, "the request's head did not come in time")
            elif self._still_sweeps > STALLED_SWEEPS or self._sweeps > BODY_SWEEPS:
                self._end(408, "the request's body did not come in time")
        elif self.flow.write_paused:
            if self._still_sweeps > STALLED_SWEEPS:
                self.transport.abort()
        elif self.idle and self.timeout_keep_alive_task is None and self._sweeps > HEAD_SWEEPS:
            self.transport.close()  # it never asked anything; uvicorn closes those that did

    def _refuse(self, status: int, reason: str) -> None:
        self._refusal = status, reason
        raise Refused(reason)

    def _end(self, status: int, reason: str) -> None:
        """Answer and close; where an earlier request is being answered, only close."""
        self._under_way = False
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = json.dumps({"error": reason}).encode()
            lines = (
                STATUS_LINE[status],
                b"content-type: application/json\r\nconnection: close\r\n",
                b"content-length: %d\r\n\r\n" % len(body),
                body,
            )
            self.transport.write(b"".join(lines))
        self.transport.close()
