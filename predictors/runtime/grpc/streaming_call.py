"""StreamingCall: a gRPC call of several messages in, or out, or both, served by a coroutine."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable

from predictors.runtime.grpc.call import GrpcCall, MessageLimits
from predictors.runtime.grpc.head import CallHead
from predictors.runtime.http2.limits import STREAM_WINDOW
from predictors.runtime.http2.sender import Sender
from predictors.runtime.v2.errors import Behind, V2Error

_UNSENT_BYTES = 65_536  # past it a handler waits for its client
_MESSAGE_COST = 128  # a waiting message's own bytes in memory: empty ones are not free
logger = logging.getLogger("serin.grpc")


class StreamingCall(GrpcCall):
    """What a handler reads from and sends to; it is cancelled when the client leaves."""

    body_is_due = False

    __slots__ = ("_came", "_inbox", "_inbox_bytes", "_owed", "_room", "_task", "_whole")

    def __init__(
        self, sender: Sender, stream_id: int, head: CallHead, limits: MessageLimits, serve: "Serve"
    ) -> None:
        super().__init__(sender, stream_id, head, limits)
        self._inbox: deque[tuple[bytes, bool]] = deque()  # each with whether it is packed
        self._inbox_bytes = 0
        self._owed = 0  # bytes that the client may send again once the handler has read
        self._whole = False
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(serve))

    # --- for handlers ---

    async def read(self) -> bytes | None:
        """The next message; None once the client has sent its last."""
        if self.hold is not None:  # the last message is the handler's no more
            self.hold.shrink(self._inbox_bytes + len(self._buffer or b""))
        while not self._inbox:
            if self._whole:
                return None
            self._came.clear()
            await self._came.wait()
        message, packed = self._inbox.popleft()
        self._inbox_bytes -= len(message) + _MESSAGE_COST
        if self.hold is not None:
            self.hold.shrink(self._inbox_bytes + len(message) + len(self._buffer or b""))
        if self._owed and self._inbox_bytes < STREAM_WINDOW:
            owed, self._owed = self._owed, 0
            super().consumed(owed)
        if packed:
            message = await asyncio.to_thread(self._unpacked_alone, message)
        return message

    async def write(self, message: bytes) -> None:
        """Send a message; returns when the client reads on."""
        self.send_message(message)
        while self.unsent_bytes > _UNSENT_BYTES:
            self._room.clear()
            await self._room.wait()

    # --- for the connection ---

    def _unpacked_alone(self, message: bytes) -> bytes:
        """Unpack a message; it is counted only meanwhile, since its handler reads one at a time."""
        hold = self.new_hold()
        try:
            return self.unpacked(message, hold)
        finally:
            hold.release()

    def take(self, message: bytes, *, packed: bool) -> None:
        self._inbox.append((message, packed))
        self._inbox_bytes += len(message) + _MESSAGE_COST
        self._came.set()

    def complete(self) -> None:
        self._whole = True
        self._came.set()

    def consumed(self, size: int) -> None:
        if self._inbox_bytes < STREAM_WINDOW:
            super().consumed(size)
        else:
            self._owed += size

    def drained(self) -> None:
        self._room.set()

    def refuse(self, error: V2Error) -> None:
        super().refuse(error)
        self._task.cancel()

    def lost(self) -> None:
        super().lost()
        self._task.cancel()

    async def _run(self, serve: "Serve") -> None:
        try:
            remaining = None if self.deadline is None else self.deadline - time.perf_counter()
            async with asyncio.timeout(remaining):
                await serve(self)
        except V2Error as error:
            self.fail(error.grpc_code, str(error), elsewhere=isinstance(error, Behind))
        except TimeoutError:
            self.fail("DEADLINE_EXCEEDED", "the deadline passed")
        except Exception as error:  # a fault of ours must be an answer and a log line
            logger.exception("call failed", extra={"path": self.head.path.decode("latin-1")})
            self.fail("INTERNAL", f"internal error: {type(error).__name__}")
        else:
            self.succeed()


Serve = Callable[[StreamingCall], Awaitable[None]]
"""A streaming method: reads and writes messages; raises V2Error to fail."""
