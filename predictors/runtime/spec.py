"""TensorSpec: what a model declares of each input and output, and how a shape is held to it."""

from dataclasses import dataclass, field
from math import prod

import numpy as np

from predictors.runtime.datatypes import NUMPY_OF, Array
from predictors.runtime.errors import InvalidRequest

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """
    One tensor of a model's V2 signature.

    Attributes:
        name: as clients write it.
        datatype: a V2 datatype, `FP32`.
        shape: -1 where any size goes; a leading -1 is the batch axis.
        also_accepts: further shapes of the same element count per row, reshaped to `shape`
            before the model sees them.
        labels: names along the last axis, shown to people by REST metadata.
        allow_nan: whether NaN and infinities may come in.
    """

    name: str
    datatype: str
    shape: Shape
    also_accepts: tuple[Shape, ...] = ()
    labels: tuple[str, ...] | None = None
    allow_nan: bool = False
    dtype: "np.dtype[np.generic]" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.datatype not in NUMPY_OF:
            known = " ".join(NUMPY_OF)
            raise ValueError(f"tensor '{self.name}': no V2 datatype {self.datatype}; {known}")
        object.__setattr__(self, "dtype", NUMPY_OF[self.datatype])

    @property
    def batched(self) -> bool:
        """Whether the first axis is the batch."""
        return bool(self.shape) and self.shape[0] == -1

    def metadata(self) -> dict[str, object]:
        """The tensor as V2 metadata shows it."""
        described: dict[str, object] = {
            "name": self.name,
            "datatype": self.datatype,
            "shape": list(self.shape),
        }
        if self.labels:
            described["parameters"] = {"labels": list(self.labels)}
        return described

    def signature(self) -> dict[str, object]:
        """The tensor as the manifest records it: what a client relies on."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    def check_shape(self, shape: Shape) -> None:
        """Raise InvalidRequest unless `shape` is one that this tensor takes."""
        if _fits(shape, self.shape) or any(_fits(shape, other) for other in self.also_accepts):
            return
        expected = " or ".join(str(list(one)) for one in (self.shape, *self.also_accepts))
        raise InvalidRequest(
            f"tensor '{self.name}': expected shape {expected} (-1: any), got {list(shape)}"
        )

    def arrange(self, flat: Array, shape: Shape) -> Array:
        """Give checked elements the shape that the model declared."""
        if not _fits(shape, self.shape):  # one of also_accepts: same rows, another inner shape
            shape = (shape[0], *self.shape[1:])
        return flat.reshape(shape)

    def check_finite(self, array: Array) -> None:
        """Raise InvalidRequest if NaN or infinity is in there and not allowed."""
        # A sum is finite if all is finite and nothing overflowed: one cheap pass for most.
        if array.dtype.kind != "f" or self.allow_nan or np.isfinite(np.add.reduce(array, None)):
            return
        wrong = np.flatnonzero(~np.isfinite(array))
        if wrong.size:
            raise InvalidRequest(
                f"tensor '{self.name}': expected finite numbers, got {array.ravel()[wrong[0]]} at "
                f"element {wrong[0]}"
            )

    def empty(self, rows: int = 0) -> Array:
        """An output for a batch of no rows."""
        return np.empty((rows, *(max(size, 0) for size in self.shape[1:])), self.dtype)


def element_count(shape: Shape) -> int:
    """How many elements a shape holds; [] is a scalar, one."""
    return prod(shape)


def _fits(shape: Shape, declared: Shape) -> bool:
    return len(shape) == len(declared) and all(
        want in (-1, size) for size, want in zip(shape, declared, strict=True)
    )
