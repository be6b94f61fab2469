"""OpenAI's requests as prompts: chat completions and completions.

https://platform.openai.com/docs/api-reference/chat/create
https://platform.openai.com/docs/api-reference/completions/create
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from predictors.causal_lm.guide import ANY_OBJECT, Guide
from predictors.causal_lm.openai.fields import FieldError, Fields, kind_of
from predictors.causal_lm.openai.messages import messages_of
from predictors.causal_lm.prompts import OverBudgetError, Prompt
from predictors.causal_lm.sampling import Sampler
from predictors.runtime.v2.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from predictors.causal_lm import CausalLmModel

MAX_CHOICES, MAX_STOPS, MAX_STOP_CHARACTERS = 128, 4, 256
_CHAT_ALTERNATIVES, _ALTERNATIVES = 20, 5
_INDEX_DIGITS = 10
_COMPLETION_TOKENS = 16  # OpenAI's default of `completions`
_NO_EFFECT = ("user", "service_tier", "safety_identifier", "prompt_cache_key")  # text
_UNSUPPORTED = (
    *("audio", "prediction", "reasoning_effort", "verbosity", "web_search_options", "moderation"),
)


class UnknownModelError(NotFound):
    """The field `model` names another model."""

    param, code = "model", "model_not_found"


@dataclass(slots=True)
class Asked:
    """One request: its prompts, and how they are to be answered.

    Attributes:
        prompts: a row for each choice, those of one prompt side by side.
        choices: of each prompt.
        texts: of each prompt, where `echo` wants them back.
    """

    chat: bool
    model: str
    prompts: list[Prompt] = field(default_factory=list)
    choices: int = 1
    streamed: bool = False
    usage_in_stream: bool = False
    texts: list[str] = field(default_factory=list)


class Reader:
    """Reads the requests of one model."""

    def __init__(self, model: "CausalLmModel") -> None:
        self._model = model

    def read(self, document: dict[str, Any], *, chat: bool) -> Asked:
        """Read a request.

        Raises:
            FieldError: naming the field, what was expected and what came.
            UnknownModelError: another model is asked for.
            OverBudgetError: more tokens than a row can hold.
        """
        fields = Fields(document)
        asked = Asked(chat, self._named(fields))
        asked.streamed = fields.flag("stream")
        options = fields.mapping("stream_options")
        if options is not None:
            if not asked.streamed:
                raise FieldError("stream_options", "is for requests with 'stream': true")
            told = Fields(options, "stream_options.")
            asked.usage_in_stream = told.flag("include_usage")
            told.flag("include_obfuscation")
            told.finish()
        asked.choices = fields.whole("n", 1, MAX_CHOICES) or 1
        sampler = self._sampling(fields)
        stops = _stops(fields)
        for name in _NO_EFFECT:
            fields.text(name)
        fields.mapping("metadata")
        fields.unsupported(*_UNSUPPORTED)
        fields.unsupported("tools", "functions", but=([],))
        fields.unsupported("store", but=(False,))
        if chat:
            self._model.check_rows(asked.choices)
            tokens = [self._chat_tokens(fields)]
            most, alternatives = self._chat_limits(fields)
            echo = False
        else:
            tokens, texts = self._prompts(fields, asked.choices)
            most, alternatives = self._limits(fields, asked.choices)
            echo = fields.flag("echo")
            asked.texts = texts if echo else []
        fields.finish()
        names = ["the conversation"] if chat else [f"prompt {n}" for n in range(len(tokens))]
        for ids, name in zip(tokens, names, strict=True):
            asked_tokens = most
            if asked_tokens is None:
                asked_tokens = max(self._model.reader.capacity - len(ids), 1)
            held, max_tokens = self._model.reader.budgeted(ids, asked_tokens, name)
            asked.prompts += [
                Prompt(
                    held,
                    max_tokens,
                    sampler(n),
                    stops,
                    alternatives,
                    scored=echo and alternatives is not None,
                )
                for n in range(asked.choices)
            ]
        return asked

    def _named(self, fields: Fields) -> str:
        name = fields.text("model")
        if name is None:
            raise fields.wrong("model", f"a model's name, such as '{self._model.name}'", None)
        if name != self._model.name:
            raise UnknownModelError(
                f"the model '{name:.80}' does not exist here; this server has '{self._model.name}'"
            )
        return name

    def _sampling(self, fields: Fields) -> Callable[[int], Sampler]:
        """What makes a sampler for each choice; a model's own defaults where nothing is asked."""
        defaults = self._model.sampling
        temperature = fields.number("temperature", 0, 2)
        if temperature is None:
            temperature = defaults.get("temperature", 1.0)
        top_p = fields.number("top_p", 0, 1)
        if top_p is None:
            top_p = defaults.get("top_p", 1.0)
        top_k = fields.whole("top_k", 0, 2**31 - 1) or 0
        seed = fields.whole("seed", -(2**63), 2**63 - 1)
        presence = fields.number("presence_penalty", -2, 2) or 0.0
        frequency = fields.number("frequency_penalty", -2, 2) or 0.0
        bias = self._bias(fields)
        schema = _schema(fields)
        fresh = None if schema is None else self._guide(schema)

        def sampler(choice: int) -> Sampler:
            drawn = None
            if temperature:
                drawn = random.Random() if seed is None else random.Random((seed + choice) % 2**64)
            guide = fresh and fresh.copy()
            return Sampler(temperature, top_k, top_p, drawn, presence, frequency, bias, guide=guide)

        return sampler

    def _guide(self, schema: object) -> Guide:
        try:
            return self._model.grammars.of_schema(schema)
        except InvalidRequest as error:
            raise FieldError("response_format", str(error)) from error

    def _bias(self, fields: Fields) -> dict[int, float]:
        given = Fields(fields.mapping("logit_bias") or {}, "logit_bias.")
        known = len(self._model.table)
        bias = {}
        for name in fields.mapping("logit_bias") or {}:
            # Python refuses to convert thousands of digits.
            if not name.isdecimal() or len(name) > _INDEX_DIGITS or int(name) >= known:
                raise FieldError(
                    "logit_bias", f"expected tokens, 0 … {known - 1}, got {name!r:.40}"
                )
            bias[int(name)] = given.number(name, -100, 100) or 0.0
        return bias

    def _chat_tokens(self, fields: Fields) -> list[int]:
        messages = messages_of(fields.take("messages"))
        if self._model.chat is None:
            raise FieldError("messages", "this model has no chat template: ask /completions")
        return self._model.chat.tokens(messages)

    def _chat_limits(self, fields: Fields) -> tuple[int | None, int | None]:
        """How many tokens may follow, and how many alternatives to tell of each."""
        largest = self._model.reader.capacity
        most = fields.whole("max_tokens", 1, largest)
        newer = fields.whole("max_completion_tokens", 1, largest)
        if None not in (most, newer) and most != newer:
            raise FieldError("max_tokens", "is another number than 'max_completion_tokens'")
        fields.unsupported("tool_choice", "function_call", but=("none",))
        fields.unsupported("modalities", but=(["text"],))
        fields.flag("parallel_tool_calls")
        wanted = fields.flag("logprobs")
        alternatives = fields.whole("top_logprobs", 0, _CHAT_ALTERNATIVES)
        if alternatives is not None and not wanted:
            raise FieldError("top_logprobs", "needs 'logprobs': true")
        return most if newer is None else newer, (alternatives or 0) if wanted else None

    def _limits(self, fields: Fields, choices: int) -> tuple[int, int | None]:
        most = fields.whole("max_tokens", 0, self._model.reader.capacity)
        best = fields.whole("best_of", 1, MAX_CHOICES)
        if best not in (None, choices):
            raise FieldError(
                "best_of", "is not supported, but for the number of 'n'", "unsupported"
            )
        fields.unsupported("suffix", but=("",))
        alternatives = fields.whole("logprobs", 0, _ALTERNATIVES)
        return _COMPLETION_TOKENS if most is None else most, alternatives

    def _prompts(self, fields: Fields, choices: int) -> tuple[list[list[int]], list[str]]:
        """The tokens of each prompt, and its text."""
        given = fields.take("prompt")
        if given is None:
            raise fields.wrong("prompt", "text, tokens, or a list of either", None)
        whole = type(given) is str or (type(given) is list and given and type(given[0]) is int)
        prompts = [given] if whole else given
        if type(prompts) is not list or not prompts:
            raise FieldError("prompt", f"expected prompts, got {kind_of(prompts)}")
        self._model.check_rows(len(prompts) * choices)
        read = [self._one(prompt, f"prompt {number}") for number, prompt in enumerate(prompts)]
        return [tokens for tokens, _ in read], [text for _, text in read]

    def _one(self, prompt: Any, name: str) -> tuple[list[int], str]:
        if type(prompt) is str:
            return self._model.reader.tokens(prompt, name), prompt
        table = self._model.table
        if type(prompt) is not list or not prompt or any(type(one) is not int for one in prompt):
            raise FieldError("prompt", f"{name}: expected text or a list of tokens")
        if any(not 0 <= token < len(table) for token in prompt):
            raise FieldError("prompt", f"{name}: expected tokens, 0 … {len(table) - 1}")
        return prompt, b"".join(table[token] for token in prompt).decode("utf-8", "replace")


