"""The next token from the logits: greedy, or drawn by temperature, top-k and top-p.

The order is transformers': first what is forbidden or made unlikely, then temperature, top-k,
top-p. Each row draws from a generator of its own, so its tokens do not depend on what else is in
the batch.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from predictors.causal_lm.guide import Guide

Logits = npt.NDArray[np.float32]


@dataclass(slots=True)
class Sampler:
    """How one row chooses; temperature 0 is greedy.

    Attributes:
        top_k: draw from so many of the likeliest; 0 from all.
        top_p: draw from the fewest tokens that together have this probability.
        generator: Python's, whose sequence for a seed never changes; None where it is greedy.
        presence: taken from the logit of every token that the answer has, as OpenAI's API has it.
        frequency: likewise, for each time that it came.
        bias: added to the logits of some tokens.
        guide: holds the answer to a grammar.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    generator: random.Random | None = None
    presence: float = 0.0
    frequency: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)
    guide: Guide | None = None
    _times: dict[int, int] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether the largest logit is taken as it is."""
        adjusted = self.presence or self.frequency or self.bias or self.guide is not None
        return self.generator is None and not adjusted

    def draw(self, logits: Logits) -> int:
        """Draw a token from (vocabulary,) logits, and remember it."""
        adjusted = self._adjusted(logits)
        token = int(adjusted.argmax()) if self.generator is None else self._drawn(adjusted)
        if self.presence or self.frequency:
            self._times[token] = self._times.get(token, 0) + 1
        if self.guide is not None:
            self.guide.take(token)
        return token

    def _adjusted(self, logits: Logits) -> Logits:
        if not (self._times or self.bias or self.guide):
            return logits
        adjusted = logits.copy()
        for token, times in self._times.items():
            adjusted[token] -= self.presence + self.frequency * times
        for token, bias in self.bias.items():
            adjusted[token] += bias
        if self.guide is not None:
            adjusted[~self.guide.allowed(len(adjusted))] = -np.inf
        return adjusted

    def _drawn(self, logits: Logits) -> int:
        assert self.generator is not None  # noqa: S101 - draw asked
        exact = logits.astype(np.float64)
        order = np.argsort(-exact, kind="stable")  # of equals the lowest token first
        if self.top_k:
            order = order[: self.top_k]
        # The largest is 0 before it is divided: temperatures near 0 overflow to the others' -inf.
        with np.errstate(over="ignore"):
            shares = np.exp((exact[order] - exact[order[0]]) / self.temperature)
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
        if not sampler.plain:
            tokens[row] = sampler.draw(logits[row])
    return tokens


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a token was to the model, before any penalty: None for what begins a row."""

    token: int
    logprob: float | None
    best: list[tuple[int, float]]  # the likeliest tokens there, with theirs


def score(logits: Logits, token: int, alternatives: int) -> Score:
    """Score a token by the (vocabulary,) logits before it."""
    exact = logits.astype(np.float64)
    total = float(np.logaddexp.reduce(exact))
    best = np.argsort(-exact, kind="stable")[:alternatives].tolist() if alternatives else []
    return Score(
        token,
        float(exact[token]) - total,
        [(other, float(exact[other]) - total) for other in best],
    )
