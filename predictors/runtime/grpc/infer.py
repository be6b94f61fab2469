"""ModelInfer: calls that arrive together are answered together, as `direct` does for REST.

Once every socket that was readable has been read, the turn's messages are decoded, computed in as
few calls of the model as fit, encoded and written, step by step rather than one by one. Calls too
long for that wait in the batcher's queue.
"""

import asyncio
import logging
import time

from google.protobuf.message import DecodeError

from predictors.runtime.dataplane.job import Job
from predictors.runtime.dataplane.service import Service
from predictors.runtime.grpc.call import Unary, UnaryCall
from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.errors import (
    ClientGone,
    DeadlineExceeded,
    InferenceFailed,
    InvalidRequest,
    Overloaded,
    V2Error,
)
from predictors.runtime.v2.protobuf import decode_grpc, encode_grpc
from predictors.runtime.v2.record import Call
from predictors.runtime.v2.signature import Outputs, Request

_TOGETHER = 64
logger = logging.getLogger("serin.grpc")


class ModelInfer(Unary):
    """Every infer call over gRPC of one model server."""

    def __init__(self, service: Service, queue_size: int) -> None:
        self._service = service
        self._queue_size = queue_size
        self._overloaded = Overloaded(
            f"model '{service.model.name}': its queue of {queue_size} requests is full"
        )
        self._collected: list[tuple[UnaryCall, Call, bytes]] = []
        self._met = 0  # calls of this turn, answered or not; those that wait are not among them
        self._queued = 0  # calls that wait for the worker

    def answer(self, call: UnaryCall, message: bytes) -> None:
        """Collect a call; past the queue's size it is refused on the spot."""
        if self._met + self._queued >= self._queue_size:
            self._service.turn_away()
            call.fail(self._overloaded.grpc_code, str(self._overloaded))
            return
        if not self._met:
            asyncio.get_running_loop().call_soon(self._end)
        self._met += 1
        self._collected.append((call, self._begin(call), message))
        if len(self._collected) >= _TOGETHER:
            self._run()  # enough to be warm; the first should not wait for hundreds more

    def refuse(self, call: UnaryCall, error: V2Error) -> None:
        self._fail(call, self._begin(call), error)

    def _begin(self, call: UnaryCall) -> Call:
        record = self._service.begin("grpc")
        record.client_id = call.head.client_id
        record.traceparent = call.head.traceparent
        record.shadow = call.head.shadow
        return record

    def _end(self) -> None:
        self._run()
        self._met = 0

    def _run(self) -> None:
        """Answer all that was collected."""
        collected, self._collected = self._collected, []
        short: list[tuple[UnaryCall, Call, Request]] = []
        batcher = self._service.batcher
        for call, record, message in collected:
            try:
                request = self._decode(call, record, message)
                if batcher.is_short(request):
                    short.append((call, record, request))
                else:
                    self._queue(call, record, request)
            except V2Error as error:
                self._fail(call, record, error)
            except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
                self._crash(call, record, error)
        outputs = batcher.run_many([request for _, _, request in short])
        for (call, record, request), output in zip(short, outputs, strict=True):
            self._finish(call, record, request, output)

    def _decode(self, call: UnaryCall, record: Call, message: bytes) -> Request:
        if call.closed:
            raise ClientGone("the client left")
        if call.deadline is not None and time.perf_counter() > call.deadline:
            raise DeadlineExceeded("the deadline passed before the call was read")
        service = self._service
        service.check_ready()
        try:
            parsed = pb.ModelInferRequest.FromString(message)
        except DecodeError as error:
            raise InvalidRequest("the message is not a ModelInferRequest") from error
        service.check_model(parsed.model_name, parsed.model_version)
        request = decode_grpc(parsed, service.model.signature)
        service.accept(record, request)
        return request

    def _queue(self, call: UnaryCall, record: Call, request: Request) -> None:
        """Let the worker compute a call; its client may leave meanwhile."""
        loop = asyncio.get_running_loop()

        def computed() -> None:  # in the worker's thread
            loop.call_soon_threadsafe(answer)

        def answer() -> None:
            if call.closed:
                return
            self._queued -= 1
            try:
                outputs: Outputs | V2Error = job.result()
            except V2Error as error:
                outputs = error
            self._finish(call, record, request, outputs)

        def leave() -> None:
            job.gone = True
            self._queued -= 1
            self._fail(call, record, ClientGone("the client left"))

        job = Job(request.arrays, request.rows, computed, call.deadline)
        job.timing = request.timing
        self._service.batcher.submit(job)
        self._met -= 1  # it counts as waiting from here on
        self._queued += 1
        call.on_lost = leave

    def _finish(
        self, call: UnaryCall, record: Call, request: Request, outputs: Outputs | V2Error
    ) -> None:
        model = self._service.model
        try:
            if isinstance(outputs, V2Error):
                raise outputs
            message = encode_grpc(request, outputs, model.name, model.version)
        except V2Error as error:
            self._fail(call, record, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
            self._crash(call, record, error)
        else:
            self._service.end(record, None, "OK", outputs)
            call.answer(message)

    def _fail(self, call: UnaryCall, record: Call, error: V2Error) -> None:
        self._service.end(record, error, error.grpc_code)
        call.fail(error.grpc_code, str(error))

    def _crash(self, call: UnaryCall, record: Call, error: Exception) -> None:
        logger.error("request failed", exc_info=error, extra={"request_id": record.request_id})
        self._fail(call, record, InferenceFailed(f"internal error: {type(error).__name__}"))