def _schema(fields: Fields) -> object | None:
    """The JSON schema that the answer must fit; None where it may be anything."""
    wanted = fields.mapping("response_format")
    if wanted is None:
        return None
    told = Fields(wanted, "response_format.")
    kind = told.text("type")
    if kind == "json_schema":
        described = told.mapping("json_schema")
        if described is None:
            raise told.wrong("json_schema", "an object", None)
        inner = Fields(described, "response_format.json_schema.")
        for name in ("name", "description"):
            inner.text(name)
        inner.flag("strict")
        schema = inner.take("schema")
        if type(schema) is not dict:
            raise inner.wrong("schema", "a JSON schema", schema)
        inner.finish()
        told.finish()
        return schema
    if kind not in ("text", "json_object"):
        raise told.wrong("type", "text, json_object or json_schema", kind)
    told.finish()
    return ANY_OBJECT if kind == "json_object" else None


def _stops(fields: Fields) -> tuple[str, ...]:
    given = fields.take("stop")
    stops = [given] if type(given) is str else [] if given is None else given
    right = type(stops) is list and len(stops) <= MAX_STOPS
    if not right or any(type(stop) is not str or len(stop) > MAX_STOP_CHARACTERS for stop in stops):
        expected = f"up to {MAX_STOPS} strings of up to {MAX_STOP_CHARACTERS} characters"
        raise fields.wrong("stop", expected, given)
    return tuple(stop for stop in stops if stop)


__all__ = ["Asked", "OverBudgetError", "Reader", "UnknownModelError"]
