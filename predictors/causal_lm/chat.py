"""A conversation to tokens, by the template that came with the model.

Only the template makes control tokens. A message that spells one, `<|im_end|>`, is broken up before
the template sees it and is mended afterwards, piece by piece: to the model it is plain text.
"""

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from predictors.causal_lm.prompts import tokens_of
from predictors.runtime import ArtifactError, InvalidRequest

_BREAK = "\ufdd0"  # a noncharacter of Unicode: no text needs it
Messages = Sequence[dict[str, str]]


class _RefusedError(TemplateError):
    """The template's own refusal, by `raise_exception`."""


class ChatTemplate:
    """One model's template; `plain` must be its tokenizer with control tokens read as text.

    A conversation of more tokens than `capacity` is read no further than that.
    """

    def __init__(self, template: str, plain: Tokenizer, first: int | None, capacity: int) -> None:
        self._capacity = capacity
        added = plain.get_added_tokens_decoder().items()
        self._control = {token.content: number for number, token in added if token.special}
        texts = sorted(self._control, key=len, reverse=True)
        self._any_control = re.compile("|".join(map(re.escape, texts)) or "(?!)")
        self._tokenizer = plain
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.globals["raise_exception"] = _refuse
        try:
            self._template = environment.from_string(template)
        except TemplateError as error:
            raise ArtifactError(f"chat_template.jinja: {error}") from error
        self._bos = "" if first is None else plain.id_to_token(first) or ""

    def tokens(self, messages: Messages) -> list[int]:
        """The conversation, up to where the assistant answers; over the budget, some of it.

        Raises:
            InvalidRequest: the template refuses it, by the order of roles for one.
        """
        if len(messages) > self._capacity:  # each has a token or more
            return [0] * (self._capacity + 1)
        broken: list[dict[str, Any]] = [
            message | {"content": self._broken(message["content"])} for message in messages
        ]
        try:
            text = self._template.render(
                messages=broken, add_generation_prompt=True, bos_token=self._bos, eos_token=""
            )
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise InvalidRequest(f"the model's chat template refuses this: {error}") from error
        tokens: list[int] = []
        at = 0
        for control in self._any_control.finditer(text):
            if len(tokens) > self._capacity:
                return tokens
            tokens += self._plain(text[at : control.start()])
            tokens.append(self._control[control[0]])
            at = control.end()
        return tokens + self._plain(text[at:])

    def _broken(self, text: str) -> str:
        """The text with a break in everything that spells a control token."""
        text = text.replace(_BREAK, "")
        return self._any_control.sub(lambda spelt: spelt[0][0] + _BREAK + spelt[0][1:], text)

    def _plain(self, text: str) -> list[int]:
        if not text:
            return []
        text = text.replace(_BREAK, "")
        return tokens_of(self._tokenizer, text, self._capacity, special=False)


def _refuse(message: str) -> str:
    raise _RefusedError(message)
