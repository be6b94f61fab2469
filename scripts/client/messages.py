"""V2's protobuf messages and raw tensors, for whoever asks over gRPC or in binary.

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

from scripts.client.errors import RequestError

INFER = "/inference.GRPCInferenceService/ModelInfer"
"""The path of the method that infers."""
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


def raw_request(model: str, tensors: Sequence[Mapping[str, Any]], request_id: str = "") -> bytes:
    """A ModelInferRequest with raw contents, which is the cheaper of its two forms."""
    request = messages().ModelInferRequest(model_name=model, id=request_id)
    for tensor in tensors:
        request.inputs.add(**{key: tensor[key] for key in ("name", "datatype", "shape")})
        request.raw_input_contents.append(packed(tensor))
    body: bytes = request.SerializeToString()
    return body


def document(answer: Any) -> dict[str, Any]:
    """A ModelInferResponse as V2 writes it in JSON."""
    outputs = []
    for number, output in enumerate(answer.outputs):
        contents, _ = DATATYPES[output.datatype]
        if number < len(answer.raw_output_contents):
            values = unpacked(answer.raw_output_contents[number], output.datatype)
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


def packed(tensor: Mapping[str, Any]) -> bytes:
    """Little-endian values; BYTES are each preceded by their length in four bytes."""
    _, code = DATATYPES[tensor["datatype"]]
    data = tensor["data"]
    if code:
        return struct.pack(f"<{len(data)}{code}", *data)
    texts = [one.encode() if isinstance(one, str) else one for one in data]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def unpacked(raw: bytes, datatype: str) -> Iterator[Any]:
    """The values that `packed` packs; BYTES as bytes."""
    _, code = DATATYPES[datatype]
    if code:
        yield from itertools.chain.from_iterable(struct.iter_unpack(f"<{code}", raw))
        return
    start = 0
    while start < len(raw):
        (length,) = struct.unpack_from("<I", raw, start)
        yield raw[start + 4 : start + 4 + length]
        start += 4 + length


@cache
def messages() -> Any:
    """KServe's module of generated messages.

    Raises:
        RequestError: kserve is not installed.
    """
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
