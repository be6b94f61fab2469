"""Whether a premise entails a hypothesis, contradicts it, or neither (ONNX Runtime).

Published by training/nli.py: an encoder of BERT's form (all-MiniLM-L6-v2, Wang et al. 2020,
arXiv:2002.10957) that was fine-tuned on MultiNLI and SNLI (Williams et al. 2018, arXiv:1704.05426;
Bowman et al. 2015, arXiv:1508.05326), a DeBERTa, or a T5 (Raffel et al. 2020, arXiv:1910.10683) of
which one decoder step scores the three label words. tokenizer.json says how a pair is put together.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Pairs are tokenised on the thread that asks: the inference engine has the cores.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer

from predictors.runtime import ArtifactError, InvalidRequest, TensorSpec, V2Model, serve

LABELS = ("entailment", "neutral", "contradiction")  # columns of `probabilities`
_NAMES = np.array([label.encode() for label in LABELS], dtype=object)
_CHARACTERS_A_TOKEN = 64  # far more than any has: a longer text is cut before it is tokenised
_LARGEST_CALL = 16  # pairs; more of one length gain nothing on a core
_PADDING = 1.25  # a call's longest pair to its shortest
MAX_CANDIDATES, MAX_CANDIDATE_PAIRS = 32, 256  # of a text, of a request: each is a pair to judge
SLOT = "{}"  # of a hypothesis that candidate labels are written into


Row = npt.NDArray[np.int64]
"""A pair as (tokens, 2): the token, and which of the two texts it is of."""


class PairTokenizer:
    """Premises and hypotheses to token ids, the same in training and in serving.

    tokenizer.json says how a pair is put together, what pads it, and how it is cut: to `max_length`
    tokens, the longer text first.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        cut, pad = tokenizer.truncation, tokenizer.padding
        if cut is None or pad is None:
            raise ValueError("it sets no truncation or no padding")
        self.max_length: int = cut["max_length"]
        self.truncation: str = cut["strategy"]
        self.pad: int = pad["pad_id"]
        self._saved = tokenizer.to_str(pretty=False)
        self._tokenizer.no_padding()  # a batch's rows are padded by those of their own call
        self._most_characters = self.max_length * _CHARACTERS_A_TOKEN

    @classmethod
    def read(cls, path: Path) -> "PairTokenizer":
        """The tokenizer of an artifact.

        Raises:
            ArtifactError: the file is not what training writes.
        """
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # tokenizers has no other class
            raise ArtifactError(f"{path} does not load: {error!r}") from error

    def save(self, path: Path) -> None:
        """Write tokenizer.json."""
        path.write_text(self._saved, "utf-8")

    def encode(
        self, premises: Sequence[str], hypotheses: Sequence[str]
    ) -> tuple[list[Row], npt.NDArray[np.bool_]]:
        """Tokenise pairs.

        Returns:
            The tokens of each pair, and whether anything of it was cut: (pairs,) bool.
        """
        most = self._most_characters
        texts = list(zip(premises, hypotheses, strict=True))
        encoded = self._tokenizer.encode_batch_fast(
            [(premise[:most], hypothesis[:most]) for premise, hypothesis in texts]
        )
        cut = [
            bool(pair.overflowing) or max(map(len, both)) > most
            for pair, both in zip(encoded, texts, strict=True)
        ]
        rows = [np.array([pair.ids, pair.type_ids], np.int64).T for pair in encoded]
        return rows, np.array(cut, np.bool_)

    def padded(self, rows: Sequence[Row]) -> dict[str, npt.NDArray[np.int64]]:
        """Rows of one length, the shorter ones padded at their end, by a network's input names."""
        shape = (len(rows), max(map(len, rows)))
        ids, kinds = np.full(shape, self.pad, np.int64), np.zeros(shape, np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)], kinds[number, : len(row)] = row.T
        return {"input_ids": ids, "token_type_ids": kinds}


