"""Matrices in blocks of small whole numbers, as GGUF files hold them and ONNX Runtime multiplies.

A block is 32 weights of one output in a row, with one scale: `scale * (code - zero)`, and for
GGUF's Q4_1 an offset beside it, which no whole zero can express.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK = 32

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix of (out, in).

    Attributes:
        codes: (out, in / 32, 32) uint8, each below 2 ** bits.
        scales: (out, in / 32).
        offsets: (out, in / 32), added to each weight of a block; None where all are 0.
        bits: 4 or 8.
    """

    codes: npt.NDArray[np.uint8]
    scales: Floats
    offsets: Floats | None
    bits: int

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return self.codes.shape[0], self.codes.shape[1] * BLOCK

    def dense(self) -> Floats:
        """The matrix as float32, (out, in)."""
        codes = self.codes.astype(np.float32)
        values: Floats = (codes - np.float32(2 ** (self.bits - 1))) * self.scales[..., None]
        if self.offsets is not None:
            values += self.offsets[..., None]
        return values.reshape(self.shape)

    def rows(self, order: npt.NDArray[np.int64]) -> "Blocks":
        """The same outputs in another order."""
        offsets = None if self.offsets is None else self.offsets[order]
        return Blocks(self.codes[order], self.scales[order], offsets, self.bits)

    def packed(self) -> npt.NDArray[np.uint8]:
        """The codes as ONNX Runtime keeps them, (out, in / 32, 4 × bits); low half first."""
        if self.bits == 8:
            return self.codes
        packed: npt.NDArray[np.uint8] = self.codes[..., ::2] | self.codes[..., 1::2] << np.uint8(4)
        return packed


Matrix = Floats | Blocks
"""(out, in), as torch keeps it."""


def in_blocks(matrix: Floats) -> Blocks:
    """Round a matrix of (out, in) to 8 bits; `in` must be a multiple of 32."""
    blocks = matrix.reshape(matrix.shape[0], -1, BLOCK)
    scales = np.abs(blocks).max(axis=-1) / np.float32(127)
    divisors = np.where(scales == 0, np.float32(1), scales)[..., None]
    codes = (np.rint(blocks / divisors) + 128).astype(np.uint8)
    return Blocks(codes, scales, None, 8)


def dense(matrix: Matrix) -> Floats:
    """Any matrix as float32."""
    return matrix.dense() if isinstance(matrix, Blocks) else matrix


def stacked(matrices: Sequence[Matrix]) -> Matrix:
    """The outputs of several matrices in a row; blocks stay blocks where all are alike."""
    blocks = [matrix for matrix in matrices if isinstance(matrix, Blocks)]
    alike = {(one.bits, one.offsets is None) for one in blocks}
    if len(blocks) < len(matrices) or len(alike) > 1:
        return np.concatenate([dense(matrix) for matrix in matrices])
    offsets = [one.offsets for one in blocks if one.offsets is not None]
    return Blocks(
        np.concatenate([one.codes for one in blocks]),
        np.concatenate([one.scales for one in blocks]),
        np.concatenate(offsets) if offsets else None,
        blocks[0].bits,
    )
