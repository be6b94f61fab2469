"""The `data` of a large body: cut out of its JSON, and read in pieces.

A parser holds Python's lock until it is done: 8 MiB of small numbers keep every other request of
the process waiting for a quarter of a second. So the long arrays of numbers or strings that are
the value of a key `data` are replaced by a mark, what is left is parsed, and of each array a piece
at a time, with the lock let go in between.

What is read is what a parser would have read. An array is cut where a value begins, and cut to the
bracket that closes it, if it is an array at all; whether it is one, its own pieces tell. So the
body is JSON exactly if what is left of it is, with the mark in the array's place, and the array.
"""

import os
import re
import time
from collections.abc import Iterator
from typing import Any

import orjson

from predictors.runtime.v2.errors import InvalidRequest

PIECE_BYTES = 1 << 16
"""What a parser reads at a time; a number or string that is longer is read whole."""
_CUT_BYTES = 1 << 14  # shorter arrays are left where they are
_MARK = os.urandom(16).hex()  # no client can know it
_SPACE = b" \t\r\n"
_KEY = re.compile(rb'"data"[ \t\r\n]*+:[ \t\r\n]*+\[')
_INSIDE = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
_TEXT = rb'[ \t\r\n]*+"' + _INSIDE + rb'"[ \t\r\n]*+'
_TEXTS = re.compile(rb"(?:%b,)++" % _TEXT, re.DOTALL)
_OPENING = re.compile(rb'[ \t\r\n]*+"')
_REST_OF_TEXT = re.compile(_INSIDE, re.DOTALL)
_CLOSING = re.compile(rb"[ \t\r\n]*+[,\]]")
_CONTROL = bytes(range(0x20))  # no string of JSON holds these as they are
_FLAT = bytes(0x20 if octet in b"[]" else octet for octet in range(256))
_STRUCTURE = bytes(octet if octet in b"[]," else 0x30 for octet in range(256))

Span = tuple[int, int]


class LongData:
    """One array that was cut out."""

    def __init__(self, body: bytes, start: int, spans: list[Span]) -> None:
        self._body = body
        self._spans = spans
        self.start = start
        self.end = spans[-1][1] + 1
        """Where it begins and ends in the body, brackets included."""
        head = body[start + 1 : start + 2]
        if head in _SPACE:
            head = body[start : spans[0][1]].translate(None, _SPACE)[1:2]
        self.nested = head == b"["
        self._of_text = head == b'"'

    @property
    def booleans(self) -> bool:
        """Whether it may hold any."""
        if self._of_text:
            return False
        return any(self._body.find(word, self.start, self.end) >= 0 for word in (b"true", b"false"))

    def fits(self, sizes: list[int]) -> bool:
        """Whether it is flat, or nested as `sizes` says.

        Raises:
            InvalidRequest: it is not JSON.
        """
        if self._of_text:
            return True
        if not self.nested:
            return self._body.find(b"[", self.start + 1, self.end) < 0
        marks = b"".join(
            self._body[at : min(at + PIECE_BYTES, self.end)].translate(_STRUCTURE, _SPACE)
            for at in range(self.start, self.end, PIECE_BYTES)
        )
        if b"0[" in marks or b"]0" in marks:
            raise not_json("no comma between a list and what is beside it", self.start)
        if (b"[]" in marks) != (0 in sizes) or (0 in sizes and b"0" in marks):
            return False
        structure = marks.translate(None, b"0")
        return len(structure) == _length(sizes) and structure == _structure(sizes)

    def pieces(self) -> Iterator[list[Any]]:
        """The elements, flat, some at a time; of what fits its shape, which is not empty.

        Raises:
            InvalidRequest: it is not JSON.
        """
        for start, stop in self._spans:
            piece = self._body[start:stop]
            if not self._of_text:
                piece = piece.translate(_FLAT)
            elif len(piece) > PIECE_BYTES and (text := _plain_text(piece)) is not None:
                yield [text]
                continue
            try:
                values = orjson.loads(b"[%b]" % piece)
            except orjson.JSONDecodeError as error:
                raise not_json(error.msg.partition(":")[0], start + error.pos) from error
            if not values and len(self._spans) > 1:
                raise not_json("nothing between two commas", start)
            yield values
            time.sleep(0)  # whoever waits for Python's lock has it now


def cut(body: bytes) -> tuple[bytes, list[LongData]]:
    """Cut the long arrays out of a body: what is left of it, with marks, and the arrays."""
    arrays: list[LongData] = []
    rest: list[bytes] = []
    kept = at = 0
    while (at := body.find(b'"data"', at)) >= 0:
        key = _KEY.match(body, at)
        at += len(b'"data"')
        spans = _spans(body, key.end() - 1) if key else None
        if key is None or spans is None:
            continue
        array = LongData(body, key.end() - 1, spans)
        if array.end - array.start >= _CUT_BYTES:
            rest += (body[kept : array.start], _mark(len(arrays)))
            arrays.append(array)
            kept = at = array.end
    rest.append(body[kept:])
    return b"".join(rest), arrays


