"""GrpcCall: an HTTP/2 stream as a gRPC call (gRPC over HTTP/2, "Requests" and "Responses").

What a call's client left, or what failed, is `closed`, and an answer to it then goes nowhere.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from predictors.runtime.dataplane.budget import Budget, Hold
from predictors.runtime.dataplane.unpacking import unpack
from predictors.runtime.grpc import status as grpc_status
from predictors.runtime.grpc.head import CallHead
from predictors.runtime.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEADERS,
    ErrorCode,
    StreamFault,
)
from predictors.runtime.http2.sender import Sender
from predictors.runtime.http2.stream import Stream
from predictors.runtime.v2.errors import (
    BodyTooLarge,
    InvalidRequest,
    Overloaded,
    UnsupportedEncoding,
    V2Error,
    WrongCardinality,
)

PREFIX_BYTES = 5  # compressed or not, and the message's length
_COMPRESSIONS = (b"gzip", b"deflate")


@dataclass(slots=True)
class MessageLimits:
    """How large messages may be, and the budget that counts what is held of them."""

    max_receive_bytes: int
    max_send_bytes: int
    budget: Budget


class GrpcCall(Stream):
    """Messages in, messages out; `take` and `complete` say what to do with those that come in."""

    __slots__ = (
        "_buffer",
        "_got",
        "_limits",
        "begun",
        "deadline",
        "generation",
        "head",
        "hold",
        "on_lost",
    )

    def __init__(
        self, sender: Sender, stream_id: int, head: CallHead, limits: MessageLimits
    ) -> None:
        super().__init__(sender, stream_id)
        self.head = head
        self.begun = False
        """Whether the answer has begun."""
        self.generation = 0
        """Of the channel that the answer is of; 0 for none."""
        self.deadline = None if head.timeout is None else time.perf_counter() + head.timeout
        """The perf_counter time by which the client wants its answer."""
        self.on_lost: Callable[[], None] | None = None
        """Called if the client leaves before its answer."""
        self.hold: Hold | None = None
        """What is held of the budget for it."""
        self._limits = limits
        self._buffer: bytearray | None = None  # what is no whole message yet
        self._got = 0  # bytes of the body, where it comes in parts

    # --- what comes in ---

    def take(self, message: bytes, *, packed: bool) -> None:
        """Take a message, or one that `unpacked` reads."""
        raise NotImplementedError

    def complete(self) -> None:
        """Learn that no more messages come."""
        raise NotImplementedError

    def refuse(self, error: V2Error) -> None:
        """End the call for what is wrong with its body."""
        self.fail(error.grpc_code, str(error))

    def lost(self) -> None:
        if self.on_lost:
            self.on_lost()

    def received(self, payload: bytes, *, ended: bool) -> None:
        """Take a part of the body: nearly always it is one message, whole."""
        size = len(payload) - PREFIX_BYTES
        try:
            if (
                ended
                and self._buffer is None
                and size >= 0
                and payload[0] == 0
                and size == int.from_bytes(payload[1:PREFIX_BYTES])
                and self.head.length in {None, len(payload)}
                and size <= self._limits.max_receive_bytes
            ):
                self.take(payload[PREFIX_BYTES:], packed=False)
            else:
                self._assemble(payload, ended=ended)
            if ended and not self.closed:
                self.complete()
        except V2Error as error:
            self.refuse(error)

    def stalled(self) -> None:
        self.fail("DEADLINE_EXCEEDED", "the request's body did not come")

    def _assemble(self, payload: bytes, *, ended: bool) -> None:
        """Put messages together from parts of any size."""
        self.sweeps = 0
        self._got += len(payload)
        length = self.head.length
        if length is not None and (self._got > length or (ended and self._got < length)):
            # "malformed": RFC 9113, 8.1.1
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"content-length is {length}")
        if self._buffer is None:
            self._buffer = bytearray()
        buffer = self._buffer
        buffer += payload
        self.count(len(payload))
        while len(buffer) >= PREFIX_BYTES and not self.closed:
            size = int.from_bytes(buffer[1:PREFIX_BYTES])
            if size > self._limits.max_receive_bytes:
                raise self._too_large(size)
            end = PREFIX_BYTES + size
            if len(buffer) < end:
                break
            message = bytes(memoryview(buffer)[PREFIX_BYTES:end])
            packed = bool(buffer[0])
            if packed and self.head.encoding not in _COMPRESSIONS:
                raise UnsupportedEncoding(
                    "a compressed message with grpc-encoding "
                    f"{self.head.encoding[:40].decode('latin-1')}; "
                    "expected gzip, deflate or identity"
                )
            del buffer[:end]
            self.take(message, packed=packed)
        if ended and buffer and not self.closed:
            raise InvalidRequest("the body ends inside a message")
        self.consumed(len(payload))

    def count(self, received: int) -> None:
        """Count what was received; raises Overloaded where there is no room for it."""
        if self.hold is None:
            self.hold = self.new_hold()
        self.hold.grow(received)

    def new_hold(self) -> Hold:
        """For what is held of this call's connection."""
        return Hold(self._limits.budget, self.sender)

    def unpacked(self, message: bytes, hold: Hold) -> bytes:
        """Unpack a compressed message; in any thread. Raises V2Error."""
        return unpack(message, self._limits.max_receive_bytes, hold, self._too_large)

    def _too_large(self, size: int) -> BodyTooLarge:
        return BodyTooLarge(
            f"a message of {size} bytes or more, {self._limits.max_receive_bytes} are allowed "
            "(--grpc_max_receive_message_length)"
        )

    # --- what goes out ---

    def answer(self, message: bytes) -> None:
        """Answer with one message; the call is over."""
        if self.closed or self._send_too_large(message):
            return
        size = len(message) + PREFIX_BYTES
        sender = self.sender
        if size > min(self.sendable, sender.sendable, sender.max_frame) or (
            sender.paused or sender.table_update or self.begun or not self.ended
        ):
            if self._held(message):
                self.send_message(message)
                self.succeed()
            return
        sender.sendable -= size
        head = grpc_status.head_block(self.head.client_id, self.head.traceparent)
        last = grpc_status.OK_TRAILERS
        if self.generation:
            last = grpc_status.ok_trailers(self.generation)
        sender.write(
            b"".join(
                (
                    HEAD.pack(0, len(head), HEADERS, END_HEADERS, self.id),
                    head,
                    HEAD.pack(size >> 16, size & 0xFFFF, DATA, 0, self.id),
                    b"\0",
                    (size - PREFIX_BYTES).to_bytes(4),
                    message,
                    HEAD.pack(0, len(last), HEADERS, END_HEADERS | END_STREAM, self.id),
                    last,
                )
            )
        )
        self.close()

    def _held(self, message: bytes) -> bool:
        """Whether there is room for an answer that its client does not take yet."""
        self.hold = self.hold or self.new_hold()
        try:
            self.hold.charge(max(self.hold.size, len(message)))
        except Overloaded as error:
            self.fail(error.grpc_code, str(error))
            return False
        return True

    def _send_too_large(self, message: bytes) -> bool:
        limit = self._limits.max_send_bytes
        if len(message) > limit:
            what = f"an answer of {len(message)} bytes, {limit} are allowed"
            self.fail("RESOURCE_EXHAUSTED", f"{what} (--grpc_max_send_message_length)")
        return len(message) > limit

    def send_message(self, message: bytes) -> None:
        """Send one of several messages, when the client's windows allow."""
        if self.closed or self._send_too_large(message):
            return
        if not self.begun:
            self.begun = True
            self.begin(grpc_status.head_block(self.head.client_id, self.head.traceparent))
        self.send(b"\0" + len(message).to_bytes(4) + message)

    def succeed(self) -> None:
        """End the call behind the messages that were sent."""
        if self.begun:
            self.finish(grpc_status.ok_trailers(self.generation))
        else:
            self.fail("OK", "")

    def fail(self, code: str, message: str, *, elsewhere: bool = False) -> None:
        """End the call with a status, behind the messages that were sent."""
        if self.closed:
            return
        block = grpc_status.trailers(code, message, self.generation, elsewhere=elsewhere)
        if not self.begun:  # "Trailers-Only"
            block = grpc_status.head_block(self.head.client_id, self.head.traceparent) + block
        self.finish(block)

    def close(self) -> None:
        self._buffer = None
        if self.hold is not None:
            self.hold.release()
        super().close()


