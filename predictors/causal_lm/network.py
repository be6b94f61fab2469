"""The decoder in ONNX Runtime, and the cache of keys and values of each row.

The cache is one array a layer, (rows, heads, capacity, head size), given to ONNX Runtime by its
address: the graph writes into it, and nothing is copied between tokens. A call computes rows
0 … n-1, or one row alone; so rows are kept next to each other by `move` and `swap`.
"""

import math
import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime

Array = npt.NDArray[Any]
Logits = npt.NDArray[np.float32]


def _zeros(shape: tuple[int, ...]) -> Array:
    """Zeros that cost memory only once they are written to, page by page.

    numpy asks for pages of 2 MB, of which each layer's array would fill one for its first token.
    """
    pages = mmap.mmap(-1, math.prod(shape) * np.dtype(np.float32).itemsize)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.float32).reshape(shape)


class Network:
    """One session and its cache; used by one thread."""

    def __init__(self, session: "onnxruntime.InferenceSession", rows: int, capacity: int) -> None:
        """`capacity`: tokens that a row can hold, prompt included."""
        self._session = session
        self.capacity = capacity
        self._shapes = {
            given.name: (given.shape[1], capacity, given.shape[3])
            for given in session.get_inputs()
            if given.name.startswith(("key.", "value."))
        }
        self.vocabulary: int = session.get_outputs()[0].shape[1]
        self.resize(rows)

    def resize(self, rows: int) -> None:
        """Make room for `rows` rows; what was in the cache is gone."""
        self._cache = {name: _zeros((rows, *shape)) for name, shape in self._shapes.items()}
        self._fed: dict[str, Array] = {
            "input_ids": np.zeros((rows, 1), np.int64),
            "positions": np.zeros((rows, 1), np.int64),
            "last": np.zeros(rows, np.int32),
            "length": np.zeros((), np.int32),
            "kept": np.ones(1, np.int64),
        }
        self._logits = np.zeros((rows, self.vocabulary), np.float32)
        self._bindings: dict[int, onnxruntime.IOBinding] = {}

    def fill(self, row: int, tokens: list[int], start: int, *, every: bool = False) -> Logits:
        """Put a row's next tokens into its cache, the first of them at position `start`.

        Returns:
            (1, vocabulary) logits after the last of them, or (tokens, vocabulary) after `every`
            one; valid until the next call.
        """
        end = start + len(tokens)
        kept = len(tokens) if every else 1
        fed: dict[str, Array] = {
            "input_ids": np.array([tokens], np.int64),
            "positions": np.arange(start, end, dtype=np.int64)[None],
            "last": np.array([end - 1], np.int32),
            "length": np.array(end, np.int32),
            "kept": np.array([kept], np.int64),
        }
        logits: Logits = np.empty((kept, self.vocabulary), np.float32)
        self._session.run_with_iobinding(self._bound(fed, row, 1, logits))
        return logits

    def step(self, tokens: list[int], positions: list[int]) -> Logits:
        """Put one more token into each of the first rows.

        Args:
            tokens: of rows 0 … n-1.
            positions: where each stands in its row.

        Returns:
            (n, vocabulary) logits; valid until the next call.
        """
        rows = len(tokens)
        fed = self._fed
        fed["input_ids"][:rows, 0] = tokens
        fed["positions"][:rows, 0] = positions
        fed["last"][:rows] = positions
        fed["length"][()] = max(positions) + 1
        binding = self._bindings.get(rows)
        if binding is None:
            first: dict[str, Array] = {"length": fed["length"], "kept": fed["kept"]}
            first |= {name: fed[name][:rows] for name in ("input_ids", "positions", "last")}
            binding = self._bindings[rows] = self._bound(first, 0, rows, self._logits)
        self._session.run_with_iobinding(binding)
        return self._logits[:rows]

    def copied(self, row: int, start: int, length: int) -> list[Array]:
        """Keys and values of some of a row's positions, copied."""
        stop = start + length
        return [array[row, :, start:stop].copy() for array in self._cache.values()]

    def put(self, row: int, start: int, parts: list[Array]) -> None:
        """Write what was copied into a row, where it was."""
        for array, part in zip(self._cache.values(), parts, strict=True):
            array[row, :, start : start + part.shape[1]] = part

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a row over another row."""
        for array in self._cache.values():
            array[target, :, :length] = array[source, :, :length]

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchange the first `length` positions of two rows."""
        for array in self._cache.values():
            kept = array[one, :, :length].copy()
            array[one, :, :length] = array[other, :, :length]
            array[other, :, :length] = kept

    def _bound(
        self, fed: dict[str, Array], row: int, rows: int, logits: Logits
    ) -> "onnxruntime.IOBinding":
        """Inputs and outputs by their addresses; the arrays must outlive the call."""
        binding = self._session.io_binding()
        for name, array in fed.items():
            kind, shape = array.dtype.type, array.shape
            binding.bind_input(name, "cpu", 0, kind, shape, array.ctypes.data)
        for name, array in self._cache.items():
            shape = (rows, *array.shape[1:])
            address = array[row:].ctypes.data
            binding.bind_input(name, "cpu", 0, np.float32, shape, address)
            binding.bind_output(f"new_{name}", "cpu", 0, np.float32, shape, address)
        shape = (len(fed["input_ids"]) * int(fed["kept"][0]), self.vocabulary)
        binding.bind_output("logits", "cpu", 0, np.float32, shape, logits.ctypes.data)
        return binding
