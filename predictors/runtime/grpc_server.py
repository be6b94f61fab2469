"""V2 over gRPC: grpcio's C core with plain handlers, no asyncio and no generated servicer.

An empty asyncio handler answers half of what an empty synchronous one does; the difference is
Python code per call. kserve's protobuf messages are used as they are.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from predictors.runtime.errors import InferenceFailed, V2Error
from predictors.runtime.grpc_codec import decode_grpc, encode_grpc
from predictors.runtime.grpc_stream import StreamCall
from predictors.runtime.job import Job
from predictors.runtime.lean_kserve import pb
from predictors.runtime.pages import EXTENSIONS, SERVER_NAME, server_version
from predictors.runtime.service import Service
from predictors.runtime.spec import TensorSpec

_SERVICE = "inference.GRPCInferenceService"
logger = logging.getLogger("serin.grpc")
Handler = Callable[[Any, grpc.ServicerContext], Any]


class GrpcServer:
    """The gRPC side of one model server."""

    def __init__(
        self,
        service: Service,
        *,
        queue_size: int,
        max_receive_bytes: int,
        max_send_bytes: int,
        share_port: bool = False,
    ) -> None:
        self._service = service
        # A queued call holds a thread; an inline one is done before the next could use it.
        threads = 4 if service.batcher.inline_rows else queue_size
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            maximum_concurrent_rpcs=queue_size,  # past it the C core answers RESOURCE_EXHAUSTED
            options=[
                ("grpc.max_receive_message_length", max_receive_bytes),
                ("grpc.max_send_message_length", max_send_bytes),
                # A taken port must be an error, not a shared one, but for workers of one predictor.
                ("grpc.so_reuseport", int(share_port)),
            ],
        )
        methods: dict[str, tuple[Handler, Any]] = {
            "ServerLive": (self._server_live, pb.ServerLiveRequest),
            "ServerReady": (self._server_ready, pb.ServerReadyRequest),
            "ServerMetadata": (self._server_metadata, pb.ServerMetadataRequest),
            "ModelReady": (self._model_ready, pb.ModelReadyRequest),
            "ModelMetadata": (self._model_metadata, pb.ModelMetadataRequest),
            "ModelInfer": (self._infer, pb.ModelInferRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                handler if name == "ModelInfer" else _answered(handler),
                request_deserializer=message.FromString,
                response_serializer=_serialized,
            )
            for name, (handler, message) in methods.items()
        }
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self._stream_infer, request_deserializer=pb.ModelInferRequest.FromString
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, handlers),)
        )

    def start(self, host: str, port: int) -> None:
        """Listen; raise OSError where the port is taken."""
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {host}:{port}: {error}") from error
        if not bound:
            raise OSError(f"gRPC cannot listen on {host}:{port}")
        self._server.start()

    def stop(self, grace_seconds: float) -> threading.Event:
        """Refuse new calls; the event is set once those in flight are answered."""
        stopped: threading.Event = self._server.stop(grace_seconds)
        return stopped

    def _infer(self, message: Any, context: grpc.ServicerContext) -> Any:
        service = self._service
        call = service.begin("grpc")
        failure: V2Error | None = None
        try:
            self._service.check_model(message.model_name, message.model_version)
            service.check_ready()  # how many at once is bounded by the C core
            request = decode_grpc(message, service.model.signature)
            service.accept(call, request)
            if service.batcher.is_short(request):
                outputs = service.batcher.run(request.arrays, request.rows)
            else:
                outputs = self._queued(request.arrays, request.rows, context)
            model = service.model
            return encode_grpc(request, outputs, model.name, model.version)
        except V2Error as error:
            failure = error
        except Exception as error:  # a fault of ours must be an answer and a log line
            logger.exception("request failed", extra={"request_id": call.request_id})
            failure = InferenceFailed(f"internal error: {type(error).__name__}")
        finally:
            service.end(call, failure, "OK" if failure is None else failure.grpc_code)
        context.set_code(grpc.StatusCode[failure.grpc_code])
        context.set_details(str(failure))
        return b""

    def _queued(self, arrays: Any, rows: int, context: grpc.ServicerContext) -> Any:
        finished = threading.Event()
        remaining = context.time_remaining()
        # Without a deadline gRPC reports centuries, which perf_counter arithmetic takes as well.
        job = Job(arrays, rows, finished.set)
        if remaining is not None:
            job.deadline = job.queued_at + remaining

        def leave() -> None:
            job.gone = True

        if not context.add_callback(leave):
            job.gone = True
        self._service.batcher.submit(job)
        finished.wait()
        return job.result()

    def _stream_infer(
        self, messages: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Carry a StreamCall: requests are read in a thread of their own while answers go out."""
        service = self._service
        if not service.streams:
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"model '{service.model.name}' does not stream; call ModelInfer",
            )
        answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Without a deadline gRPC reports centuries, which perf_counter arithmetic takes as well.
        deadline = time.perf_counter() + context.time_remaining()
        stream = StreamCall(service, answers.put, deadline)

        def left() -> None:
            stream.leave()
            answers.put(None)

        def read() -> None:
            try:
                for message in messages:
                    stream.receive(message)
            except Exception:  # noqa: BLE001 - grpcio raises a bare one once the client has gone
                stream.leave()
            else:
                stream.half_close()

        context.add_callback(left)
        threading.Thread(target=read, name="grpc-stream", daemon=True).start()
        while (answer := answers.get()) is not None:
            yield answer

    def _server_live(self, _message: Any, _context: grpc.ServicerContext) -> Any:
        return pb.ServerLiveResponse(live=True)

    def _server_ready(self, _message: Any, _context: grpc.ServicerContext) -> Any:
        return pb.ServerReadyResponse(ready=self._service.ready)

    def _server_metadata(self, _message: Any, _context: grpc.ServicerContext) -> Any:
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=server_version(), extensions=EXTENSIONS
        )

    def _model_ready(self, message: Any, _context: grpc.ServicerContext) -> Any:
        self._service.check_model(message.name, message.version)
        return pb.ModelReadyResponse(ready=self._service.ready)

    def _model_metadata(self, message: Any, _context: grpc.ServicerContext) -> Any:
        self._service.check_model(message.name, message.version)
        model = self._service.model
        return pb.ModelMetadataResponse(
            name=model.name,
            versions=[model.version],
            platform=model.platform,
            inputs=_described(model.inputs),
            outputs=_described(model.outputs),
        )


def _described(specs: tuple[TensorSpec, ...]) -> list[Any]:
    return [
        pb.ModelMetadataResponse.TensorMetadata(
            name=spec.name, datatype=spec.datatype, shape=spec.shape
        )
        for spec in specs
    ]


def _serialized(answer: Any) -> bytes:
    """Messages as protobuf writes them; ModelInfer gives bytes already."""
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


def _answered(handler: Handler) -> Handler:
    """Turn a V2Error of a metadata call into its status."""

    def answer(message: Any, context: grpc.ServicerContext) -> Any:
        try:
            return handler(message, context)
        except V2Error as error:
            context.abort(grpc.StatusCode[error.grpc_code], str(error))
            raise  # abort always raises; this line is for the reader

    return answer
