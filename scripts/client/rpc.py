"""V2 over gRPC, answered in the shape of V2's JSON so that one table shows both."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from scripts.client.errors import RequestError, UnknownModelError, UsageError
from scripts.client.gateway import Gateway
from scripts.client.messages import DATATYPES, INFER, document, messages
from scripts.client.rest import unreachable


def infer(
    gateway: Gateway, model: str, tensors: Sequence[Mapping[str, Any]], timeout_seconds: float
) -> dict[str, Any]:
    """The answer to one request's tensors, as V2 writes it in JSON."""
    kinds = messages()
    request = kinds.ModelInferRequest(model_name=model)
    for tensor in tensors:
        field, _ = DATATYPES[tensor["datatype"]]
        data = [one.encode() if isinstance(one, str) else one for one in tensor["data"]]
        request.inputs.add(
            name=tensor["name"],
            datatype=tensor["datatype"],
            shape=tensor["shape"],
            contents={field: data},
        )
    options = [
        ("grpc.default_authority", gateway.authority(model)),
        ("grpc.enable_http_proxy", 0 if gateway.direct else 1),
        ("grpc.max_receive_message_length", -1),
    ]
    with _channel(gateway, options) as channel:
        call = channel.unary_unary(
            INFER,
            request_serializer=kinds.ModelInferRequest.SerializeToString,
            response_deserializer=kinds.ModelInferResponse.FromString,
        )
        try:
            metadata = tuple(gateway.credentials.items())
            return document(call(request, timeout=timeout_seconds, metadata=metadata))
        except grpc.RpcError as error:
            raise _explained(error, gateway, model, timeout_seconds) from None


def _channel(gateway: Gateway, options: list[tuple[str, Any]]) -> grpc.Channel:
    if gateway.secure:
        return grpc.secure_channel(gateway.dialled, grpc.ssl_channel_credentials(), options)
    return grpc.insecure_channel(gateway.dialled, options)


def _explained(
    error: Any, gateway: Gateway, model: str, timeout_seconds: float
) -> UsageError | RequestError:
    """A gRPC status in this package's words; `error` is also the finished call."""
    match error.code():
        case grpc.StatusCode.NOT_FOUND | grpc.StatusCode.UNIMPLEMENTED:
            # Envoy answers 404 where no route fits, which gRPC reads as UNIMPLEMENTED.
            return UnknownModelError(f"no model {model} at {gateway.url}")
        case grpc.StatusCode.UNAUTHENTICATED:
            return gateway.locked_out(model)
        case grpc.StatusCode.INVALID_ARGUMENT:
            return UsageError(f"{model} refuses: {error.details()}")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return RequestError(f"{gateway.url} gave no answer in {timeout_seconds:g} s")
        case grpc.StatusCode.UNAVAILABLE if "connect" in error.details():
            return RequestError(unreachable(gateway, error.details()))
    return RequestError(f"{model} answered {error.code().name}: {error.details()}")
