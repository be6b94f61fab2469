"""V2 datatypes and their bytes: the one table, and the two datatypes numpy has no word for.

Source: Open Inference Protocol, "Tensor Data Types" and "Binary Tensor Data Extension".
BYTES elements travel as a 4-byte little-endian length and the bytes. BF16 is the upper half of
an FP32; models see it as float32, which holds every BF16 value exactly.
"""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.runtime.v2.errors import InvalidRequest

Array = npt.NDArray[Any]

NUMPY_OF = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype("<f4"),  # widened: see the module docstring
    "BYTES": np.dtype(object),
}
BINARY_ONLY = frozenset({"FP16", "BF16"})  # no JSON form in the protocol
_WIRE_BYTES = {"BF16": 2}
_LENGTH = struct.Struct("<I")


def from_wire(raw: bytes | memoryview, datatype: str, count: int, name: str) -> Array:
    """Read `count` elements of a raw tensor.

    Args:
        raw: the tensor's bytes and nothing else, little-endian, row-major.
        datatype: a V2 datatype.
        count: elements expected, from the shape.
        name: the tensor's name, for errors.

    Returns:
        (count,) array of NUMPY_OF[datatype]; it may be read-only and share memory with `raw`.

    Raises:
        InvalidRequest: the length does not fit, or a BOOL byte is neither 0 nor 1.
    """
    if datatype == "BYTES":
        return _bytes_from_wire(raw, count, name)
    dtype = NUMPY_OF[datatype]
    expected = count * _WIRE_BYTES.get(datatype, dtype.itemsize)
    if len(raw) != expected:
        raise InvalidRequest(
            f"tensor '{name}': {count} {datatype} elements take {expected} raw bytes, "
            f"got {len(raw)}"
        )
    if datatype == "BF16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    array = np.frombuffer(raw, dtype)
    if datatype == "BOOL" and count and array.view(np.uint8).max() > 1:
        raise InvalidRequest(f"tensor '{name}': a BOOL byte must be 0 or 1")
    # A tensor behind an odd-length JSON header starts at any address; engines want their own.
    return array if array.flags.aligned else array.copy()


def to_wire(array: Array, datatype: str) -> bytes:
    """Write an array as the raw bytes of a V2 tensor (the inverse of `from_wire`)."""
    if datatype == "BYTES":
        parts: list[bytes] = []
        for item in array.ravel().tolist():
            element = as_bytes(item)
            parts += (_LENGTH.pack(len(element)), element)
        return b"".join(parts)
    if datatype == "BF16":
        return _round_to_bf16(array).tobytes()
    return np.ascontiguousarray(array, NUMPY_OF[datatype]).tobytes()


def as_bytes(element: object) -> bytes:
    """One BYTES element as bytes; models may give `str`, which means its UTF-8."""
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        return element.encode()
    raise TypeError(f"a BYTES element must be bytes or str, got {type(element).__name__}")


def _bytes_from_wire(raw: bytes | memoryview, count: int, name: str) -> Array:
    raw = bytes(raw)
    if len(raw) < count * _LENGTH.size:  # before allocating `count` of anything
        raise InvalidRequest(
            f"tensor '{name}': {count} BYTES elements take at least {count * _LENGTH.size} raw "
            f"bytes, got {len(raw)}"
        )
    elements = np.empty(count, object)
    position = 0
    for index in range(count):
        start = position + _LENGTH.size
        if start > len(raw):
            raise InvalidRequest(
                f"tensor '{name}': expected {count} BYTES elements, raw data ends in the length "
                f"of element {index}"
            )
        position = start + _LENGTH.unpack_from(raw, position)[0]
        if position > len(raw):
            raise InvalidRequest(
                f"tensor '{name}': BYTES element {index} claims {position - start} bytes, "
                f"{len(raw) - start} are left"
            )
        elements[index] = raw[start:position]
    if position != len(raw):
        raise InvalidRequest(
            f"tensor '{name}': {len(raw) - position} raw bytes left after {count} BYTES elements"
        )
    return elements


def _round_to_bf16(array: Array) -> Array:
    """Round float32 to the nearest BF16, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(array, "<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet_nan = (bits >> 16) | 0x40
    return np.where(np.isnan(bits.view("<f4")), quiet_nan, rounded).astype("<u2")
