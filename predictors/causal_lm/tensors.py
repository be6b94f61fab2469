"""V2's tensors: what causal-lm declares, and a request's as prompts."""

import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.causal_lm.budget import DEFAULT
from predictors.causal_lm.guide import Grammars, Guide
from predictors.causal_lm.prompts import (
    DEFAULT_MAX_TOKENS,
    OverBudgetError,
    Prompt,
    PromptReader,
)
from predictors.causal_lm.sampling import Sampler
from predictors.runtime import InvalidRequest, TensorSpec

MAX_TEMPERATURE = 100.0
MAX_PENALTY = 2.0  # as in OpenAI's API
MAX_ALTERNATIVES = 20  # likewise
MAX_STOPS = 5  # as in the Open Inference Protocol's generate_rest.yaml
MAX_STOP_CHARACTERS = 256
_MAX_INT32 = 2**31 - 1

Array = npt.NDArray[Any]


def _setting(name: str, datatype: str, **parameters: object) -> TensorSpec:
    """An optional input of one value a prompt, and what metadata tells of it."""
    return TensorSpec(name, datatype, (-1,), optional=True, parameters=parameters)


INPUTS = (
    TensorSpec(
        "text_input",
        "BYTES",
        (-1,),
        also_accepts=((-1, 1),),
        parameters={"max_total_tokens": DEFAULT},
    ),
    _setting("max_tokens", "INT32", default=DEFAULT_MAX_TOKENS, minimum=1, maximum=DEFAULT - 1),
    _setting("temperature", "FP32", default=0, minimum=0, maximum=MAX_TEMPERATURE),
    _setting("top_k", "INT32", default=0, minimum=0),
    _setting("top_p", "FP32", default=1, minimum=0, maximum=1),
    _setting("seed", "INT64"),
    TensorSpec(
        "stop",
        "BYTES",
        (-1, -1),
        also_accepts=((-1,),),
        optional=True,
        parameters={"max_items": MAX_STOPS},
    ),
    _setting("truncate", "BOOL", default=False),
    _setting("presence_penalty", "FP32", default=0, minimum=-MAX_PENALTY, maximum=MAX_PENALTY),
    _setting("frequency_penalty", "FP32", default=0, minimum=-MAX_PENALTY, maximum=MAX_PENALTY),
    _setting("json_schema", "BYTES"),
    _setting("logprobs", "INT32", minimum=0, maximum=MAX_ALTERNATIVES),
)
OUTPUTS = (
    TensorSpec("text_output", "BYTES", (-1,)),
    TensorSpec("prompt_tokens", "INT32", (-1,)),
    TensorSpec("completion_tokens", "INT32", (-1,)),
    TensorSpec("finish_reason", "BYTES", (-1,)),
    TensorSpec("logprobs", "BYTES", (-1,), only_with="logprobs", parameters={"format": "JSON"}),
)


class TensorReader:
    """Reads V2's arrays with one model's tokenizer."""

    def __init__(self, reader: PromptReader, grammars: Grammars) -> None:
        self._reader = reader
        self._grammars = grammars

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
        asked = _within(given, "max_tokens", 0, 1, self._reader.capacity - 1)
        name = f"tensor 'text_input': row {row}"
        truncate = bool(given.get("truncate", False))
        tokens = self._reader.tokens(text, name)
        try:
            tokens, max_tokens = self._reader.budgeted(
                tokens, int(asked) or None, name, truncate=truncate
            )
        except OverBudgetError as error:
            raise OverBudgetError(f"{error}, or set truncate to true") from error
        temperature = _within(given, "temperature", 0.0, 0.0, MAX_TEMPERATURE)
        sampler = Sampler(
            temperature,
            int(_within(given, "top_k", 0, 0, _MAX_INT32)),
            _within(given, "top_p", 1.0, 0.0, 1.0),
            _generator(given) if temperature > 0 else None,
            _within(given, "presence_penalty", 0.0, -MAX_PENALTY, MAX_PENALTY),
            _within(given, "frequency_penalty", 0.0, -MAX_PENALTY, MAX_PENALTY),
            guide=self._guide(given),
        )
        alternatives = None
        if "logprobs" in given:
            alternatives = int(_within(given, "logprobs", 0, 0, MAX_ALTERNATIVES))
        return Prompt(tokens, max_tokens, sampler, _stops(given), alternatives)

    def _guide(self, given: dict[str, Any]) -> Guide | None:
        if "json_schema" not in given:
            return None
        try:
            schema = json.loads(_text(given["json_schema"], "json_schema"))
        except ValueError as error:
            raise InvalidRequest(f"tensor 'json_schema': expected JSON: {error}") from error
        except RecursionError as error:
            raise InvalidRequest("tensor 'json_schema': the JSON is nested too deep") from error
        return self._grammars.of_schema(schema)


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
        raise InvalidRequest(f"tensor '{name}': expected {_span(low, high)}, got {value:.10g}")
    return float(value)


def _span(low: float, high: float) -> str:
    if high == _MAX_INT32:
        return f"{low:g} or more (0: from all tokens)"
    return f"{low:.10g} … {high:.10g}"


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
