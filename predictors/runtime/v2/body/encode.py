"""A model's answer to the V2 REST body: JSON, raw tensors behind JSON, or both."""

import time
from typing import Any

import numpy as np
import orjson

from predictors.runtime.v2.datatypes import BINARY_ONLY, Array, as_bytes, to_wire
from predictors.runtime.v2.directives import with_classes
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.signature import Request
from predictors.runtime.v2.spec import TensorSpec

_MANY = 1 << 14  # elements: what orjson writes in a millisecond or two


def encode(
    request: Request, outputs: dict[str, Array], name: str, version: str
) -> tuple[bytes, int | None]:
    """Encode one answer.

    Args:
        request: what was asked: id, outputs and their form.
        outputs: each output by name, in its declared shape.
        name: the model's name.
        version: the model's version.

    Returns:
        The body, and the length of its JSON part where raw tensors follow it.

    Raises:
        InvalidRequest: JSON was asked for what only binary can carry: text that is not UTF-8, NaN,
            infinity (finite inputs of 1e38 overflow most models).
    """
    if request.classes is not None:
        outputs = with_classes(request.classes, outputs)
    tensors: list[dict[str, Any]] = []
    raw: list[bytes] = []
    large: dict[int, list[bytes]] = {}
    for spec, binary in request.wanted:
        array = outputs[spec.name]
        tensor: dict[str, Any] = {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": array.shape,
        }
        if binary:
            raw.append(to_wire(array, spec.datatype))
            tensor["parameters"] = {"binary_data_size": len(raw[-1])}
        elif array.size > _MANY:
            large[len(tensors)] = _pieces(spec, array)
        else:
            tensor["data"] = json_data(spec, array)
        tensors.append(tensor)
    document = {"model_name": name, "model_version": version, "id": request.id, "outputs": tensors}
    if large:
        _check_finite(request, outputs)
        header = _with_large(document, large)
    else:
        header = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        if b"null" in header:  # what orjson writes for NaN and infinity
            _check_finite(request, outputs)
    if not raw:
        return header, None
    return b"".join((header, *raw)), len(header)


def _pieces(spec: TensorSpec, array: Array) -> list[bytes]:
    """The elements of a large tensor, written some at a time.

    orjson holds Python's lock until it is done: millions of numbers take it a tenth of a second.
    """
    flat = array.ravel()
    pieces: list[bytes] = []
    for start in range(0, flat.size, _MANY):
        part = flat[start : start + _MANY]
        written = orjson.dumps(json_data(spec, part), option=orjson.OPT_SERIALIZE_NUMPY)
        pieces += (b"," if start else b"[", written[1:-1])
        time.sleep(0)  # whoever waits for the lock has it now
    return [*pieces, b"]"]


def _with_large(document: dict[str, Any], large: dict[int, list[bytes]]) -> bytes:
    """An answer whose large tensors, by their place, are written already."""
    tensors = document["outputs"]
    parts = [orjson.dumps(document | {"outputs": []})[:-2]]
    for place, tensor in enumerate(tensors):
        written = orjson.dumps(tensor, option=orjson.OPT_SERIALIZE_NUMPY)
        parts.append(b"," if place else b"")
        if place in large:
            parts += (written[:-1], b',"data":', *large[place], b"}")
        else:
            parts.append(written)
    return b"".join((*parts, b"]}"))


def json_data(spec: TensorSpec, array: Array) -> Any:
    """A tensor's elements as orjson takes them, flat."""
    if spec.datatype == "BYTES":
        try:
            return [
                element if type(element) is str else as_bytes(element).decode()
                for element in array.ravel().tolist()
            ]
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"output '{spec.name}' is not UTF-8 text: ask for it with binary_data"
            ) from error
    if spec.datatype in BINARY_ONLY:
        raise InvalidRequest(
            f"output '{spec.name}' is {spec.datatype}, which has no JSON form: ask for it with "
            "binary_data"
        )
    flat = array.ravel()
    return flat if flat.dtype == spec.dtype else flat.astype(spec.dtype)


def _check_finite(request: Request, outputs: dict[str, Array]) -> None:
    for spec, binary in request.wanted:
        array = outputs[spec.name]
        if not binary and spec.dtype.kind == "f" and not np.isfinite(array).all():
            raise InvalidRequest(
                f"output '{spec.name}' is NaN or infinite for these inputs, which JSON cannot "
                "carry: send smaller numbers, or ask for it with binary_data"
            )
