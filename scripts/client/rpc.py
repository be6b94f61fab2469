"""V2 over gRPC, answered in the shape of V2's JSON so that one table shows both.

The messages are KServe's own generated module. It is loaded by its file: importing it through its
package imports all of kserve, which takes over a second and parses sys.argv.
"""

import ctypes
import importlib.util
import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import grpc

from scripts.client.errors import RequestError, UnknownModelError, UsageError
from scripts.client.gateway import Gateway
from scripts.client.rest import unreachable

SERVICE = "/inference.GRPCInferenceService"
# V2 datatype: its field in InferTensorContents, and its struct code in raw contents.
DATATYPES = {
    "BOOL": ("bool_contents", "?"),
    "INT8": ("int_contents", "b"),
    "INT16": ("int_contents", "h"),
    "INT32": ("int_contents", "i"),
    "INT64": ("int64_contents", "q"),
    "UINT8": ("uint_contents", "B"),
    "UINT16": ("uint_contents", "H"),
    "UINT32": ("uint_contents", "I"),
    "UINT64": ("uint64_contents", "Q"),
    "FP32": ("fp32_contents", "f"),
    "FP64": ("fp64_contents", "d"),
    "BYTES": ("bytes_contents", ""),
}


def infer(
    gateway: Gateway, model: str, tensors: Sequence[Mapping[str, Any]], timeout_seconds: float
) -> dict[str, Any]:
    """The answer to one request's tensors, as V2 writes it in JSON."""
    messages = _messages()
    request = messages.ModelInferRequest(model_name=model)
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
            f"{SERVICE}/ModelInfer",
            request_serializer=messages.ModelInferRequest.SerializeToString,
            response_deserializer=messages.ModelInferResponse.FromString,
        )
        try:
            metadata = tuple(gateway.credentials.items())
            return _json(call(request, timeout=timeout_seconds, metadata=metadata))
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


def _json(answer: Any) -> dict[str, Any]:
    outputs = []
    for number, output in enumerate(answer.outputs):
        contents, code = DATATYPES[output.datatype]
        if number < len(answer.raw_output_contents):
            values = _unpacked(answer.raw_output_contents[number], code)
        else:
            values = iter(getattr(output.contents, contents))
        if output.datatype == "BYTES":
            values = (value.decode(errors="replace") for value in values)
        elif output.datatype == "FP32":
            values = (_shortest(value) for value in values)
        named = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
        outputs.append({**named, "data": list(values)})
    named = {"model_name": answer.model_name, "model_version": answer.model_version}
    return {**named, "id": answer.id, "outputs": outputs}


def _shortest(single: float) -> float:
    """The number with the fewest digits that is the same FP32, which is how REST writes it."""
    for digits in range(1, 10):
        shorter = float(f"{single:.{digits}g}")
        if ctypes.c_float(shorter).value == single:
            return shorter
    return single


def _unpacked(raw: bytes, code: str) -> Iterator[Any]:
    """Little-endian values; BYTES are each preceded by their length in four bytes."""
    if code:
        yield from itertools.chain.from_iterable(struct.iter_unpack(f"<{code}", raw))
        return
    start = 0
    while start < len(raw):
        (length,) = struct.unpack_from("<I", raw, start)
        yield raw[start + 4 : start + 4 + length]
        start += 4 + length


@cache
def _messages() -> Any:
    kserve = importlib.util.find_spec("kserve")  # finds it and imports nothing
    if kserve is None or kserve.origin is None:
        raise RequestError("kserve is not installed, and gRPC needs its messages")
    path = Path(kserve.origin).parent / "protocol" / "grpc" / "grpc_predict_v2_pb2.py"
    spec = importlib.util.spec_from_file_location("grpc_predict_v2_pb2", path)
    if spec is None or spec.loader is None:
        raise RequestError(f"{path} cannot be loaded, and gRPC needs it")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
