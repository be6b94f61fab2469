"""Answers held to JSON: which tokens may come next, by llguidance."""

import json
import threading
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer

from predictors.runtime import InvalidRequest

MAX_SCHEMA_CHARACTERS = 16_384
ANY_OBJECT = {"type": "object"}


class Guide:
    """The state of one answer in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._mask = np.zeros((vocabulary + 31) // 32, np.int32)

    def copy(self) -> "Guide":
        """Another answer's, from here on: a grammar is made once for all choices of a request."""
        return Guide(self._matcher.deep_copy(), self._vocabulary)

    def allowed(self, vocabulary: int) -> npt.NDArray[np.bool_]:
        """(vocabulary,) which tokens may come next."""
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        bits = np.unpackbits(self._mask.view(np.uint8), bitorder="little")
        return bits[:vocabulary].astype(np.bool_)

    def take(self, token: int) -> None:
        """Go on by a token that was allowed."""
        self._matcher.consume_token(token)


class Grammars:
    """Makes guides for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, ending: Iterable[int]) -> None:
        self._description = tokenizer
        self._ending = sorted(ending)

    def prepare(self) -> None:
        """Make what all guides share, from another thread than the one that answers."""
        if self._ending:
            threading.Thread(target=lambda: self._tokenizer, name="grammars", daemon=True).start()

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        """A second's work for a vocabulary of 49,152."""
        return LLTokenizer(self._description.to_str(), eos_token=self._ending)

    def of_schema(self, schema: object) -> Guide:
        """A guide that lets only JSON of a schema pass.

        Raises:
            InvalidRequest: the schema is none, or says what cannot be held to.
        """
        if not self._ending:
            raise InvalidRequest("this model has no token that ends an answer, so none for JSON")
        try:
            text = json.dumps(schema)
        except RecursionError as error:
            raise InvalidRequest("the JSON schema is nested too deep") from error
        if len(text) > MAX_SCHEMA_CHARACTERS:
            raise InvalidRequest(
                f"the JSON schema has {len(text)} characters: at most {MAX_SCHEMA_CHARACTERS}"
            )
        try:
            grammar = LLMatcher.grammar_from_json_schema(
                text, overrides={"whitespace_flexible": False}
            )
        except ValueError as error:
            raise InvalidRequest(f"the JSON schema cannot be used: {error}") from error
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().splitlines()[0]
            raise InvalidRequest(f"the JSON schema cannot be used: {reason:.200}")
        return Guide(matcher, self._tokenizer.vocab_size)
