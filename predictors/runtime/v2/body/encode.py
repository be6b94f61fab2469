"""A model's answer to the V2 REST body: JSON, raw tensors behind JSON, or both."""

from typing import Any

import numpy as np
import orjson

from predictors.runtime.v2.datatypes import BINARY_ONLY, Array, as_bytes, to_wire
from predictors.runtime.v2.directives import with_classes
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.signature import Request
from predictors.runtime.v2.spec import TensorSpec


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
        else:
            tensor["data"] = json_data(spec, array)
        tensors.append(tensor)
    header = orjson.dumps(
        {"model_name": name, "model_version": version, "id": request.id, "outputs": tensors},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    if b"null" in header:  # what orjson writes for NaN and infinity
        _check_finite(request, outputs)
    if not raw:
        return header, None
    return b"".join((header, *raw)), len(header)


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
