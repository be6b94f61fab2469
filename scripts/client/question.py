"""What a person types, as the tensors that the model says it takes.

Positional values fill what a request must have: numbers row after row, texts one for each text
input, or files for an input of images. `--set NAME=VALUE` fills any other input by its name.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.client.errors import UsageError

INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
FLOATS = ("FP32", "FP64")
Tensor = dict[str, Any]
"""A V2 input: name, datatype, shape and flat data; BYTES elements as str, or bytes of a file."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request's tensors, and each of its rows as the person typed it."""

    tensors: list[Tensor]
    asked: list[str]


def question_of(
    model: str,
    metadata: Mapping[str, Any],
    values: Sequence[str],
    settings: Mapping[str, Sequence[str]] | None = None,
) -> Question:
    """The values, and the settings, as a request to the model.

    Args:
        model: for messages.
        metadata: V2 metadata of the model; an input's parameters may hold `optional` and
            `content_type`.
        values: numbers, texts or paths of images.
        settings: of other inputs, by name; each holds for every row, and only a list has several.

    Raises:
        UsageError: the values do not fit, or the model takes something else.
    """
    settings = settings or {}
    for name in settings:
        if name not in {tensor["name"] for tensor in metadata["inputs"]}:
            raise UsageError(f"{model} has no input {name}: it takes {_listed(metadata['inputs'])}")
    inputs = [tensor for tensor in metadata["inputs"] if tensor["name"] not in settings]
    images = [tensor for tensor in inputs if _content_type(tensor).startswith("image/")]
    required = [tensor for tensor in inputs if not _parameters(tensor).get("optional")]
    numbers = [tensor for tensor in required or inputs if _is_numeric(tensor)]
    texts = [tensor for tensor in required if tensor["datatype"] == "BYTES"]
    if images and any(_number(part) is None for value in values for part in _parts(value)):
        question = _files(images[0], values)
    elif texts and len(texts) == len(required):
        question = _texts(model, texts, values)
    elif len(numbers) == max(len(required), 1):
        question = _numbers(model, numbers[0], values)
    else:
        raise UsageError(
            f"{model} takes {_listed(required or inputs)}: give all but one kind with --set"
        )
    rows = len(question.asked)
    chosen = [
        _setting(tensor, rows, settings[tensor["name"]])
        for tensor in metadata["inputs"]
        if tensor["name"] in settings
    ]
    return Question([*question.tensors, *chosen], question.asked)


def _numbers(model: str, spec: Mapping[str, Any], values: Sequence[str]) -> Question:
    row_shape = [int(length) for length in spec["shape"][1:]]
    width = math.prod(row_shape)
    if width < 1:
        raise UsageError(f"{model} takes rows of any length, {spec['shape']}: which one is meant?")
    read = _number if spec["datatype"] in FLOATS else _whole
    values = [part for value in values for part in _parts(value)]
    data = [_read(read, value, f"{model} takes {width} numbers a row") for value in values]
    if len(data) % width:
        raise UsageError(f"{model} takes {width} numbers a row: got {len(data)}")
    return _question([_tensor(spec, len(data) // width, row_shape, data)], values, width, " ")


def _parts(value: str) -> list[str]:
    """Numbers as people paste them: `5.1,3.5`, `[5.1, 3.5]`; what is none of it stays one value."""
    parts = [part for part in re.split(r"[\s,;]+", value.strip("[]() \t\n")) if part]
    return parts if parts and all(_number(part) is not None for part in parts) else [value]


def _texts(model: str, specs: Sequence[Mapping[str, Any]], values: Sequence[str]) -> Question:
    width = len(specs)
    if len(values) % width:
        names = ", ".join(spec["name"] for spec in specs)
        raise UsageError(f"{model} takes {width} texts a row ({names}): got {len(values)}")
    rows = len(values) // width
    tensors = [
        _tensor(spec, rows, [1] * (len(spec["shape"]) - 1), list(values[place::width]))
        for place, spec in enumerate(specs)
    ]
    return _question(tensors, values, width, " · ")


def _files(spec: Mapping[str, Any], values: Sequence[str]) -> Question:
    contents = []
    for value in values:
        try:
            contents.append(Path(value).read_bytes())
        except FileNotFoundError:
            raise UsageError(f"{value} is no number, and no such file exists") from None
        except OSError as error:
            raise UsageError(f"{value} cannot be read: {error.strerror}") from error
    return _question([_tensor(spec, len(values), [], contents)], values, 1, " ")


def _setting(spec: Mapping[str, Any], rows: int, values: Sequence[str]) -> Tensor:
    """One value of an input, or the elements of its list, for every row."""
    axes = len(spec["shape"]) - 1
    if len(values) > 1 and spec["shape"][1:] != [-1]:
        raise UsageError(f"--set {spec['name']}: it takes one value, and is given {len(values)}")
    datatype = spec["datatype"]
    read: Callable[[str], Any] = str
    if datatype == "BOOL":
        read = {"true": True, "false": False}.get
    elif datatype in INTEGERS:
        read = _whole
    elif datatype != "BYTES":
        read = _number
    elements = [_read(read, value, f"{spec['name']} is {datatype}") for value in values]
    return _tensor(spec, rows, [len(elements)] * axes, elements * rows)


def _question(tensors: list[Tensor], values: Sequence[str], width: int, between: str) -> Question:
    starts = range(0, len(values), width)
    return Question(tensors, [between.join(values[at : at + width]) for at in starts])


def _tensor(spec: Mapping[str, Any], rows: int, row_shape: list[int], data: list[Any]) -> Tensor:
    shape = [rows, *row_shape]
    return {"name": spec["name"], "datatype": spec["datatype"], "shape": shape, "data": data}


def _read(read: Callable[[str], Any], value: str, expected: str) -> Any:
    element = read(value)
    if element is None:
        kinds: dict[Any, str] = {_whole: "a whole number", _number: "a number"}
        raise UsageError(f"{expected}: {value!r} is not {kinds.get(read, 'true or false')}")
    return element


def _number(text: str) -> float | None:
    """The finite number that `text` is, if it is one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(text: str) -> int | None:
    """The integer that `text` is, if it is one; 4.0 is 4."""
    try:
        return int(text)
    except ValueError:
        number = _number(text)
        return int(number) if number is not None and number.is_integer() else None


def _parameters(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return spec.get("parameters") or {}


def _content_type(spec: Mapping[str, Any]) -> str:
    return str(_parameters(spec).get("content_type", ""))


def _is_numeric(spec: Mapping[str, Any]) -> bool:
    return spec["datatype"] in (*INTEGERS, *FLOATS)


def _listed(inputs: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{tensor['name']} {tensor['datatype']}" for tensor in inputs)
