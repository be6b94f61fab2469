"""A V2 REST body, JSON with or without raw tensors behind it, to a checked Request.

orjson is the strict reader: it refuses NaN and Infinity literals, numbers past a double, trailing
bytes, lone surrogates and nesting past 1024. What it lets through is held to the datatype here:
numpy alone would read "1.5" as 1.5, true as 1 and 300 as the INT8 44.
"""

import os
from typing import Any

import numpy as np
import orjson

from predictors.runtime.datatypes import BINARY_ONLY, Array, from_wire
from predictors.runtime.errors import InvalidRequest
from predictors.runtime.signature import Request, Signature, Wanted
from predictors.runtime.spec import Shape, TensorSpec, element_count

_EXACT_INTEGERS = 2**53  # past this a JSON number written with a fraction or exponent is rounded
_MAX_ELEMENTS = 2**40  # a shape beyond any body limit: refused before anything is allocated


def decode(body: bytes, json_length: int | None, signature: Signature) -> Request:
    """
    Decode one infer request.

    Args:
        body: the request body, decompressed.
        json_length: Inference-Header-Content-Length, None where the header is absent.
        signature: what the model declares.

    Raises:
        InvalidRequest: naming the tensor or field, what was expected and what came.
    """
    raw = memoryview(b"")
    if json_length is not None:
        if json_length > len(body):
            raise InvalidRequest(
                f"Inference-Header-Content-Length is {json_length}, the body has {len(body)} bytes"
            )
        raw = memoryview(body)[json_length:]
        body = body[:json_length]
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    if type(document) is not dict:
        raise InvalidRequest(f"the body must be a JSON object, got {_kind(document)}")
    tensors = document.get("inputs")
    if type(tensors) is not list or not tensors:
        raise InvalidRequest(f"'inputs' must be a list of tensors, got {_kind(tensors)}")
    # Only a body with these bytes can hold a boolean; most need not be searched for one.
    booleans = b"true" in body or b"false" in body
    arrays: dict[str, Array] = {}
    for tensor in tensors:
        if type(tensor) is not dict:
            raise InvalidRequest(f"each of 'inputs' must be an object, got {_kind(tensor)}")
        spec = signature.input(tensor.get("name"), arrays)
        shape = _shape(spec, tensor)
        size = _binary_size(spec, tensor, json_length is not None)
        if size is None:
            flat = _from_json(spec, shape, tensor, booleans)
        else:
            if size > len(raw):
                raise InvalidRequest(
                    f"tensor '{spec.name}': binary_data_size is {size}, {len(raw)} bytes are left"
                )
            flat = from_wire(raw[:size], spec.datatype, element_count(shape), spec.name)
            raw = raw[size:]
        spec.check_finite(flat)
        arrays[spec.name] = spec.arrange(flat, shape)
    if len(raw):
        raise InvalidRequest(f"{len(raw)} bytes left after the last binary tensor")
    return Request(
        request_id(document.get("id")),
        arrays,
        signature.rows_of(arrays),
        _wanted(document, signature),
    )


def request_id(given: object) -> str:
    """The id to answer with: the client's, or a new one (`id` is optional in V2)."""
    if given is None or given == "":
        return os.urandom(16).hex()
    if not isinstance(given, str):
        raise InvalidRequest(f"'id' must be a string, got {_kind(given)}")
    return given


def checked_shape(name: str, shape: object) -> Shape:
    """A request's shape as a tuple, if it is a list of sizes that could be real."""
    if type(shape) is not list or any(type(size) is not int for size in shape):
        raise InvalidRequest(f"tensor '{name}': shape must be a list of integers, got {shape!r:.80}")
    if any(size < 0 for size in shape):
        raise InvalidRequest(f"tensor '{name}': shape {shape} holds a negative size")
    if element_count(tuple(shape)) > _MAX_ELEMENTS or any(s > _MAX_ELEMENTS for s in shape):
        raise InvalidRequest(f"tensor '{name}': shape {shape!r:.80} is too large")
    return tuple(shape)


def _shape(spec: TensorSpec, tensor: dict[str, Any]) -> Shape:
    datatype = tensor.get("datatype")
    if datatype != spec.datatype:
        raise InvalidRequest(
            f"tensor '{spec.name}': expected datatype {spec.datatype}, got {datatype!r:.40}"
        )
    shape = checked_shape(spec.name, tensor.get("shape"))
    spec.check_shape(shape)
    return shape


def _binary_size(spec: TensorSpec, tensor: dict[str, Any], framed: bool) -> int | None:
    parameters = _parameters(tensor, f"tensor '{spec.name}'")
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InvalidRequest(
            f"tensor '{spec.name}': binary_data_size must be a number of bytes, got {size!r:.40}"
        )
    if "data" in tensor:
        raise InvalidRequest(f"tensor '{spec.name}': both 'data' and binary_data_size are given")
    if not framed:
        raise InvalidRequest(
            f"tensor '{spec.name}': binary_data_size needs the header "
            "Inference-Header-Content-Length"
        )
    return size