def restore(document: dict[str, Any], arrays: list[LongData]) -> bool:
    """Put the arrays that were cut out into the tensors of a request; whether all were theirs."""
    marked = {orjson.loads(_mark(number)): array for number, array in enumerate(arrays)}
    tensors = document.get("inputs")
    for tensor in tensors if type(tensors) is list else ():
        data = tensor.get("data") if type(tensor) is dict else None
        if type(data) is str and data in marked:
            tensor["data"] = marked.pop(data)
    return not marked


def place(position: int, arrays: list[LongData]) -> int:
    """Where in the body a position of what was left of it is."""
    for number, array in enumerate(arrays):
        if position < array.start:
            break
        position += array.end - array.start - len(_mark(number))
    return position


def not_json(problem: str, position: int) -> InvalidRequest:
    """The error of a large body that no parser could read."""
    return InvalidRequest(f"the body is not JSON: {problem}, near byte {position}")


def _mark(number: int) -> bytes:
    return b'"%b-%d"' % (_MARK.encode(), number)


def _spans(body: bytes, start: int) -> list[Span] | None:
    """The pieces of the array that begins at `start`; None if it is not one of one kind."""
    if _OPENING.match(body, start + 1):
        return _spans_of_text(body, start + 1)
    end = body.rfind(b"]", start, _end_of_numbers(body, start)) + 1
    if not end or body.count(b"[", start, end) != body.count(b"]", start, end):
        return None
    spans: list[Span] = []
    at, last = start + 1, end - 1
    while last - at > PIECE_BYTES:
        comma = body.rfind(b",", at, at + PIECE_BYTES)
        if comma < 0:
            comma = body.find(b",", at + PIECE_BYTES, last)
        if comma < 0:
            break
        spans.append((at, comma))
        at = comma + 1
    return [*spans, (at, last)]


def _end_of_numbers(body: bytes, start: int) -> int:
    """Where the next string or object begins or ends."""
    for at in range(start, len(body), PIECE_BYTES):
        window = stop = min(at + PIECE_BYTES, len(body))
        for mark in (b'"', b"{", b"}"):
            found = body.find(mark, at, stop)
            stop = stop if found < 0 else found
        if stop < window:
            return stop
    return len(body)


def _spans_of_text(body: bytes, start: int) -> list[Span] | None:
    spans: list[Span] = []
    at = start
    while True:
        texts = _TEXTS.match(body, at, at + PIECE_BYTES)
        if texts:
            stop = texts.end() - 1
        else:  # the last string, or a long one
            after = _end_of_text(body, at)
            if after is None:
                return None
            stop = after
        spans.append((at, stop))
        if body[stop : stop + 1] == b"]":
            return spans
        at = stop + 1


def _end_of_text(body: bytes, start: int) -> int | None:
    """Where the comma or bracket behind a string is; None if there is no string."""
    opening = _OPENING.match(body, start)
    at = opening.end() if opening else len(body)
    while at < len(body):
        window = min(at + PIECE_BYTES, len(body))
        stop = body.find(b'"', at, window)
        stop = window if stop < 0 else stop
        if body.find(b"\\", at, stop) >= 0:
            inside = _REST_OF_TEXT.match(body, at, window)
            stop = inside.end() if inside else at
            if stop == at:
                return None  # it ends in a backslash
        if body[stop : stop + 1] == b'"':
            closing = _CLOSING.match(body, stop + 1)
            return closing.end() - 1 if closing else None
        at = stop
    return None


def _plain_text(piece: bytes) -> str | None:
    """A long string in its quotes, read several times as fast; None where a parser must look."""
    inside = piece.strip(_SPACE)[1:-1]
    if b"\\" in inside or len(inside.translate(None, _CONTROL)) < len(inside):
        return None
    try:
        return inside.decode()
    except UnicodeDecodeError:
        return None


def _length(sizes: list[int]) -> int:
    """Of what `_structure` gives, which may be too long to be made."""
    length = 2
    for place, size in enumerate(reversed(sizes)):
        inner = length if place else 0
        length = 2 + size * inner + max(size - 1, 0)
    return length


def _structure(sizes: list[int]) -> bytes:
    """The brackets and commas of lists nested as `sizes` says."""
    structure = b""
    for size in reversed(sizes):
        structure = b"[%b]" % b",".join([structure] * size)
    return structure
