"""GrpcServer: gRPC's transport, on the event loop that REST uses.

With 64 clients an empty handler of grpcio's synchronous server takes 130 to 160 µs of CPU a call,
and here 8: no thread is changed, and what is readable in one turn of the loop is read together.
"""

import asyncio
import socket
from collections.abc import Mapping

from predictors.runtime.grpc import status as grpc_status
from predictors.runtime.grpc.call import GrpcCall, MessageLimits, Unary, UnaryCall
from predictors.runtime.grpc.head import CallHead, read_head
from predictors.runtime.grpc.streaming_call import Serve, StreamingCall
from predictors.runtime.http2.connection import Connection
from predictors.runtime.http2.header_blocks import Field
from predictors.runtime.http2.limits import SWEEP_SECONDS
from predictors.runtime.http2.sender import Sender
from predictors.runtime.http2.session import Session
from predictors.runtime.http2.stream import Stream

_BACKLOG = 2048


class GrpcServer:
    """Opens a call for each stream of its connections, by the method that its path names."""

    def __init__(
        self, methods: Mapping[bytes, Unary | Serve], limits: MessageLimits, max_streams: int
    ) -> None:
        self.max_streams = max_streams
        self._methods = methods
        self._limits = limits
        self._connections: set[Session] = set()
        self._listening: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    def parse(self, fields: list[Field]) -> CallHead:
        """Read a call's head."""
        return read_head(fields)

    def open(self, sender: Sender, stream_id: int, head: CallHead) -> Stream:
        """Begin a call."""
        method = self._methods.get(head.path)
        if method is None or head.refusal:
            return _Rejected(sender, stream_id, head, self._limits)
        if isinstance(method, Unary):
            return UnaryCall(sender, stream_id, head, self._limits, method)
        return StreamingCall(sender, stream_id, head, self._limits, method)

    def connection(self) -> Connection:
        """The protocol of one more client."""
        return Connection(self, self._connections)

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self.connection, sock=listener, backlog=_BACKLOG)
        self._sweeping = loop.call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        for connection in list(self._connections):
            connection.sweep()
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, let those in flight be answered, then close every connection."""
        if self._listening is None:
            return
        self._listening.close()
        if self._sweeping:
            self._sweeping.cancel()
        for connection in list(self._connections):
            connection.drain()
        if self._connections:
            closed = [connection.closed for connection in self._connections]
            await asyncio.wait(closed, timeout=grace_seconds)
        for connection in list(self._connections):
            connection.transport.abort()


class _Rejected(GrpcCall):
    """What is no call of ours; answered before its body."""

    def opened(self) -> None:
        match self.head.refusal:
            case (int(http_status), reason):
                self.finish(grpc_status.http_refusal(http_status, reason))
            case (str(code), reason):
                self.fail(code, reason)
            case _:
                path = self.head.path[:80].decode("latin-1")
                self.fail("UNIMPLEMENTED", f"{path} is not offered")