def _parameters(holder: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if type(parameters) is not dict:
        raise InvalidRequest(f"{where}: parameters must be an object, got {_kind(parameters)}")
    return parameters


def _from_json(spec: TensorSpec, shape: Shape, tensor: dict[str, Any], booleans: bool) -> Array:
    data = tensor.get("data")
    if type(data) is not list:
        raise InvalidRequest(f"tensor '{spec.name}': 'data' must be a list, got {_kind(data)}")
    if spec.datatype in BINARY_ONLY:
        raise InvalidRequest(
            f"tensor '{spec.name}': {spec.datatype} has no JSON form; send it as binary data"
        )
    try:
        found = np.array(data, object) if spec.datatype == "BYTES" else np.array(data)
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequest(
            f"tensor '{spec.name}': 'data' is ragged or nested too deeply"
        ) from error
    if found.shape != shape and (found.ndim != 1 or found.size != element_count(shape)):
        raise InvalidRequest(
            f"tensor '{spec.name}': shape {list(shape)} takes {element_count(shape)} elements, "
            f"flat or nested alike; got {_described(found)}"
        )
    flat = found.ravel()
    if spec.datatype == "BYTES":
        return _encoded(spec, flat)
    if not flat.size:
        return flat.astype(spec.dtype)
    if spec.datatype == "BOOL":
        if flat.dtype.kind != "b":
            raise InvalidRequest(f"tensor '{spec.name}': expected BOOL, got {_odd_one(data)}")
        return flat
    if flat.dtype.kind not in "iuf" or (booleans and _holds_boolean(data)):
        raise InvalidRequest(
            f"tensor '{spec.name}': expected {spec.datatype} numbers, got {_odd_one(data)}"
        )
    return _as_float(spec, flat) if spec.dtype.kind == "f" else _as_integer(spec, flat)


def _as_float(spec: TensorSpec, flat: Array) -> Array:
    with np.errstate(over="ignore"):
        array = flat.astype(spec.dtype, copy=False)
    if spec.datatype == "FP32" and not np.isfinite(np.add.reduce(array, None)):
        wrong = np.flatnonzero(np.isinf(array))  # JSON has no infinity: the number was too big
        if wrong.size:
            raise InvalidRequest(
                f"tensor '{spec.name}': {flat[wrong[0]]} at element {wrong[0]} is beyond FP32"
            )
    return array


def _as_integer(spec: TensorSpec, flat: Array) -> Array:
    limits = np.iinfo(spec.dtype)  # type: ignore[type-var]  # the caller chose an integer dtype
    lowest, highest = flat.min().item(), flat.max().item()  # type: ignore[attr-defined]
    if flat.dtype.kind == "f":
        # 1.0 is the integer 1 in JSON; 1.5 is not one, and past 2**53 digits were already lost.
        if (flat != np.floor(flat)).any():  # type: ignore[call-overload]
            raise InvalidRequest(
                f"tensor '{spec.name}': expected {spec.datatype} numbers, got a fraction"
            )
        exact = -_EXACT_INTEGERS <= lowest and highest <= _EXACT_INTEGERS
    else:
        exact = True
    if not exact or lowest < limits.min or highest > limits.max:
        outside = lowest if lowest < limits.min else highest
        raise InvalidRequest(f"tensor '{spec.name}': {outside} is out of range of {spec.datatype}")
    return flat.astype(spec.dtype, copy=False)


def _encoded(spec: TensorSpec, flat: Array) -> Array:
    elements = flat.tolist()
    if set(map(type, elements)) - {str}:
        wrong = next(one for one in elements if type(one) is not str)
        raise InvalidRequest(f"tensor '{spec.name}': expected BYTES strings, got {_kind(wrong)}")
    array = np.empty(len(elements), object)
    array[:] = [element.encode() for element in elements]
    return array


def _wanted(document: dict[str, Any], signature: Signature) -> Wanted:
    parameters = _parameters(document, "the request")
    binary = _flag(parameters, "binary_data_output", False)
    outputs = document.get("outputs")
    if outputs is None or outputs == []:
        return signature.as_binary if binary else signature.as_json
    if type(outputs) is not list or any(type(output) is not dict for output in outputs):
        raise InvalidRequest(f"'outputs' must be a list of objects, got {outputs!r:.80}")
    wanted = {}
    for output in outputs:
        spec = signature.output(output.get("name"))
        if spec.name in wanted:
            raise InvalidRequest(f"output '{spec.name}' is asked for twice")
        own = _parameters(output, f"output '{spec.name}'")
        wanted[spec.name] = (spec, _flag(own, "binary_data", binary))
    return tuple(wanted.values())


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise InvalidRequest(f"parameter {name} must be true or false, got {value!r:.40}")
    return value


def _holds_boolean(data: list[Any]) -> bool:
    return bool in set(map(type, np.array(data, object).ravel().tolist()))


def _odd_one(data: list[Any]) -> str:
    """What kind of element spoils a numeric (or boolean) tensor, for people."""
    kinds = {_kind(element) for element in np.array(data, object).ravel().tolist()}
    odd = sorted(kinds - {"a number"}) or ["a number"]
    return " and ".join(odd)


def _described(found: Array) -> str:
    return f"{found.size} elements" if found.ndim == 1 else f"nested data of shape {list(found.shape)}"


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "nothing",
}
