"""Optional inputs that come as bare values: a request's parameters, or the fields of `generate`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from predictors.runtime.v2.body.json_data import from_json
from predictors.runtime.v2.datatypes import Array
from predictors.runtime.v2.errors import InvalidRequest
from predictors.runtime.v2.signature import Arrays, Signature
from predictors.runtime.v2.spec import TensorSpec


def add_parameters(arrays: Arrays, parameters: Mapping[str, Any], signature: Signature) -> None:
    """Take optional inputs from a request's parameters, one value for all of its rows.

    Triton's and KServe's clients send sampling settings that way. Parameters of other names are
    not the model's, and stay alone: see `directives`.

    Raises:
        InvalidRequest: a value does not fit, or the input was given as a tensor as well.
    """
    if not arrays or not signature.batched:
        return
    rows = len(next(iter(arrays.values())))
    for name, value in parameters.items():
        spec = signature.inputs.get(name)
        if spec is None or not spec.optional or value is None:
            continue
        if name in arrays:
            raise InvalidRequest(f"'{name}' is given both as an input and as a parameter")
        arrays[name] = np.repeat(one_row(spec, value), rows, axis=0)


def one_row(spec: TensorSpec, value: object) -> Array:
    """A bare value, or a list along the second axis, as a tensor of one row.

    Numbers may come as text: V2's gRPC has no parameter for fractions.

    Raises:
        InvalidRequest: naming the tensor and what came.
    """
    values: list[Any] = list(value) if isinstance(value, list) else [value]
    if isinstance(value, str) and spec.dtype.kind in "fiu":
        try:
            values = [float(value) if spec.dtype.kind == "f" else int(value)]
        except ValueError:
            raise InvalidRequest(f"'{spec.name}': expected a number, got {value!r:.40}") from None
    shape = [1, len(values)] if len(spec.shape) > 1 else [len(values)]
    if shape[0] != 1:
        raise InvalidRequest(f"'{spec.name}': expected one value, got a list of {len(values)}")
    tensor = {"shape": shape, "data": values}
    return from_json(spec, spec.accept(shape), tensor, booleans=True)