class NliModel(V2Model):
    """What holds between a premise and a hypothesis, with calibrated probabilities."""

    inputs = (
        TensorSpec("premise", "BYTES", (-1,)),
        TensorSpec("hypothesis", "BYTES", (-1,)),
        TensorSpec(
            "candidate_labels",
            "BYTES",
            (-1, -1),
            optional=True,
            parameters={"max_items": MAX_CANDIDATES, "max_pairs": MAX_CANDIDATE_PAIRS},
        ),
        TensorSpec("multi_label", "BOOL", (-1,), optional=True, parameters={"default": False}),
    )
    outputs = (
        TensorSpec("label", "BYTES", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 3), labels=LABELS),
        TensorSpec("truncated", "BOOL", (-1,)),
        TensorSpec("candidate", "BYTES", (-1,), only_with="candidate_labels"),
        TensorSpec("candidate_probabilities", "FP32", (-1, -1), only_with="candidate_labels"),
    )

    def load(self) -> bool:
        self._pairs = PairTokenizer.read(self.model_dir / "tokenizer.json")
        self._session = self.onnx_session("model.onnx")
        self._given = {tensor.name for tensor in self._session.get_inputs()}
        return super().load()

    def get_input_types(self) -> list[dict[str, object]]:
        """The inputs, with how much of them is read."""
        limits = {
            "max_length_tokens": self._pairs.max_length,  # of premise and hypothesis together
            "truncation": self._pairs.truncation,
        }
        pair, options = self.inputs[:2], self.inputs[2:]
        return [
            *({**spec.metadata(), "parameters": limits} for spec in pair),
            *(spec.metadata() for spec in options),
        ]

    def validate(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Refuse more candidate labels than a request may have."""
        candidates = arrays.get("candidate_labels")
        if candidates is None:
            if "multi_label" in arrays:
                raise InvalidRequest("'multi_label' is for requests with 'candidate_labels'")
            return
        texts, labels = candidates.shape
        if not 1 <= labels <= MAX_CANDIDATES:
            raise InvalidRequest(
                f"tensor 'candidate_labels': expected 1 to {MAX_CANDIDATES} for each text, got "
                f"{labels}"
            )
        if texts * labels > MAX_CANDIDATE_PAIRS:
            raise InvalidRequest(
                f"tensor 'candidate_labels': {texts} texts with {labels} labels each are "
                f"{texts * labels} pairs; at most {MAX_CANDIDATE_PAIRS} are judged in a request: "
                "send fewer texts"
            )

    def infer(self, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Judge a batch of pairs, or choose labels of texts.

        Args:
            arrays: `premise` and `hypothesis`, (batch,) bytes, UTF-8; with `candidate_labels`,
                (batch, labels) bytes, the hypothesis is a template that each label is written into.
                `multi_label`, (batch,) bool: the labels do not exclude each other.

        Returns:
            label: (batch,) bytes, one of LABELS; of the chosen candidate's hypothesis.
            probabilities: (batch, 3) float32, each row sums to 1; likewise.
            truncated: (batch,) bool, whether a pair was longer than what is read of it.
            candidate: (batch,) bytes, the likeliest; empty without candidate labels.
            candidate_probabilities: (batch, labels) float32, in the order of the labels.

        Raises:
            InvalidRequest: a text is not UTF-8, a template has no place for a label, or a label
                is empty.
        """
        premises, hypotheses = (_texts(spec.name, arrays[spec.name]) for spec in self.inputs[:2])
        candidates = arrays.get("candidate_labels")
        if candidates is None:
            probabilities, truncated = self._judged(premises, hypotheses)
            chosen = np.full(len(premises), b"", object)
            scores = np.empty((len(premises), 0), np.float32)
        else:
            number = candidates.shape[1]
            premises = [text for text in premises for _ in range(number)]
            written = _written(hypotheses, _texts("candidate_labels", candidates.ravel()), number)
            judged, cut = self._judged(premises, written)
            judged = judged.reshape(*candidates.shape, len(LABELS))
            several = arrays.get("multi_label")
            scores = _entailed(judged, np.zeros(len(judged), bool) if several is None else several)
            best = np.arange(len(scores)), scores.argmax(axis=1)
            probabilities, chosen = judged[best], candidates[best]
            truncated = np.logical_or.reduce(cut.reshape(candidates.shape), axis=1)
        return {
            "label": _NAMES[probabilities.argmax(axis=1)],
            "probabilities": probabilities,
            "truncated": truncated,
            "candidate": chosen,
            "candidate_probabilities": scores,
        }

    def _judged(
        self, premises: list[str], hypotheses: list[str]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """The probabilities of pairs, and which of them were cut."""
        pairs, truncated = self._pairs.encode(premises, hypotheses)
        probabilities = np.empty((len(pairs), len(LABELS)), np.float32)
        for rows in _calls([len(pair) for pair in pairs]):
            padded = self._pairs.padded([pairs[row] for row in rows])
            feed = {name: array for name, array in padded.items() if name in self._given}
            (probabilities[rows],) = self._session.run(["probabilities"], feed)
        return probabilities, truncated


def _written(templates: list[str], labels: list[str], number: int) -> list[str]:
    """A hypothesis for each label: `number` of them have one template."""
    for index, template in enumerate(templates):
        if SLOT not in template:
            raise InvalidRequest(
                f"tensor 'hypothesis': with 'candidate_labels' expected text with {SLOT} where the "
                f"label goes, such as 'This example is {SLOT}.', got none at element {index}"
            )
    if "" in labels:
        raise InvalidRequest(f"tensor 'candidate_labels': element {labels.index('')} is empty")
    return [templates[at // number].replace(SLOT, label) for at, label in enumerate(labels)]


def _entailed(
    judged: npt.NDArray[np.float32], several: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Probabilities of candidate labels, as transformers' zero-shot pipeline has them.

    Of labels that exclude each other: softmax of what speaks for entailment. Else, and of a label
    that is alone: entailment against contradiction.

    Args:
        judged: (texts, labels, 3) probabilities.
        several: (texts,) whether the labels of a text do not exclude each other.
    """
    # Scores up to what softmax leaves open: those of a pair have no sum of their own.
    logs = np.log(np.maximum(judged, np.finfo(np.float32).tiny).astype(np.float64))
    entailed = np.exp(logs[..., 0] - logs.mean(axis=2))
    alone = 1 / (1 + np.exp(logs[..., 2] - logs[..., 0]))
    apart = several[:, None] | (judged.shape[1] == 1)
    together = entailed / entailed.sum(axis=1, keepdims=True)
    return np.asarray(np.where(apart, alone, together), np.float32)


def _texts(name: str, elements: npt.NDArray[Any]) -> list[str]:
    texts = []
    for index, element in enumerate(elements.tolist()):
        try:
            texts.append(element.decode() if isinstance(element, bytes) else element)
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"tensor '{name}': expected UTF-8 text, got other bytes at element {index}"
            ) from error
    return texts


def _calls(lengths: list[int]) -> Iterator[list[int]]:
    """Rows to compute together: of similar length, as padding is computed too."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    start = 0
    for stop in range(1, len(order) + 1):
        full = stop - start == _LARGEST_CALL
        if stop == len(order) or full or lengths[order[stop]] > _PADDING * lengths[order[start]]:
            yield order[start:stop]
            start = stop


if __name__ == "__main__":
    serve(NliModel)
