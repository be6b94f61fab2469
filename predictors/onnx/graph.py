"""The tensors of an ONNX graph as V2 tensors, and arrays on their way between the two."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from predictors.runtime import InvalidRequest, TensorSpec

if TYPE_CHECKING:
    import onnxruntime

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    # V2 has no JSON form of FP16; who asks this model sends and gets FP32.
    "tensor(float16)": "FP32",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
"""ONNX Runtime's name of a type → V2's datatype; what is missing here cannot be served."""


def shape_of(declared: list[int | str | None] | None) -> Shape:
    """A graph's shape with -1 where it names an axis or leaves it open."""
    return tuple(axis if isinstance(axis, int) and axis >= 0 else -1 for axis in declared or ())


def run(
    session: "onnxruntime.InferenceSession", names: list[str], feed: dict[str, Array]
) -> list[Array]:
    """Compute some outputs.

    Raises:
        InvalidRequest: the graph refuses these values: an index out of range, shapes that differ.
    """
    try:
        arrays: list[Array] = session.run(names, feed)
    except Exception as error:  # ONNX Runtime has no common base class
        raise InvalidRequest(f"the model cannot compute this: {reason(error)}") from error
    return arrays


def reason(error: Exception) -> str:
    """ONNX Runtime's answer as one line, as any terminal may show it: names in it are a file's."""
    text = str(error).strip() or repr(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = (char if char.isprintable() else repr(char)[1:-1] for char in " ".join(lines))
    return "".join(shown)[:300]


def given(kind: str, name: str, array: Array) -> Array:
    """A request's array as the graph takes it.

    Raises:
        InvalidRequest: a text is not UTF-8.
    """
    if kind == "tensor(string)":
        return np.array(texts(name, array.ravel()), object).reshape(array.shape)
    return array.astype(np.float16) if kind == "tensor(float16)" else array


def answered(spec: TensorSpec, array: Array) -> Array:
    """A graph's output as V2 has it."""
    return array if array.dtype == spec.dtype else array.astype(spec.dtype)


def texts(name: str, elements: Array) -> list[str]:
    """Elements of BYTES as texts.

    Raises:
        InvalidRequest: one is not UTF-8; names it.
    """
    read = []
    for index, element in enumerate(elements.tolist()):
        try:
            read.append(element.decode() if isinstance(element, bytes) else element)
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"tensor '{name}': expected UTF-8 text, got other bytes at element {index}"
            ) from error
    return read
