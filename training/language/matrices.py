"""Matrices of (out, in) in 8 bits, in the two forms that ONNX Runtime multiplies.

Rows have one scale for each output: sums of whole numbers, which is fast, and too coarse where a
few values are much larger than the others. Blocks have one for each 32 weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK = 32
_LEVELS = np.float32(127)  # of a code, each side of zero
_SMALLEST = np.float32(1e-9)  # of a largest weight: nothing is divided by zero

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rows:
    """A matrix whose weights are `scale * code`.

    Attributes:
        codes: (out, in) int8.
        scales: (out,).
    """

    codes: npt.NDArray[np.int8]
    scales: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return self.codes.shape[0], self.codes.shape[1]

    def dense(self) -> Floats:
        """The matrix as float32, (out, in)."""
        values: Floats = self.codes * self.scales[:, None]
        return values


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix whose weights are `scale * (code - 128)`.

    Attributes:
        codes: (out, in / 32, 32) uint8.
        scales: (out, in / 32).
    """

    codes: npt.NDArray[np.uint8]
    scales: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return self.codes.shape[0], self.codes.shape[1] * BLOCK

    def dense(self) -> Floats:
        """The matrix as float32, (out, in)."""
        values: Floats = (self.codes.astype(np.float32) - 128) * self.scales[..., None]
        return values.reshape(self.shape)


Matrix = Floats | Rows | Blocks
"""(out, in), as torch keeps it."""


def in_rows(matrix: Floats) -> Rows:
    """Round a matrix to 8 bits, each output by its largest weight."""
    scales = np.abs(matrix).max(axis=1).clip(_SMALLEST) / _LEVELS
    return Rows(np.rint(matrix / scales[:, None]).astype(np.int8), scales)


def in_blocks(matrix: Floats) -> Blocks:
    """Round a matrix to 8 bits, each 32 weights by their largest; `in` must be a multiple of 32."""
    blocks = matrix.reshape(matrix.shape[0], -1, BLOCK)
    scales = np.abs(blocks).max(axis=-1).clip(_SMALLEST) / _LEVELS
    return Blocks((np.rint(blocks / scales[..., None]) + 128).astype(np.uint8), scales)


def dense(matrix: Matrix) -> Floats:
    """Any matrix as float32."""
    return matrix if isinstance(matrix, np.ndarray) else matrix.dense()


def stacked(matrices: Sequence[Matrix]) -> Matrix:
    """The outputs of several matrices in a row; codes stay codes where all have the same form."""
    for form in (Rows, Blocks):
        alike = [matrix for matrix in matrices if isinstance(matrix, form)]
        if len(alike) == len(matrices):
            codes = np.concatenate([matrix.codes for matrix in alike])
            return form(codes, np.concatenate([matrix.scales for matrix in alike]))
    return np.concatenate([dense(matrix) for matrix in matrices])
