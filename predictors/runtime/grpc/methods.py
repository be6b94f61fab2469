"""The gRPC services of a predictor, method by method: V2's, and gRPC's own health check."""

from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from predictors.runtime.dataplane.coalescer import Coalescer
from predictors.runtime.dataplane.service import Service
from predictors.runtime.grpc.call import Unary, UnaryCall
from predictors.runtime.grpc.health import Health
from predictors.runtime.grpc.infer import ModelInfer
from predictors.runtime.grpc.model_config import ModelConfigRequest, as_message
from predictors.runtime.grpc.stream_infer import stream_infer
from predictors.runtime.grpc.streaming_call import Serve
from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.errors import V2Error
from predictors.runtime.v2.identity import EXTENSIONS, SERVER_NAME, server_version
from predictors.runtime.v2.spec import TensorSpec

_V2 = b"/inference.GRPCInferenceService/"
_HEALTH = b"/grpc.health.v1.Health/"
Reply = Callable[[Any], Any]


def v2_methods(coalescer: Coalescer, max_rows: int) -> dict[bytes, Unary | Serve]:
    """Every method of a predictor, by path; `max_rows` are computed at once."""
    health = Health(coalescer)
    return {
        _V2 + b"ModelInfer": ModelInfer(coalescer),
        _V2 + b"ModelStreamInfer": partial(stream_infer, coalescer),
        **Metadata(coalescer, max_rows).methods,
        _HEALTH + b"Check": health,
        _HEALTH + b"Watch": health.watch,
    }


class Page(Unary):
    """A method that answers from what is known: message in, message out."""

    def __init__(self, request: Any, reply: Reply) -> None:
        self._request = request
        self._reply = reply

    def answer(self, call: UnaryCall, message: bytes) -> None:
        try:
            parsed = self._request.FromString(message)
        except DecodeError:
            name = self._request.DESCRIPTOR.name
            call.fail("INVALID_ARGUMENT", f"the message is not a {name}")
            return
        try:
            reply = self._reply(parsed)
        except V2Error as error:
            call.fail(error.grpc_code, str(error))
            return
        call.answer(reply.SerializeToString())


class Metadata:
    """Health and metadata of V2, and Triton's configuration."""

    def __init__(self, coalescer: Coalescer, max_rows: int) -> None:
        self._coalescer = coalescer
        self._max_rows = max_rows
        self.methods: dict[bytes, Unary] = {
            _V2 + b"ServerLive": Page(pb.ServerLiveRequest, self._server_live),
            _V2 + b"ServerReady": Page(pb.ServerReadyRequest, self._server_ready),
            _V2 + b"ServerMetadata": Page(pb.ServerMetadataRequest, self._server_metadata),
            _V2 + b"ModelReady": Page(pb.ModelReadyRequest, self._model_ready),
            _V2 + b"ModelMetadata": Page(pb.ModelMetadataRequest, self._model_metadata),
            _V2 + b"ModelConfig": Page(ModelConfigRequest, self._model_config),
        }

    @property
    def _service(self) -> Service:
        return self._coalescer.service

    def _server_live(self, _message: Any) -> Any:
        return pb.ServerLiveResponse(live=True)

    def _server_ready(self, _message: Any) -> Any:
        return pb.ServerReadyResponse(ready=self._service.ready)

    def _server_metadata(self, _message: Any) -> Any:
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=server_version(), extensions=EXTENSIONS
        )

    def _model_ready(self, message: Any) -> Any:
        self._service.check_model(message.name, message.version)
        return pb.ModelReadyResponse(ready=self._service.ready)

    def _model_config(self, message: Any) -> Any:
        self._service.check_model(message.name, message.version)
        return as_message(self._service.config(self._max_rows))

    def _model_metadata(self, message: Any) -> Any:
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
