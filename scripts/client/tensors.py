"""What a person types, as the tensor that the model says it takes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.client.errors import UsageError

INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
FLOATS = ("FP32", "FP64")
IMAGE_SHAPES = ([28, 28], [1, 28, 28], [784])  # MNIST's; other images would need other steps


def tensor_of(model: str, metadata: dict[str, Any], values: Sequence[str]) -> dict[str, Any]:
    """The model's one input, filled with numbers, or with images where it takes digits.

    Args:
        model: for messages.
        metadata: V2 metadata of the model.
        values: numbers, row after row, or paths of images.

    Returns:
        A V2 input: name, datatype, shape and flat data.

    Raises:
        UsageError: the values do not fit, or the model takes something else.
    """
    inputs = metadata["inputs"]
    if len(inputs) != 1 or inputs[0]["datatype"] not in (*INTEGERS, *FLOATS):
        takes = ", ".join(f"{tensor['name']} {tensor['datatype']}" for tensor in inputs)
        raise UsageError(f"{model} takes {takes}; this verb fills one tensor of numbers")
    (spec,) = inputs
    row_shape = [int(length) for length in spec["shape"][1:]]
    row_length = math.prod(row_shape)
    if row_length < 1:
        raise UsageError(f"{model} takes rows of any length, {spec['shape']}: which one is meant?")
    numbers = [_number(value) for value in values]
    if None in numbers:
        data = _images(model, row_shape, values)
    else:
        data = [number for number in numbers if number is not None]
        if len(data) % row_length:
            raise UsageError(f"{model} takes {row_length} numbers a row: got {len(data)}")
    if spec["datatype"] in INTEGERS:
        data = [_whole(model, number) for number in data]
    rows = len(data) // row_length
    shape = [rows, *row_shape]
    return {"name": spec["name"], "datatype": spec["datatype"], "shape": shape, "data": data}


def _images(model: str, row_shape: list[int], values: Sequence[str]) -> list[float]:
    if row_shape not in IMAGE_SHAPES:
        word = next(value for value in values if _number(value) is None)
        takes = f"{model} takes {math.prod(row_shape)} numbers a row"
        raise UsageError(f"{takes}: {word!r} is not a number")
    from scripts.client.digits import read_digit

    digits = [read_digit(Path(value)) for value in values]
    return [float(pixel) for digit in digits for pixel in digit.flat]


def _number(text: str) -> float | None:
    """The finite number that `text` is, if it is one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(model: str, number: float) -> int:
    if not number.is_integer():
        raise UsageError(f"{model} takes whole numbers: got {number:g}")
    return int(number)
