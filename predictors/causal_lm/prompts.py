"""A request's tensors to prompts, each held to the budget of 256 tokens."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from predictors.causal_lm.network import CONTEXT
from predictors.causal_lm.sampling import Sampler
from predictors.runtime import InvalidRequest

DEFAULT_MAX_TOKENS = 64
MAX_TEMPERATURE = 100.0
MAX_STOPS = 5  # as in the Open Inference Protocol's generate_rest.yaml
MAX_STOP_CHARACTERS = 256

Array = npt.NDArray[Any]


@dataclass(slots=True)
class Prompt:
    """One row of a request, ready to be generated from."""

    tokens: list[int]
    max_tokens: int
    sampler: Sampler = field(default_factory=Sampler)
    stops: tuple[str, ...] = ()


class PromptReader:
    """Reads prompts with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, first_token: int | None) -> None:
        self._tokenizer = tokenizer
        self._first_token = first_token  # what a prompt of no text begins with
        self._longest = max(len(token.encode()) for token in tokenizer.get_vocab())

    def read(self, arrays: Mapping[str, Array], rows: int) -> list[Prompt]:
        """Read the rows of a request.

        Raises:
            InvalidRequest: a value out of its range, or more tokens than the budget.
        """
        return [
            self._prompt({name: array[row] for name, array in arrays.items()}, row)
            for row in range(rows)
        ]

    def _prompt(self, given: dict[str, Any], row: int) -> Prompt:
        text = _text(given["text_input"], "text_input")
        asked = int(_within(given, "max_tokens", 0, 1, CONTEXT - 1))  # 0: not asked
        truncate = bool(given.get("truncate", False))
        tokens, max_tokens = self._budgeted(text, asked, row, truncate=truncate)
        temperature = _within(given, "temperature", 0.0, 0.0, MAX_TEMPERATURE)
        sampler = Sampler(
            temperature,
            int(_within(given, "top_k", 0, 0, 2**31)),
            _within(given, "top_p", 1.0, 0.0, 1.0),
            _generator(given) if temperature > 0 else None,
        )
        return Prompt(tokens, max_tokens, sampler, _stops(given))

    def _budgeted(
        self, text: str, asked: int, row: int, *, truncate: bool
    ) -> tuple[list[int], int]:
        """The prompt's tokens and how many may follow, together at most CONTEXT."""
        text, surely_over = self._shortened(text)
        tokens: list[int] = self._tokenizer.encode(text).ids
        if not tokens:
            if self._first_token is None:
                raise InvalidRequest(f"tensor 'text_input': row {row} is empty")
            tokens = [self._first_token]
        room = max(CONTEXT - len(tokens), 0) if not surely_over else 0
        max_tokens = asked or (min(DEFAULT_MAX_TOKENS, room) or DEFAULT_MAX_TOKENS)
        if max_tokens <= room:
            return tokens, max_tokens
        if truncate:  # a prompt's end matters most to what follows; its first token may be special
            kept = CONTEXT - max_tokens
            start = self._special_start(tokens)[:kept]
            return start + tokens[len(tokens) - (kept - len(start)) :], max_tokens
        length = f"over {CONTEXT}" if surely_over else str(len(tokens))
        advice = f"ask for at most {room} max_tokens, " if room else "shorten the prompt, "
        raise InvalidRequest(
            f"tensor 'text_input': row {row} has {length} tokens and max_tokens is {max_tokens}, "
            f"over the budget of {CONTEXT} together; {advice}or set truncate to true"
        )

    def _shortened(self, text: str) -> tuple[str, bool]:
        """Cut what is far over the budget before it costs seconds to tokenize."""
        longest = CONTEXT * self._longest
        if len(text) <= longest:
            return text, False
        return text[-longest:], True

    def _special_start(self, tokens: list[int]) -> list[int]:
        """The beginning-of-text token that the tokenizer put first, if it did."""
        return tokens[:1] if tokens[0] == self._first_token else []


def _text(given: object, name: str) -> str:
    if isinstance(given, str):
        return given
    try:
        return bytes(given).decode()  # type: ignore[call-overload,no-any-return]  # an element of BYTES
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"tensor '{name}': not UTF-8 text: {error.reason}") from error


def _within(given: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    if name not in given:
        return default
    value = given[name].item()
    if not low <= value <= high:
        raise InvalidRequest(f"tensor '{name}': expected {low:g} … {high:g}, got {value:g}")
    return float(value)


def _generator(given: dict[str, Any]) -> random.Random:
    if "seed" not in given:
        return random.Random()
    return random.Random(int(given["seed"]) % 2**64)  # Random takes -1 for 1


def _stops(given: dict[str, Any]) -> tuple[str, ...]:
    stops = tuple(_text(stop, "stop") for stop in np.ravel(given.get("stop", ())))
    stops = tuple(stop for stop in stops if stop)  # rows of a tensor are padded with empty ones
    if len(stops) > MAX_STOPS or any(len(stop) > MAX_STOP_CHARACTERS for stop in stops):
        raise InvalidRequest(
            f"tensor 'stop': expected at most {MAX_STOPS} strings of at most "
            f"{MAX_STOP_CHARACTERS} characters a row"
        )
    return stops
