"""gRPC ModelStreamInfer, Triton's bidirectional stream.

Any number of requests go in, and the pieces of their answers come out, each with its request's id.
A refused request is an `error_message` in the stream, which goes on. The last piece of an answer
has the parameter `triton_final_response` true, all others false.
https://github.com/triton-inference-server/server/blob/main/docs/user_guide/decoupled_models.md

kserve's protobuf module has no such answer, so it is written here, as Triton declares it:

    message ModelStreamInferResponse {
      string error_message = 1;
      ModelInferResponse infer_response = 2;
    }
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from predictors.runtime.dataplane.budget import LARGE_BYTES, SMALL_BYTES, Hold, weight
from predictors.runtime.dataplane.coalescer import Coalescer, crashed
from predictors.runtime.dataplane.job import Piece, StreamJob
from predictors.runtime.dataplane.service import Service
from predictors.runtime.grpc.streaming_call import StreamingCall
from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.errors import (
    ClientGone,
    InvalidRequest,
    V2Error,
    WrongMethod,
)
from predictors.runtime.v2.protobuf import decode_grpc, encode_grpc, parse_grpc
from predictors.runtime.v2.record import Record
from predictors.runtime.v2.signature import Request, Signature

_MAX_UNREAD = 256  # answers that wait for their client, past which its requests wait too
_ERROR_MESSAGE, _INFER_RESPONSE = b"\x0a", b"\x12"  # fields 1 and 2, both length-delimited


class StreamCall:
    """One ModelStreamInfer call.

    A transport makes one for each call and tells it what happens: `receive` for each request,
    `half_close` once the client has sent its last one, `leave` once the client has gone. It gets
    each answer from `send`, called from any thread, as the bytes of a message; None means that the
    call is over with status OK.
    """

    def __init__(
        self,
        coalescer: Coalescer,
        send: Callable[[bytes | None], None],
        deadline: float | None = None,
        *,
        new_hold: Callable[[], Hold],
        client_id: str = "",
        traceparent: str = "",
    ) -> None:
        self._coalescer = coalescer
        self._new_hold = new_hold
        self._send = send
        self._ids = client_id, traceparent
        self._deadline = deadline  # time.perf_counter() value
        self._guard = threading.Lock()
        self._jobs: set[StreamJob] = set()  # not answered yet
        self._expecting = True  # whether the client may send more

    def receive(self, message: Any) -> None:
        """Take a ModelInferRequest; returns at once.

        It ends on the engine that serves now, pieces and all; the next one may be another's.
        """
        service = self._coalescer.service
        call = Record("grpc")
        call.client_id, call.traceparent = self._ids
        service.begin(call)
        try:
            call.request_id = message.id
            service.check_model(message.model_name, message.model_version)
            service.check_ready()
            request = decode_grpc(message, service.model.signature)
            service.accept(call, request)
            self._submit(service, call, request)
        except V2Error as error:
            self._refuse(service, call, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
            self._refuse(service, call, crashed(call, error))

    def half_close(self) -> None:
        """The client has sent its last request: the call ends with the last answer."""
        with self._guard:
            self._expecting = False
            over = not self._jobs
        if over:
            self._send(None)

    def leave(self) -> None:
        """The client has gone: nothing more is computed for it."""
        with self._guard:
            jobs = list(self._jobs)
        for job in jobs:
            job.gone = True

    def _submit(self, service: Service, call: Record, request: Request) -> None:
        hold = self._new_hold()
        size = weight(request)
        if size > SMALL_BYTES:
            hold.charge(size)

        def pass_on(piece: Piece) -> None:
            if piece.last:
                hold.release()
                self._done(job)
            self._pass_on(service, call, request, piece)
            if piece.last:
                self._end_if_over()

        deadline = request.due(call.started, self._deadline)
        job = StreamJob(request.arrays, request.rows, pass_on, deadline)
        job.timing = request.timing
        with self._guard:
            self._jobs.add(job)
        try:
            service.batcher.submit(job)
        except BaseException:
            hold.release()
            self._done(job)
            raise

    def _pass_on(self, service: Service, call: Record, request: Request, piece: Piece) -> None:
        """Send a piece; called from the model's thread, which must not see an exception of ours."""
        model = service.model
        try:
            message = encode_grpc(request, piece.result(), model.name, model.version)
        except V2Error as error:
            self._refuse(service, call, error)
            return
        self._send(_field(_INFER_RESPONSE, message + _FINAL[piece.last]))
        if piece.last:
            service.end(call, None)

    def _refuse(self, service: Service, call: Record, error: V2Error) -> None:
        service.end(call, error)
        if isinstance(error, ClientGone):
            return
        whose = pb.ModelInferResponse(model_name=service.model.name, id=call.request_id)
        response = whose.SerializeToString() + _FINAL[True]
        self._send(_field(_ERROR_MESSAGE, str(error).encode()) + _field(_INFER_RESPONSE, response))

    def _done(self, job: StreamJob) -> None:
        with self._guard:
            self._jobs.discard(job)

    def _end_if_over(self) -> None:
        with self._guard:
            over = not self._jobs and not self._expecting
        if over:
            self._send(None)


async def stream_infer(coalescer: Coalescer, transport: StreamingCall) -> None:
    """Serve one ModelStreamInfer call: requests are read while answers go out."""
    signature = _admitted(coalescer.service, transport)
    loop = asyncio.get_running_loop()
    answers: asyncio.Queue[bytes | V2Error | None] = asyncio.Queue()

    def send(answer: bytes | None) -> None:  # from the model's thread
        loop.call_soon_threadsafe(answers.put_nowait, answer)

    stream = StreamCall(
        coalescer,
        send,
        transport.deadline,
        new_hold=transport.new_hold,
        client_id=transport.head.client_id,
        traceparent=transport.head.traceparent,
    )

    taken = asyncio.Event()

    async def read() -> None:
        while (message := await transport.read()) is not None:
            while answers.qsize() > _MAX_UNREAD:
                taken.clear()
                await taken.wait()
            try:
                if len(message) > LARGE_BYTES:
                    request = await asyncio.to_thread(parse_grpc, message, signature)
                else:
                    request = parse_grpc(message, signature)
            except InvalidRequest as error:
                answers.put_nowait(error)
                return
            stream.receive(request)
        stream.half_close()

    reading = loop.create_task(read())
    try:
        while (answer := await answers.get()) is not None:
            if isinstance(answer, V2Error):
                raise answer
            await transport.write(answer)
            taken.set()
    finally:
        reading.cancel()
        stream.leave()


def _admitted(service: Service, transport: StreamingCall) -> Signature:
    """What requests are held to: every version of a channel has the same."""
    if transport.head.min_generation is not None:
        service.check_generation(transport.head.min_generation)
    if not service.streams:
        name = service.model.name
        raise WrongMethod(f"model '{name}' does not stream; call ModelInfer", "ModelInfer")
    transport.generation = service.generation
    return service.model.signature


def _field(tag: bytes, value: bytes) -> bytes:
    """A length-delimited field of protobuf: tag, length as a varint, value."""
    length = len(value)
    varint = bytearray()
    while length > 0x7F:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    varint.append(length)
    return tag + bytes(varint) + value


def _final(*, last: bool) -> bytes:
    """What is merged into an answer to say whether it is the request's last."""
    response = pb.ModelInferResponse()
    response.parameters["triton_final_response"].bool_param = last
    serialized: bytes = response.SerializeToString()
    return serialized


_FINAL = {last: _final(last=last) for last in (False, True)}
