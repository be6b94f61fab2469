"""Prompts that begin alike: keys and values of whole chunks, kept for the next prompt.

A chunk's keys and values depend on the tokens up to its end and on nothing else, and chunks begin
at fixed places; so what is copied is what would have been computed, to the bit. What was used
longest ago goes first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt

Chunk = list[npt.NDArray[Any]]


class PrefixCache:
    """Chunks by the hash of all tokens up to their end."""

    def __init__(self, chunk: int, most_bytes: int) -> None:
        self._chunk = chunk
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, Chunk] = OrderedDict()
        self.bytes = 0

    def keys(self, tokens: Sequence[int]) -> list[bytes]:
        """The key of each whole chunk of a prompt."""
        digest = hashlib.blake2b(digest_size=16)
        keys = []
        for end in range(self._chunk, len(tokens) + 1, self._chunk):
            digest.update(np.array(tokens[end - self._chunk : end], np.int64).tobytes())
            keys.append(digest.copy().digest())
        return keys

    def find(self, keys: Sequence[bytes]) -> list[Chunk]:
        """The chunks of a prompt that were kept, from its beginning on."""
        found = list(takewhile(self._kept.__contains__, keys))
        self._use(found)
        return [self._kept[key] for key in found]

    def keep(self, keys: Sequence[bytes], number: int, chunk: Chunk) -> int:
        """Keep a prompt's chunk of this number, in place of what was used longest ago.

        Returns:
            How many chunks had to go.
        """
        size = sum(array.nbytes for array in chunk)
        if keys[number] in self._kept or size > self._most_bytes:
            return 0
        self._kept[keys[number]] = chunk
        self.bytes += size
        self._use([key for key in keys[: number + 1] if key in self._kept])
        evicted = 0
        while self.bytes > self._most_bytes:
            _, old = self._kept.popitem(last=False)
            self.bytes -= sum(array.nbytes for array in old)
            evicted += 1
        return evicted

    def _use(self, keys: Sequence[bytes]) -> None:
        """Note a use: of a prompt's chunks the last one goes first, for it needs the others."""
        for key in reversed(keys):
            self._kept.move_to_end(key)
