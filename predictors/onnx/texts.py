"""A text classifier around a graph of tokens: texts to ids, scores to labels."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Texts are tokenised on the thread that asks: the inference engine has the cores.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer

from predictors.onnx import graph
from predictors.onnx.settings import TextSettings
from predictors.runtime import ArtifactError, TensorSpec

TOKENIZER = "tokenizer.json"
TAKEN = ("input_ids", "attention_mask", "token_type_ids")
"""What a graph may ask for; the first one it must."""
_CHARACTERS_A_TOKEN = 64  # far more than any has: a longer text is cut before it is tokenised

Array = npt.NDArray[Any]


def inputs() -> tuple[TensorSpec, ...]:
    """What clients send, whatever the graph takes."""
    return (TensorSpec("text", "BYTES", (-1,)),)


def outputs(labels: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """What they get: the likeliest label, every label's probability, whether a text was cut."""
    return (
        TensorSpec("label", "BYTES", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, len(labels)), labels=labels),
        TensorSpec("truncated", "BOOL", (-1,)),
    )


class TextClassifier:
    """Tokenises for a graph and names what it answers."""

    def __init__(self, tokenizer: Tokenizer, settings: TextSettings, taken: list[str]) -> None:
        self._tokenizer = tokenizer
        self._settings = settings
        self._taken = taken
        self._names = np.array([label.encode() for label in settings.labels], object)
        tokenizer.enable_truncation(settings.max_length)
        tokenizer.no_padding()

    @classmethod
    def read(cls, folder: Path, settings: TextSettings, taken: list[str]) -> "TextClassifier":
        """The tokenizer of a folder, for a graph with the inputs `taken`.

        Raises:
            ArtifactError: tokenizer.json does not load.
        """
        path = folder / TOKENIZER
        try:
            return cls(Tokenizer.from_file(str(path)), settings, taken)
        except Exception as error:  # tokenizers has no other class
            raise ArtifactError(f"{path} does not load: {error!r}") from error

    @property
    def scores(self) -> str:
        """The graph's output that is read."""
        return self._settings.scores

    def feed(self, elements: Array) -> tuple[dict[str, Array], npt.NDArray[np.bool_]]:
        """Texts as the graph's inputs, padded to the longest, and which of them were cut.

        Raises:
            InvalidRequest: a text is not UTF-8.
        """
        most = self._settings.max_length * _CHARACTERS_A_TOKEN
        texts = graph.texts("text", elements)
        encoded = self._tokenizer.encode_batch_fast([text[:most] for text in texts])
        cut = [
            bool(one.overflowing) or len(text) > most
            for one, text in zip(encoded, texts, strict=True)
        ]
        longest = max(len(one.ids) for one in encoded)
        columns = {
            "input_ids": (self._settings.pad, [one.ids for one in encoded]),
            "attention_mask": (0, [one.attention_mask for one in encoded]),
            "token_type_ids": (0, [one.type_ids for one in encoded]),
        }
        feed = {
            name: np.array([row + [fill] * (longest - len(row)) for row in rows], np.int64)
            for name, (fill, rows) in columns.items()
            if name in self._taken
        }
        return feed, np.array(cut, np.bool_)

    def answer(self, scores: Array) -> dict[str, Array]:
        """Labels and probabilities of scores (batch, labels)."""
        scores = scores.astype(np.float32)
        if self._settings.exclusive:
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            probabilities = powers / powers.sum(axis=1, keepdims=True)
        else:
            probabilities = 1 / (1 + np.exp(-scores))
        return {"label": self._names[scores.argmax(axis=1)], "probabilities": probabilities}
