"""The next token from the logits: greedy, or drawn by temperature, top-k and top-p.

The order is transformers': temperature, then top-k, then top-p. Each row draws from a generator
of its own, so its tokens do not depend on what else is in the batch.
"""

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


@dataclass(slots=True)
class Sampler:
    """How one row chooses; temperature 0 is greedy."""

    temperature: float = 0.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    generator: random.Random | None = None  # Python's: its sequence for a seed never changes

    def draw(self, logits: Logits) -> int:
        """Draw a token from (vocabulary,) logits."""
        if self.generator is None:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / self.temperature
        order = np.argsort(-scaled, kind="stable")  # of equals the lowest token first
        if self.top_k:
            order = order[: self.top_k]
        shares = np.exp(scaled[order] - scaled[order[0]])
        sums = np.cumsum(shares)
        if self.top_p < 1:  # the fewest tokens that together have top_p
            kept = int(np.searchsorted(sums, self.top_p * sums[-1])) + 1
            sums = sums[:kept]
        at = int(np.searchsorted(sums, self.generator.random() * sums[-1], side="right"))
        return int(order[min(at, len(sums) - 1)])


def choose(logits: Logits, samplers: list[Sampler]) -> list[int]:
    """The next token of each row of (rows, vocabulary) logits."""
    tokens: list[int] = logits.argmax(axis=1).tolist()
    for row, sampler in enumerate(samplers):
        if sampler.generator is not None:
            tokens[row] = sampler.draw(logits[row])
    return tokens
