"""What parameters ask of the server, by MLServer's and Triton's names: done, or refused by name.

A client that sends one relies on it, so none is dropped. Parameters of other names are nobody's,
or the model's own inputs: see `parameters`.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from predictors.runtime.v2.datatypes import Array
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.signature import Arrays, Classes, Outputs, Signature
from predictors.runtime.v2.spec import TensorSpec

Given = Mapping[str, Any]

_CONTENT_TYPE = "content_type"
_CLASSIFICATION = "classification"
_REFUSED = {
    "priority": "requests are answered in their order",
    "sequence_id": "models keep nothing between requests",
    "sequence_start": "models keep nothing between requests",
    "sequence_end": "models keep nothing between requests",
}
_SHARED_MEMORY = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")
_NO_CLASSES = ("BYTES", "BOOL")  # datatypes without an order


def timeout_of(parameters: Given, signature: Signature) -> float | None:
    """The seconds by which a request's `timeout` wants its answer; Triton's is in microseconds.

    Raises:
        InvalidRequest: it is no such number, or the request asks for what is not offered.
    """
    for name, why in _REFUSED.items():
        # 0, "" and false are Triton's words for "not that".
        if parameters.get(name) and name not in signature.inputs:
            raise InvalidRequest(f"parameter {name} is not offered: {why}; leave it out")
    given = parameters.get("timeout")
    if given is None or "timeout" in signature.inputs:
        return None
    if type(given) is not int or given < 0:
        raise InvalidRequest(
            f"parameter timeout must be a number of microseconds, got {given!r:.40}"
        )
    return given / 1e6 if given else None


def check_place(parameters: Given, where: str) -> None:
    """Refuse a tensor that is to be read from, or written to, memory that is shared.

    Raises:
        InvalidRequest: naming the parameter.
    """
    for name in _SHARED_MEMORY:
        if name in parameters:
            raise InvalidRequest(f"{where}: {name}: shared memory is not offered; send the data")


def read_contents(
    arrays: Arrays, own: Mapping[str, object], whole: object, signature: Signature
) -> None:
    """Read inputs as MLServer's `content_type` says.

    Args:
        arrays: the inputs as they came; what is base64 is replaced by what it stands for.
        own: by input, where its tensor says.
        whole: what the request says, for the others.
        signature: of the model.

    Raises:
        InvalidRequest: naming the tensor, and the content types that it may have.
    """
    for name, array in arrays.items():
        kind = own.get(name)
        kind = whole if kind is None else kind
        if kind is not None:
            arrays[name] = _content(signature.inputs[name], kind, array)


def _content(spec: TensorSpec, kind: object, array: Array) -> Array:
    is_bytes = spec.datatype == "BYTES"
    if kind == "np" or (kind == "str" and is_bytes) or kind in spec.media_types:
        return array
    if kind == "base64" and is_bytes:
        decoded = np.empty(array.size, object)
        for index, text in enumerate(array.ravel().tolist()):
            decoded[index] = _from_base64(spec.name, index, text)
        return decoded.reshape(array.shape)
    expected = ", ".join(("np", "str", "base64", *spec.media_types) if is_bytes else ("np",))
    raise InvalidRequest(
        f"tensor '{spec.name}': content_type {kind!r:.40} is not offered for {spec.datatype}: "
        f"expected {expected}"
    )


def _from_base64(name: str, index: int, text: bytes) -> bytes:
    """Of either alphabet, wrapped, padded or not."""
    plain = b"".join(text.split()).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise InvalidRequest(
            f"tensor '{name}': content_type is base64, and element {index} is none: it begins "
            f"with {text[:24]!r}"
        ) from None


def classes_of(spec: TensorSpec, parameters: Given) -> int:
    """How many of an output's classes Triton's `classification` asks for; 0: none, but the numbers.

    Raises:
        InvalidRequest: it is no such number, or the output has no order.
    """
    check_place(parameters, f"output '{spec.name}'")
    kind = parameters.get(_CONTENT_TYPE)
    if kind not in (None, "np") and (kind != "str" or spec.datatype != "BYTES"):
        raise InvalidRequest(
            f"output '{spec.name}': content_type {kind!r:.40} is not offered: leave it out"
        )
    count = parameters.get(_CLASSIFICATION)
    if count is None:
        return 0
    if type(count) is not int or count < 0:
        raise InvalidRequest(
            f"output '{spec.name}': classification must be a number of classes, got {count!r:.40}"
        )
    if count and spec.datatype in _NO_CLASSES:
        raise InvalidRequest(
            f"output '{spec.name}': classification is for numbers, this is {spec.datatype}"
        )
    return count


@lru_cache(maxsize=64)  # one object for each output, since specs are told apart by identity
def class_spec(spec: TensorSpec) -> TensorSpec:
    """An output as it is answered where its classes are asked for."""
    shape = (-1, -1) if spec.batched else (-1,)
    return replace(spec, datatype="BYTES", shape=shape, labels=None)


def with_classes(classes: Classes, outputs: Outputs) -> Outputs:
    """The outputs, with `value:index` or `value:index:label` where classes are asked for."""
    classified = dict(outputs)
    for name, (spec, count) in classes.items():
        classified[name] = _classes(spec, count, outputs[name])
    return classified


def _classes(spec: TensorSpec, count: int, array: Array) -> Array:
    """The `count` largest values of each row, the largest first, of equal ones the first."""
    rows = len(array) if spec.batched else 1
    size = prod(array.shape[1:]) if spec.batched else array.size
    values = array.reshape(rows, size)
    backwards = np.argsort(values[:, ::-1], axis=1, kind="stable")
    order = (size - 1 - backwards)[:, ::-1][:, :count]
    labels = spec.labels if spec.labels and len(spec.labels) == size else ()
    as_text = "%f:%d" if spec.dtype.kind == "f" else "%d:%d"  # as C++ writes them for Triton
    texts = np.empty(order.shape, object)
    for row, indexes in enumerate(order.tolist()):
        for place, index in enumerate(indexes):
            text = as_text % (values[row, index], index)
            texts[row, place] = f"{text}:{labels[index]}" if labels else text
    return texts if spec.batched else texts[0]
