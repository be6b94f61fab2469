"""A look at a large body before it is parsed: whether parsing would cost far more than it weighs.

Two bytes can ask a parser for an object of a hundred. So what only a request of objects without
numbers would have is counted first, which costs a few milliseconds, and refused.
"""

from collections.abc import Iterator

import numpy as np

from predictors.runtime.v2.errors import BodyTooLarge, InvalidRequest
from predictors.runtime.v2.signature import Signature

LOOKED_AT_BYTES = 1 << 16
"""Smaller bodies cannot cost much."""
_PARAMETERS = 64  # of a request or tensor
_OTHERS = 64  # names, versions, ids, and fields of later protocols
_SHAPE_BYTES = 320  # a varint has at most 10 bytes, numpy's arrays at most 32 axes

_JSON_COSTS = {"[": 88, "{": 150, '"': 30, ":": 100}  # bytes, as CPython's objects
_MAX_JSON_COST = 64 << 20
# Nanoseconds of a parser, and of who frees what it made; a list costs a collector's work as well.
_JSON_NANOSECONDS = {"[": 700, "{": 150, '"': 30, ",": 35, ":": 100}
_MAX_JSON_NANOSECONDS = 25_000_000

# ModelInferRequest's fields, and InferInputTensor's
_REQUEST_PARAMETERS, _INPUTS, _OUTPUTS, _RAW = 4, 5, 6, 7
_TENSOR_SHAPE, _TENSOR_PARAMETERS, _TENSOR_CONTENTS = 3, 4, 5
_OUTPUT_PARAMETERS = 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_VARINT_BYTES = 10

# Of typed contents: protobuf makes one value after the other and holds Python's lock meanwhile, on
# a quiet machine some 12 ns a packed number and 40 ns an element of bytes. Floats are copied whole.
_MAX_NUMBERS, _MAX_ELEMENTS, _MAX_FIELDS = 1 << 21, 1 << 19, 1 << 12
_BYTES_ELEMENT = 8 << 3 | _BYTES  # the tag of one of bytes_contents
_VARINTS = {1, 2, 3, 4, 5}  # fields of numbers of any length

Limits = dict[int, int]
"""How often a field may come, by its number; any other at most _OTHERS times in all."""


def check_json(body: bytes) -> None:
    """Refuse a JSON body whose lists, objects and strings would take too much memory.

    Raises:
        BodyTooLarge: it would, whatever its own size.
    """
    cost = _sum(body, _JSON_COSTS)
    if cost > _MAX_JSON_COST:
        raise BodyTooLarge(
            f"the body's lists, objects and strings would take some {cost >> 20} MiB to read, "
            f"{_MAX_JSON_COST >> 20} are allowed: send fewer rows, or binary tensor data"
        )


def check_parsing(body: bytes) -> None:
    """Refuse JSON that a parser would hold Python's lock for too long with, whatever the machine.

    What may be long, the data of tensors, is read in pieces: this is for the rest.

    Raises:
        BodyTooLarge: it has too many parts.
    """
    cost = _sum(body, _JSON_NANOSECONDS)
    if cost > _MAX_JSON_NANOSECONDS:
        raise BodyTooLarge(
            "the body has too many lists, objects and values outside of its tensors' data, or data "
            "that mixes them: send fewer rows, data that is flat, or binary tensor data"
        )


def _sum(body: bytes, costs: dict[str, int]) -> int:
    """What the marks of a JSON body cost together."""
    octets = np.frombuffer(body, np.uint8)  # bytes.count takes four times as long
    return sum(int(np.count_nonzero(octets == ord(mark))) * cost for mark, cost in costs.items())


def check_message(message: bytes, signature: Signature) -> None:
    """Refuse a ModelInferRequest that has more parts than the model has tensors.

    Raises:
        InvalidRequest: naming what there is too much of; or the message is damaged.
        BodyTooLarge: it has too many elements in typed contents.
    """
    inputs, outputs = len(signature.inputs), len(signature.outputs)
    tops = {_REQUEST_PARAMETERS: _PARAMETERS, _INPUTS: inputs, _OUTPUTS: outputs, _RAW: inputs}
    contents = _Contents()
    for number, start, end in _limited(message, 0, len(message), tops, "the request"):
        if number == _INPUTS:
            tensor = {_TENSOR_PARAMETERS: _PARAMETERS, _TENSOR_SHAPE: 32}
            for inner, first, last in _limited(message, start, end, tensor, "an input"):
                if inner == _TENSOR_SHAPE and last - first > _SHAPE_BYTES:
                    raise InvalidRequest("an input's shape has too many sizes")
                if inner == _TENSOR_CONTENTS:
                    contents.count(message, first, last)
        elif number == _OUTPUTS:
            for _ in _limited(message, start, end, {_OUTPUT_PARAMETERS: _PARAMETERS}, "an output"):
                pass


class _Contents:
    """What typed contents of a request hold together."""

    def __init__(self) -> None:
        self._elements = self._numbers = self._fields = 0

    def count(self, message: bytes, start: int, end: int) -> None:
        """Walk those of a tensor, until they are too many; raises BodyTooLarge."""
        elements = self._elements
        while start < end:
            if message[start] == _BYTES_ELEMENT:
                size, start = _varint(message, start + 1, end)
                start += size
                elements += 1
                if elements > _MAX_ELEMENTS:
                    raise _too_many(_MAX_ELEMENTS, "elements of BYTES")
                continue
            field = _limited(message, start, end, {}, "an input's contents")
            number, first, start = next(field)
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise _too_many(_MAX_FIELDS, "numbers that are not packed")
            if number in _VARINTS:
                octets = np.frombuffer(message, np.uint8, start - first, first)
                self._numbers += int(np.count_nonzero(octets < 0x80))
                if self._numbers > _MAX_NUMBERS:
                    raise _too_many(_MAX_NUMBERS, "numbers")
        self._elements = elements


def _too_many(limit: int, what: str) -> BodyTooLarge:
    return BodyTooLarge(
        f"the request has more than {limit} {what} in typed contents: send fewer rows, or "
        "raw_input_contents"
    )


def _limited(
    message: bytes, start: int, end: int, limits: Limits, whose: str
) -> Iterator[tuple[int, int, int]]:
    """The fields of a message: number, and where the value begins and ends."""
    left = limits | {0: _OTHERS}
    while start < end:
        tag, start = _varint(message, start, end)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            size, start = _varint(message, start, end)
            stop = start + size
        elif kind == _VARINT:
            _, stop = _varint(message, start, end)
        elif kind in (_FIXED64, _FIXED32):
            stop = start + (8 if kind == _FIXED64 else 4)
        else:
            stop = end + 1  # groups: no field of V2 is one
        if stop > end:
            raise InvalidRequest("the message is not a ModelInferRequest")
        counted = number if number in left else 0
        left[counted] -= 1
        if left[counted] < 0:
            raise InvalidRequest(
                f"field {number} of {whose} comes more than {limits.get(number, _OTHERS)} times"
            )
        yield number, start, stop
        start = stop


def _varint(message: bytes, start: int, end: int) -> tuple[int, int]:
    """A number, and where it ends."""
    if start < end and message[start] < 0x80:
        return message[start], start + 1
    value = 0
    for place in range(start, min(end, start + _VARINT_BYTES)):
        byte = message[place]
        value |= (byte & 0x7F) << 7 * (place - start)
        if byte < 0x80:
            return value, place + 1
    raise InvalidRequest("the message is not a ModelInferRequest")
