"""gRPC's server side in this process, without a socket: bytes in, bytes out, frame by frame.

The methods: `/t/Echo` answers its message, `/t/Big` as many bytes as the message says, `/t/Later`
when told to, `/t/Each` a message for each, `/t/Once` after the last, `/t/Never` reads nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import Frame

from predictors.runtime.dataplane.budget import Budget
from predictors.runtime.grpc.call import MessageLimits, Unary, UnaryCall
from predictors.runtime.grpc.server import GrpcServer
from predictors.runtime.grpc.streaming_call import Serve, StreamingCall
from predictors.runtime.http2.connection import Connection
from predictors.runtime.http2.frames import PREFACE

HEADERS = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/t/Echo"),
    (b":authority", b"here"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]
MAX_BYTES = 1 << 20
MAX_STREAMS = 50
BUDGET = 256 << 20


class Echo(Unary):
    """Answers its message."""

    def answer(self, call: UnaryCall, message: bytes) -> None:
        call.answer(message)


class Big(Unary):
    """Answers as many bytes as the message says."""

    def answer(self, call: UnaryCall, message: bytes) -> None:
        call.answer(bytes(int(message)))


class Later(Unary):
    """Keeps calls until a test answers them."""

    def __init__(self) -> None:
        self.calls: list[UnaryCall] = []
        self.left = 0

    def answer(self, call: UnaryCall, message: bytes) -> None:
        self.calls.append(call)
        call.on_lost = self._leave

    def _leave(self) -> None:
        self.left += 1


async def each(call: StreamingCall) -> None:
    """A message for each message, as soon as it came."""
    while (message := await call.read()) is not None:
        await call.write(message)


async def once(call: StreamingCall) -> None:
    """All messages joined, after the last."""
    messages = []
    while (message := await call.read()) is not None:
        messages.append(message)
    await call.write(b"".join(messages))


async def never(call: StreamingCall) -> None:
    """Reads nothing."""
    await asyncio.Event().wait()


class Wire(asyncio.Transport):
    """The client's end of the connection, in memory."""

    def __init__(self, server: "Server") -> None:
        super().__init__()
        self._server = server
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        self._server.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._server.protocol.connection_lost, None)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The client hangs up in answer, as honest ones do."""
        self.close()

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Server:
    """One connection of a gRPC server; `sent` is what it wrote and nobody took yet."""

    def __init__(self) -> None:
        self.sent = b""
        self.later = Later()
        self.budget = Budget(BUDGET)
        self.limits = MessageLimits(MAX_BYTES, 64 << 20, self.budget)
        methods: dict[bytes, Unary | Serve] = {
            b"/t/Echo": Echo(),
            b"/t/Big": Big(),
            b"/t/Later": self.later,
            b"/t/Each": each,
            b"/t/Once": once,
            b"/t/Never": never,
        }
        self.server = GrpcServer(methods, self.limits, MAX_STREAMS)
        self.protocol: Connection = self.server.connection()
        self.wire = Wire(self)
        self.protocol.connection_made(self.wire)

    def give(self, data: bytes) -> Self:
        """Let the server read bytes, unless it has hung up."""
        if not self.wire.closed:
            self.protocol.data_received(data)
        return self

    def take(self) -> bytes:
        """What it wrote since the last time."""
        data, self.sent = self.sent, b""
        return data

    def frames(self) -> list[Any]:
        """The frames it wrote since the last time."""
        return parsed(self.take())


def framed(message: bytes, flag: int = 0) -> bytes:
    """A message as it travels; the flag says that it is compressed."""
    return bytes([flag]) + len(message).to_bytes(4) + message


def parsed(data: bytes) -> list[Frame]:
    """Whole frames, as hyperframe reads them."""
    found, view = [], memoryview(data)
    while view:
        one, size = Frame.parse_frame_header(view[:9])
        one.parse_body(view[9 : 9 + size])
        found.append(one)
        view = view[9 + size :]
    return found


class Client:
    """The `h2` package's client on a Server: a peer that nobody here wrote."""

    def __init__(self, server: Server) -> None:
        self.server = server
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.events: list[h2.events.Event] = []
        self.exchange()

    def exchange(self, *, acknowledge: bool = True) -> list[h2.events.Event]:
        """Pass bytes both ways until neither side has more to say; returns the new events."""
        new: list[h2.events.Event] = []
        while True:
            data = self.h2.data_to_send()
            self.server.give(data)
            answer = self.server.take()
            if not data and not answer:
                break
            events = self.h2.receive_data(answer) if answer else []
            if acknowledge:
                for event in events:
                    if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                        size = event.flow_controlled_length
                        self.h2.acknowledge_received_data(size, event.stream_id)
            new += events
        self.events += new
        return new

    def call(self, path: str, *messages: bytes, end: bool = True, **fields: str) -> int:
        """Begin a call; returns its stream."""
        stream = self.h2.get_next_available_stream_id()
        headers = [(n, path.encode() if n == b":path" else v) for n, v in HEADERS]
        headers += [(k.replace("_", "-").encode(), v.encode()) for k, v in fields.items()]
        self.h2.send_headers(stream, headers, end_stream=end and not messages)
        self.send(stream, *messages, end=end)
        return stream

    def send(self, stream: int, *messages: bytes, end: bool = True) -> None:
        """Send messages as flow control allows."""
        data = b"".join(map(framed, messages))
        while data:
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            assert size, "the server opens its window"
            part, data = data[:size], data[size:]
            self.h2.send_data(stream, part, end_stream=end and not data)
            self.exchange()
        self.exchange()

    def answer(self, stream: int) -> tuple[dict[bytes, bytes], bytes, dict[bytes, bytes]]:
        """Head, body and trailers of a stream; of a trailers-only answer the head is all."""
        head: dict[bytes, bytes] = {}
        trailers: dict[bytes, bytes] = {}
        body = b""
        for event in self.events:
            if getattr(event, "stream_id", None) != stream:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                head = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
            elif isinstance(event, h2.events.TrailersReceived):
                trailers = dict(event.headers)
        return head, body, trailers

    def status(self, stream: int) -> tuple[int, str]:
        """grpc-status and grpc-message, wherever they came."""
        head, _, trailers = self.answer(stream)
        fields = head | trailers
        return int(fields[b"grpc-status"]), fields.get(b"grpc-message", b"").decode()


def greeted() -> Server:
    """A server whose client has said hello, and which has answered."""
    server = Server().give(PREFACE + bytes.fromhex("000000040000000000"))
    server.take()
    return server


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on an event loop; calls that it left open end with it."""
    asyncio.run(scenario())


async def settle() -> None:
    """Let what was put off happen."""
    for _ in range(10):
        await asyncio.sleep(0)
