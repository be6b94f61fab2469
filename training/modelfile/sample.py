"""The request that a version is tried with and keeps as its golden sample: given, or made."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.runtime import TensorSpec
from predictors.runtime.v2.body.decode import decode
from predictors.runtime.v2.errors import V2Error
from predictors.runtime.v2.signature import Signature
from training.modelfile.errors import PublishError

Arrays = dict[str, npt.NDArray[Any]]

ROWS = 3
_MOST_BYTES = 1 << 20
_MOST_ELEMENTS = 1 << 20
_OPEN_AXIS = 4  # of a made sample: the size of an axis that the graph leaves open
_TEXTS = ("a good day", "nothing works", "two cups of tea")


def given(path: Path, inputs: tuple[TensorSpec, ...]) -> Arrays:
    """A sample as V2 JSON, {"inputs": [...]}, held to the graph's inputs.

    Raises:
        PublishError: it cannot be read, or does not fit.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise PublishError(f"{path} is a sample of over {_MOST_BYTES >> 20} MiB: a few rows do")
        arrays = decode(path.read_bytes(), None, Signature.of(inputs, ())).arrays
    except V2Error as error:
        raise PublishError(f"{path} is no sample of this model: {error}") from error
    if any(not array.size for array in arrays.values()):
        raise PublishError(f"{path} is no sample of this model: it holds no row")
    return arrays


def made(inputs: tuple[TensorSpec, ...]) -> Arrays:
    """A few rows of numbers between 0 and 1, small counts or short texts, the same every time.

    Raises:
        PublishError: a row would be too large.
    """
    chance = np.random.default_rng(0)
    return {spec.name: _array(spec, chance) for spec in inputs}


def _array(spec: TensorSpec, chance: np.random.Generator) -> npt.NDArray[Any]:
    first = (ROWS,) if spec.batched else tuple(abs(axis) for axis in spec.shape[:1])
    shape = (*first, *(_OPEN_AXIS if axis == -1 else axis for axis in spec.shape[1:]))
    if np.prod(shape, dtype=float) > _MOST_ELEMENTS:
        raise PublishError(
            f"input '{spec.name}' of shape {list(spec.shape)} is too large to keep a sample of "
            f"it: at most {_MOST_ELEMENTS:,} numbers"
        )
    kind = spec.dtype.kind
    if kind == "O":
        return np.resize(np.array([text.encode() for text in _TEXTS], object), shape)
    if kind == "f":
        return chance.random(shape).round(3).astype(spec.dtype)
    return chance.integers(0, 2, shape).astype(spec.dtype)
