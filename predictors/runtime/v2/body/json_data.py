"""The `data` of one JSON tensor to an array, held to its datatype.

numpy would read "1.5" as 1.5, true as 1 and 300 as the INT8 44, and would size an array for the
longest string among numbers. array.array converts as fast and takes numbers of its type only.
"""

from array import array
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from predictors.runtime.v2.body.long_data import LongData
from predictors.runtime.v2.datatypes import BINARY_ONLY, Array
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.spec import Shape, TensorSpec, first_not_finite

_CODE = {
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP32": "f",
    "FP64": "d",
}
_EXACT_INTEGERS = 2**53  # past this a JSON number written with a fraction or exponent is rounded


def from_json(spec: TensorSpec, shape: Shape, tensor: dict[str, Any], *, booleans: bool) -> Array:
    """Read a tensor's `data`, flat or nested as its shape.

    Args:
        spec: the input it is for.
        shape: the shape to give it, from `spec.accept`.
        tensor: the V2 tensor.
        booleans: whether the body may hold any; if not, they need not be searched for.

    Raises:
        InvalidRequest: naming the tensor and what is wrong with its data.
    """
    data = tensor.get("data")
    if type(data) is LongData:
        return _from_long(spec, shape, tensor["shape"], data)
    if type(data) is not list:
        raise InvalidRequest(f"tensor '{spec.name}': 'data' must be a list, got {kind_of(data)}")
    if data and type(data[0]) is list:
        data = _flattened(spec, data, tensor["shape"])
    if len(data) != prod(shape):
        raise _miscounted(spec, shape, tensor["shape"], len(data))
    return _elements(spec, data, booleans=booleans).reshape(shape)


def _from_long(spec: TensorSpec, shape: Shape, sizes: list[int], data: LongData) -> Array:
    """Read data that is too long to be read at once."""
    if not data.fits(sizes):
        raise _misshapen(spec, sizes)
    if not prod(shape) and data.nested:
        return np.empty(shape, spec.dtype)
    booleans = data.booleans
    parts: list[Array] = []
    count = 0
    for piece in data.pieces():
        parts.append(_elements(spec, piece, count, booleans=booleans))
        count += len(piece)
    if count != prod(shape):
        raise _miscounted(spec, shape, sizes, count)
    return np.concatenate(parts).reshape(shape)


def _elements(spec: TensorSpec, data: list[Any], first: int = 0, *, booleans: bool) -> Array:
    """An array of elements, of which the first is the tensor's `first`."""
    datatype = spec.datatype
    if datatype == "BYTES":
        return _bytes(spec, data)
    if datatype == "BOOL":
        _check_kinds(spec, data, {bool})
        return np.array(data, np.bool_)
    if datatype in BINARY_ONLY:
        raise InvalidRequest(
            f"tensor '{spec.name}': {datatype} has no JSON form; send it as binary data"
        )
    if booleans:
        _check_kinds(spec, data, {int, float})
    return _numbers(spec, data, first)


def _numbers(spec: TensorSpec, data: list[Any], first: int) -> Array:
    try:
        values = array(_CODE[spec.datatype], data)
    except (TypeError, OverflowError) as error:
        values = _whole_numbers(spec, data, first, error)
    read = np.frombuffer(values, spec.dtype)
    if spec.datatype == "FP32":
        large = first_not_finite(read)  # JSON has no infinity: it was too big a number
        if large is not None:
            raise InvalidRequest(
                f"tensor '{spec.name}': {data[large]!r:.40} at element {first + large} is "
                "beyond FP32"
            )
    return read


def _flattened(spec: TensorSpec, data: list[Any], sizes: list[int]) -> list[Any]:
    """Unwrap nested lists, level by level, if they are nested as `sizes` says."""
    if not sizes or len(data) != sizes[0]:
        raise _misshapen(spec, sizes)
    for size in sizes[1:]:
        if set(map(type, data)) - {list} or set(map(len, data)) - {size}:
            raise _misshapen(spec, sizes)
        data = list(chain.from_iterable(data))
    if data and type(data[0]) is list:
        raise _misshapen(spec, sizes)
    return data


def _miscounted(spec: TensorSpec, shape: Shape, sizes: list[int], count: int) -> InvalidRequest:
    return InvalidRequest(
        f"tensor '{spec.name}': shape {sizes} takes {prod(shape)} elements, got {count}"
    )


def _misshapen(spec: TensorSpec, sizes: list[int]) -> InvalidRequest:
    return InvalidRequest(
        f"tensor '{spec.name}': 'data' is neither flat nor nested as its shape {sizes}"
    )


def _whole_numbers(spec: TensorSpec, data: list[Any], first: int, error: Exception) -> "array[Any]":
    """Accept 1.0 as the integer 1, as JSON means it; else say which element is wrong."""
    _check_kinds(spec, data, {int, float})
    if isinstance(error, TypeError):
        for index, value in enumerate(data):
            if type(value) is float and (not value.is_integer() or abs(value) > _EXACT_INTEGERS):
                raise InvalidRequest(
                    f"tensor '{spec.name}': expected {spec.datatype}, got {value} at element "
                    f"{first + index}"
                ) from error
        data = [int(value) for value in data]
    try:
        return array(_CODE[spec.datatype], data)
    except OverflowError:
        limits = np.iinfo(spec.dtype.str)
        index = next(at for at, value in enumerate(data) if not limits.min <= value <= limits.max)
        raise InvalidRequest(
            f"tensor '{spec.name}': expected {spec.datatype}, {limits.min} … {limits.max}, got "
            f"{data[index]!s:.40} at element {first + index}"
        ) from error


def _bytes(spec: TensorSpec, data: list[Any]) -> Array:
    _check_kinds(spec, data, {str})
    elements = np.empty(len(data), object)
    elements[:] = [element.encode() for element in data]
    return elements


def _check_kinds(spec: TensorSpec, data: list[Any], wanted: set[type]) -> None:
    odd = set(map(type, data)) - wanted
    if odd:
        kinds = " and ".join(sorted({_KINDS[kind] for kind in odd}))
        expected = "strings" if str in wanted else "true or false" if bool in wanted else "numbers"
        raise InvalidRequest(
            f"tensor '{spec.name}': {spec.datatype} data must be {expected}, got {kinds}"
        )


def kind_of(value: object) -> str:
    """What a JSON value is, for people."""
    return _KINDS[type(value)]


_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "nothing",
}
