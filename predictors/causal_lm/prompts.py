"""Text to prompts, each held to the budget of tokens that a prompt and its answer have together."""

import os
from dataclasses import dataclass, field

# One text at a time, on the thread that asks: the engine has the cores.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer

from predictors.causal_lm.sampling import Sampler
from predictors.runtime import InvalidRequest

DEFAULT_MAX_TOKENS = 64
_CHARACTERS_A_TOKEN = 8  # more than most texts have


@dataclass(slots=True)
class Prompt:
    """One row of a request, ready to be generated from.

    Attributes:
        tokens: what the model reads.
        max_tokens: that it may add at most.
        sampler: how it chooses them.
        stops: texts to end before.
        alternatives: how many likelier tokens to tell with each one's probability; None: of none.
        scored: whether the prompt's own tokens get probabilities too.
    """

    tokens: list[int]
    max_tokens: int
    sampler: Sampler = field(default_factory=Sampler)
    stops: tuple[str, ...] = ()
    alternatives: int | None = None
    scored: bool = False


def tokens_of(tokenizer: Tokenizer, text: str, enough: int, *, special: bool = True) -> list[int]:
    """Text as tokens.

    Of text that has more than enough of them, only so much of its end is read: a megabyte costs
    seconds. While it reads, other threads go on: `encode` would hold them all up.
    """
    size = enough * _CHARACTERS_A_TOKEN
    while True:
        (read,) = tokenizer.encode_batch_fast([text[-size:]], add_special_tokens=special)
        tokens: list[int] = read.ids
        if size >= len(text) or len(tokens) > enough:
            return tokens
        size *= 4


class OverBudgetError(InvalidRequest):
    """The prompt and what may follow it are more tokens than a row can hold."""


class PromptReader:
    """Reads prompts with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, first_token: int | None, capacity: int) -> None:
        # Text is never a control token, whatever it spells; the chat template alone makes those.
        tokenizer.encode_special_tokens = True
        self.capacity = capacity
        self._tokenizer = tokenizer
        self._first_token = first_token  # what a prompt of no text begins with

    def tokens(self, text: str, name: str) -> list[int]:
        """Text as tokens; of text that is over the budget, more than the budget of its last ones.

        Raises:
            InvalidRequest: it is empty, and the model has no token to begin with.
        """
        tokens = tokens_of(self._tokenizer, text, self.capacity)
        if not tokens:
            if self._first_token is None:
                raise InvalidRequest(f"{name} is empty")
            return [self._first_token]
        return tokens

    def spelling(self, token: int) -> str:
        """How the tokenizer writes a token."""
        return self._tokenizer.id_to_token(token) or ""

    def budgeted(
        self, tokens: list[int], asked: int | None, name: str, *, truncate: bool = False
    ) -> tuple[list[int], int]:
        """The tokens and how many may follow, together at most the budget.

        Args:
            tokens: of the prompt.
            asked: how many are to follow at most; None: the default, or what fits.
            name: of the prompt, for errors.
            truncate: cut what is too much off the prompt's beginning.

        Raises:
            OverBudgetError: they do not fit, and `truncate` is not set.
        """
        room = max(self.capacity - len(tokens), 0)
        max_tokens = asked
        if max_tokens is None:
            max_tokens = min(DEFAULT_MAX_TOKENS, room) or DEFAULT_MAX_TOKENS
        if max_tokens <= room:
            return tokens, max_tokens
        if truncate:  # a prompt's end matters most to what follows; its first token may be special
            kept = self.capacity - max_tokens
            start = self._special_start(tokens)[:kept]
            return start + tokens[len(tokens) - (kept - len(start)) :], max_tokens
        over = len(tokens) > self.capacity
        length = f"over {self.capacity}" if over else str(len(tokens))
        advice = f"ask for at most {room} max_tokens" if room else "shorten the prompt"
        raise OverBudgetError(
            f"{name} has {length} tokens and max_tokens is {max_tokens}, over the budget of "
            f"{self.capacity} together; {advice}"
        )

    def _special_start(self, tokens: list[int]) -> list[int]:
        """The beginning-of-text token that the tokenizer put first, if it did."""
        return tokens[:1] if tokens[0] == self._first_token else []
