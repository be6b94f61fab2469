"""LanguageModel: a causal language model as arrays, with all that asking it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer

from training.language.matrices import Floats


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """What is published of a model, read from a file or a folder.

    Attributes:
        config: as config.json of transformers.
        weights: by transformers' names; float32, matrices (out, in).
        tokenizer: text to tokens; makes special tokens of no text by itself.
        first_token: what a prompt of no text begins with.
        ending: tokens that end an answer.
        chat_template: a Jinja template; "" where the model does not chat.
        defaults: how the model's makers sample from it: `temperature`, `top_p`, …
        licence: the text that came with the weights, or their licence's name.
        origin: where the weights are from, for the manifest.
    """

    config: dict[str, Any]
    weights: Mapping[str, Floats]
    tokenizer: Tokenizer
    first_token: int | None
    ending: frozenset[int]
    chat_template: str = ""
    defaults: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """How many weights there are; tied ones count once."""
        return sum(array.size for array in self.weights.values())
