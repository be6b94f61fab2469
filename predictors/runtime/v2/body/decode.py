"""A V2 REST body, JSON with or without raw tensors behind it, to a checked Request.

orjson is the strict reader: it refuses NaN and Infinity literals, numbers past a double, trailing
bytes, lone surrogates and nesting past 1024.
"""

import itertools
import os
from math import prod
from typing import Any

import orjson

from predictors.runtime.v2.body.json_data import from_json, kind_of
from predictors.runtime.v2.body.long_data import cut, not_json, place, restore
from predictors.runtime.v2.body.parameters import add_parameters
from predictors.runtime.v2.datatypes import Array, from_wire
from predictors.runtime.v2.directives import (
    check_place,
    class_spec,
    classes_of,
    read_contents,
    timeout_of,
)
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.outline import LOOKED_AT_BYTES, check_json, check_parsing
from predictors.runtime.v2.signature import Arrays, Classes, Request, Signature, Wanted
from predictors.runtime.v2.spec import Shape, TensorSpec

# Ids for requests that came without: unique by the process's prefix, and cheaper than a UUID each.
_ID_PREFIX = os.urandom(8).hex()
_ID_NUMBERS = itertools.count(1)


def _new_id_prefix() -> None:
    global _ID_PREFIX  # noqa: PLW0603 - a constant of the process, and a fork makes a new process
    _ID_PREFIX = os.urandom(8).hex()


os.register_at_fork(after_in_child=_new_id_prefix)


def decode(body: bytes, json_length: int | None, signature: Signature) -> Request:
    """Decode one infer request.

    Args:
        body: the request body, decompressed.
        json_length: Inference-Header-Content-Length, None where the header is absent.
        signature: what the model declares.

    Raises:
        InvalidRequest: naming the tensor or field, what was expected and what came.
    """
    raw = memoryview(b"")
    if json_length is not None:
        body, raw = _parted(body, json_length)
    large = len(body) > LOOKED_AT_BYTES
    document = _request_of(body) if large else document_of(body)
    tensors = document.get("inputs")
    if type(tensors) is not list:
        raise InvalidRequest(f"'inputs' must be a list of tensors, got {kind_of(tensors)}")
    # Only a body with these bytes can hold a boolean; most need not be searched for one.
    booleans = large or b"true" in body or b"false" in body
    arrays: Arrays = {}
    contents: dict[str, object] = {}
    for tensor in tensors:
        if type(tensor) is not dict:
            raise InvalidRequest(f"each of 'inputs' must be an object, got {kind_of(tensor)}")
        spec = signature.input(tensor.get("name"), tensor.get("datatype"), arrays)
        shape = spec.accept(tensor.get("shape"))
        size = None
        if "parameters" in tensor:
            parameters = _parameters(tensor, f"tensor '{spec.name}'")
            check_place(parameters, f"tensor '{spec.name}'")
            contents[spec.name] = parameters.get("content_type")
            size = _binary_size(spec, tensor, parameters, framed=json_length is not None)
        if size is None:
            arrays[spec.name] = from_json(spec, shape, tensor, booleans=booleans)
        else:
            arrays[spec.name] = _from_binary(spec, shape, raw[:size], size)
            raw = raw[size:]
    if len(raw):
        raise InvalidRequest(f"{len(raw)} bytes left after the last binary tensor")
    if "parameters" not in document and "outputs" not in document:
        if contents:
            read_contents(arrays, contents, None, signature)
        identity = request_id(document.get("id"))
        return Request(identity, arrays, signature.rows_of(arrays), signature.answered(arrays))
    parameters = _parameters(document, "the request")
    timeout = timeout_of(parameters, signature)
    read_contents(arrays, contents, parameters.get("content_type"), signature)
    add_parameters(arrays, parameters, signature)
    wanted, classes = _wanted(document, parameters, signature, arrays)
    rows = signature.rows_of(arrays)
    identity = request_id(document.get("id"))
    return Request(identity, arrays, rows, wanted, timeout=timeout, classes=classes)


def _parted(body: bytes, json_length: int) -> tuple[bytes, memoryview]:
    if json_length > len(body):
        raise InvalidRequest(
            f"Inference-Header-Content-Length is {json_length}, the body has {len(body)} bytes"
        )
    return body[:json_length], memoryview(body)[json_length:]


def _request_of(body: bytes) -> dict[str, Any]:
    """The JSON object that a large body is; the long data of its tensors is not read yet."""
    check_json(body)
    rest, arrays = cut(body)
    if arrays:
        check_parsing(rest)
        try:
            document = orjson.loads(rest)
        except orjson.JSONDecodeError as error:
            problem, _, _ = error.msg.partition(":")
            raise not_json(problem, place(error.pos, arrays)) from error
        if type(document) is dict and restore(document, arrays):
            return document
    return document_of(body)


def document_of(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is, parsed at once."""
    if len(body) > LOOKED_AT_BYTES:
        check_json(body)
        check_parsing(body)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    if type(document) is not dict:
        raise InvalidRequest(f"the body must be a JSON object, got {kind_of(document)}")
    return document


def request_id(given: object) -> str:
    """The id to answer with: the client's, or a new one (`id` is optional in V2)."""
    if given is None or given == "":
        return f"{_ID_PREFIX}-{next(_ID_NUMBERS):x}"
    if not isinstance(given, str):
        raise InvalidRequest(f"'id' must be a string, got {kind_of(given)}")
    return given


def _from_binary(spec: TensorSpec, shape: Shape, raw: memoryview, size: int) -> Array:
    if len(raw) != size:
        raise InvalidRequest(
            f"tensor '{spec.name}': binary_data_size is {size}, {len(raw)} bytes are left"
        )
    array = from_wire(raw, spec.datatype, prod(shape), spec.name).reshape(shape)
    spec.check_finite(array)
    return array


def _binary_size(
    spec: TensorSpec, tensor: dict[str, Any], parameters: dict[str, Any], *, framed: bool
) -> int | None:
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
        raise InvalidRequest(f"{where}: parameters must be an object, got {kind_of(parameters)}")
    return parameters


def _wanted(
    document: dict[str, Any], parameters: dict[str, Any], signature: Signature, arrays: Arrays
) -> tuple[Wanted, Classes | None]:
    """The outputs to answer, and of which only some classes."""
    binary = _flag(parameters, "binary_data_output", default=False)
    outputs = document.get("outputs")
    if outputs is None or outputs == []:
        return signature.answered(arrays, binary=binary), None
    if type(outputs) is not list or any(type(output) is not dict for output in outputs):
        raise InvalidRequest(f"'outputs' must be a list of objects, got {outputs!r:.80}")
    wanted: dict[str, tuple[TensorSpec, bool]] = {}
    classes: dict[str, tuple[TensorSpec, int]] = {}
    for output in outputs:
        spec = signature.output(output.get("name"))
        name = spec.name
        if name in wanted:
            raise InvalidRequest(f"output '{name}' is asked for twice")
        own = _parameters(output, f"output '{name}'")
        if count := classes_of(spec, own):
            classes[name] = spec, count
            spec = class_spec(spec)
        wanted[name] = (spec, _flag(own, "binary_data", default=binary))
    return tuple(wanted.values()), classes or None


def _flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise InvalidRequest(f"parameter {name} must be true or false, got {value!r:.40}")
    return value
