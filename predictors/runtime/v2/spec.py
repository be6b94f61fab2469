"""TensorSpec: what a model declares of each input and output, and how a shape is held to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, prod

import numpy as np

from predictors.runtime.v2.datatypes import NUMPY_OF, Array
from predictors.runtime.v2.errors import InvalidRequest

Shape = tuple[int, ...]
_FEW = 64
_MAX_ELEMENTS = 2**40  # beyond any body limit: refused before anything is allocated


@dataclass(frozen=True, slots=True, eq=False)  # hashed by identity: a key on the hot path
class TensorSpec:
    """One tensor of a model's V2 signature.

    Attributes:
        name: as clients write it.
        datatype: a V2 datatype, `FP32`.
        shape: -1 where any size goes; a leading -1 is the batch axis.
        also_accepts: further shapes of the same element count per row, reshaped to `shape`
            before the model sees them.
        labels: names along the last axis, shown to people by REST metadata.
        allow_nan: whether NaN and infinities may come in.
        optional: of an input: a request may leave it out, and `infer` then does not get it.
        only_with: of an output: it is answered where this input came, or where it is asked for.
        parameters: what else metadata should tell of it, such as limits and defaults.
    """

    name: str
    datatype: str
    shape: Shape
    also_accepts: tuple[Shape, ...] = ()
    labels: tuple[str, ...] | None = None
    allow_nan: bool = False
    optional: bool = False
    only_with: str | None = None
    parameters: Mapping[str, object] | None = None
    dtype: "np.dtype[np.generic]" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.datatype not in NUMPY_OF:
            known = " ".join(NUMPY_OF)
            raise ValueError(f"tensor '{self.name}': no V2 datatype {self.datatype}; {known}")
        object.__setattr__(self, "dtype", NUMPY_OF[self.datatype])

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, as far as the shape tells; an element of BYTES is taken for 32."""
        size = 32 if self.dtype.hasobject else self.dtype.itemsize
        return size * prod(abs(axis) for axis in self.shape[1:])

    @property
    def media_types(self) -> tuple[str, ...]:
        """Which files an element is one of, as its parameter `content_type` declares."""
        declared = str((self.parameters or {}).get("content_type", ""))
        return tuple(name.strip() for name in declared.split(",")) if declared else ()

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
        parameters = dict(self.parameters or {})
        if self.labels:
            parameters["labels"] = list(self.labels)
        if self.optional or self.only_with:
            parameters["optional"] = True
        return described | {"parameters": parameters} if parameters else described

    def signature(self) -> dict[str, object]:
        """The tensor as the manifest records it: what a client relies on."""
        signature: dict[str, object] = {
            "name": self.name,
            "datatype": self.datatype,
            "shape": list(self.shape),
        }
        return signature | {"optional": True} if self.optional or self.only_with else signature

    def accept(self, shape: object) -> Shape:
        """Check the shape of a request's tensor.

        Args:
            shape: as it came; a JSON list of anything, or the sizes of a protobuf.

        Returns:
            The shape that the model will see: `shape` itself, or, for one of `also_accepts`, the
            declared shape with as many rows.

        Raises:
            InvalidRequest: not a list of sizes, or not a shape that this tensor takes.
        """
        declared = self.shape
        if type(shape) is list and len(shape) == len(declared):
            count = 1
            for size, want in zip(shape, declared, strict=True):
                if type(size) is not int or size < 0 or want not in (size, -1):
                    break
                count *= size
            else:
                if count <= _MAX_ELEMENTS:
                    return tuple(shape)
        return self._accept_another(shape)

    def _accept_another(self, shape: object) -> Shape:
        """Look among `also_accepts`; else say what is wrong."""
        if not isinstance(shape, list) or any(type(size) is not int for size in shape):
            raise InvalidRequest(
                f"tensor '{self.name}': shape must be a list of integers, got {shape!r:.80}"
            )
        if any(size < 0 for size in shape):
            raise InvalidRequest(f"tensor '{self.name}': shape {shape!r:.80} holds a negative size")
        if any(size > _MAX_ELEMENTS for size in shape) or prod(shape) > _MAX_ELEMENTS:
            raise InvalidRequest(f"tensor '{self.name}': shape {shape!r:.80} is too large")
        if any(_fits(shape, other) for other in self.also_accepts):
            return (shape[0], *self.shape[1:])
        expected = " or ".join(str(list(one)) for one in (self.shape, *self.also_accepts))
        raise InvalidRequest(
            f"tensor '{self.name}': expected shape {expected} (-1: any), got {shape!r:.80}"
        )

    def check_finite(self, array: Array) -> None:
        """Raise InvalidRequest if NaN or infinity is in there and not allowed."""
        if array.dtype.kind != "f" or self.allow_nan:
            return
        wrong = first_not_finite(array)
        if wrong is not None:
            raise InvalidRequest(
                f"tensor '{self.name}': expected finite numbers, got {array.ravel()[wrong]} at "
                f"element {wrong}"
            )

    def empty(self, rows: int = 0) -> Array:
        """An output for a batch of no rows."""
        return np.empty((rows, *(max(size, 0) for size in self.shape[1:])), self.dtype)


def first_not_finite(array: Array) -> int | None:
    """The flat index of the first NaN or infinity of a float array."""
    # A sum of doubles is finite only if all of them are: for a few numbers it costs a tenth of
    # numpy's way. (It may also overflow, which the second look tells apart.)
    if array.size <= _FEW and isfinite(sum(array.ravel().tolist())):
        return None
    wrong = np.flatnonzero(~np.isfinite(array))
    return int(wrong[0]) if wrong.size else None


def _fits(shape: list[int], declared: Shape) -> bool:
    return len(shape) == len(declared) and all(
        want in (-1, size) for size, want in zip(shape, declared, strict=True)
    )