class UnaryCall(GrpcCall):
    """A call of one message; the method answers it at once or later."""

    __slots__ = ("_message", "_method", "_packed")

    def __init__(
        self, sender: Sender, stream_id: int, head: CallHead, limits: MessageLimits, method: "Unary"
    ) -> None:
        super().__init__(sender, stream_id, head, limits)
        self._method = method
        self._message: bytes | None = None
        self._packed = False

    def take(self, message: bytes, *, packed: bool) -> None:
        if self._message is not None:
            raise WrongCardinality("expected one message, got more")
        self._message = message
        self._packed = packed

    def complete(self) -> None:
        message, self._message = self._message, None
        if message is None:
            raise WrongCardinality("expected one message, got none")
        if self._packed:
            self._method.answer_packed(self, message)
        else:
            self._method.answer(self, message)

    def refuse(self, error: V2Error) -> None:
        self._method.refuse(self, error)


class Unary:
    """A unary method."""

    def answer(self, call: UnaryCall, message: bytes) -> None:
        """Answer a call, by `answer` or `fail`, at once or later."""
        raise NotImplementedError

    def answer_packed(self, call: UnaryCall, message: bytes) -> None:
        """Answer a call whose message is compressed; raises V2Error."""
        call.hold = call.hold or call.new_hold()
        self.answer(call, call.unpacked(message, call.hold))

    def refuse(self, call: UnaryCall, error: V2Error) -> None:
        """End a call whose message could not be read."""
        call.fail(error.grpc_code, str(error))
