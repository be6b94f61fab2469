"""V2 over gRPC: the protobuf request to a checked Request, and an answer to raw contents."""

import struct
import time
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.body.decode import request_id
from predictors.runtime.v2.body.parameters import add_parameters
from predictors.runtime.v2.datatypes import BINARY_ONLY, Array, from_wire, to_wire
from predictors.runtime.v2.directives import (
    check_place,
    class_spec,
    classes_of,
    read_contents,
    timeout_of,
    with_classes,
)
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.outline import LOOKED_AT_BYTES, check_message
from predictors.runtime.v2.signature import Classes, Outputs, Request, Signature, Wanted
from predictors.runtime.v2.spec import Shape, TensorSpec

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


_MANY = 1 << 15  # elements: what numpy makes an array of in a millisecond or two
_DOUBLE_PARAM, _UINT64_PARAM = 4, 5  # of Triton's InferParameter


def parse_grpc(message: bytes, signature: Signature) -> Any:
    """Read a ModelInferRequest, unless reading it would cost far more than it weighs.

    Raises:
        InvalidRequest: as it says.
    """
    if len(message) > LOOKED_AT_BYTES:
        check_message(message, signature)
    try:
        return pb.ModelInferRequest.FromString(message)
    except DecodeError as error:
        raise InvalidRequest("the message is not a ModelInferRequest") from error


def decode_grpc(message: Any, signature: Signature) -> Request:
    """Decode a ModelInferRequest.

    Raises:
        InvalidRequest: as for REST.
    """
    raw = message.raw_input_contents
    tensors = message.inputs
    if raw and len(raw) != len(tensors):
        raise InvalidRequest(
            f"raw_input_contents holds {len(raw)} tensors for {len(tensors)} inputs"
        )
    arrays: dict[str, Array] = {}
    contents: dict[str, object] = {}
    for index, tensor in enumerate(tensors):
        spec = signature.input(tensor.name, tensor.datatype, arrays)
        shape = spec.accept(list(tensor.shape))
        count = prod(shape)
        if tensor.parameters:
            own = _parameters(tensor)
            check_place(own, f"tensor '{spec.name}'")
            contents[spec.name] = own.get("content_type")
        if raw:
            if tensor.HasField("contents"):
                raise InvalidRequest(f"tensor '{spec.name}': both raw and typed contents are given")
            flat = from_wire(raw[index], spec.datatype, count, spec.name)
        else:
            flat = _typed(tensor.contents, spec, count)
        spec.check_finite(flat)
        arrays[spec.name] = flat.reshape(shape)
    timeout = None
    if message.parameters:
        given = _parameters(message)
        timeout = timeout_of(given, signature)
        read_contents(arrays, contents, given.get("content_type"), signature)
        add_parameters(arrays, given, signature)
    elif contents:
        read_contents(arrays, contents, None, signature)
    wanted, classes = signature.answered(arrays, binary=True), None
    if message.outputs:
        wanted, classes = _wanted(message, signature)
    rows = signature.rows_of(arrays)
    identity = request_id(message.id)
    return Request(identity, arrays, rows, wanted, timeout=timeout, classes=classes)


def encode_grpc(request: Request, outputs: Outputs, name: str, version: str) -> bytes:
    """Write the ModelInferResponse, every output as raw contents.

    What describes the tensors is the same for all requests of a shape, and protobuf messages are
    merged by writing them one after the other: only id and contents are made anew.
    """
    if request.classes is not None:
        outputs = with_classes(request.classes, outputs)
    raw = [to_wire(outputs[spec.name], spec.datatype) for spec, _ in request.wanted]
    shapes = tuple([outputs[spec.name].shape for spec, _ in request.wanted])
    own = pb.ModelInferResponse(id=request.id, raw_output_contents=raw)
    return _described(name, version, request.wanted, shapes) + own.SerializeToString()


@lru_cache(maxsize=256)
def _described(name: str, version: str, wanted: Wanted, shapes: tuple[Shape, ...]) -> bytes:
    response = pb.ModelInferResponse(model_name=name, model_version=version)
    for (spec, _), shape in zip(wanted, shapes, strict=True):
        response.outputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
    serialized: bytes = response.SerializeToString()
    return serialized


def _wanted(message: Any, signature: Signature) -> tuple[Wanted, Classes | None]:
    """The outputs to answer, and of which only some classes."""
    asked: dict[str, TensorSpec] = {}
    classes: dict[str, tuple[TensorSpec, int]] = {}
    for output in message.outputs:
        spec = signature.output(output.name)
        asked[spec.name] = spec
        if output.parameters and (count := classes_of(spec, _parameters(output))):
            classes[spec.name] = spec, count
            asked[spec.name] = class_spec(spec)
    if len(asked) != len(message.outputs):
        raise InvalidRequest("an output is asked for twice")
    return tuple((spec, True) for spec in asked.values()), classes or None


def _parameters(holder: Any) -> dict[str, object]:
    return {name: _parameter(value) for name, value in holder.parameters.items()}


def _parameter(value: Any) -> object:
    """A parameter's value; Triton's clients send some in fields that kserve does not know."""
    chosen = value.WhichOneof("parameter_choice")
    if chosen is not None:
        return getattr(value, chosen)
    unknown: Any = UnknownFieldSet(value)  # iterable, though its stub does not say so
    for one in unknown:
        if one.field_number == _DOUBLE_PARAM and isinstance(one.data, int):
            return struct.unpack("<d", struct.pack("<Q", one.data))[0]
        if one.field_number == _UINT64_PARAM and isinstance(one.data, int):
            return one.data
    return None


def _typed(contents: Any, spec: TensorSpec, count: int) -> Array:
    if spec.datatype in BINARY_ONLY:
        raise InvalidRequest(
            f"tensor '{spec.name}': {spec.datatype} has no typed contents; use raw_input_contents"
        )
    field = _CONTENTS[spec.datatype]
    for descriptor, _ in contents.ListFields():
        if descriptor.name != field:
            raise InvalidRequest(
                f"tensor '{spec.name}': {spec.datatype} goes in {field}, got {descriptor.name}"
            )
    values = getattr(contents, field)
    if len(values) != count:
        raise InvalidRequest(
            f"tensor '{spec.name}': expected {count} elements in {field}, got {len(values)}"
        )
    if count <= _MANY:
        return _elements(spec, values)
    array = np.empty(count, spec.dtype)
    for start in range(0, count, _MANY):
        stop = min(start + _MANY, count)
        array[start:stop] = _elements(spec, values[start:stop])
        time.sleep(0)  # whoever waits for Python's lock has it now
    return array


def _elements(spec: TensorSpec, values: Any) -> Array:
    """Some of a tensor's elements as an array."""
    if spec.datatype == "BYTES":
        array = np.empty(len(values), object)
        array[:] = list(values)
        return array
    if spec.dtype.kind in "iu" and len(values):  # INT8 and UINT16 travel in 32-bit fields
        limits = np.iinfo(spec.dtype)  # type: ignore[type-var]  # kind says so
        for value in (min(values), max(values)):
            if not limits.min <= value <= limits.max:
                raise InvalidRequest(
                    f"tensor '{spec.name}': {value} is out of range of {spec.datatype}"
                )
    return np.array(values, spec.dtype)
