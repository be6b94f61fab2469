"""What is measured before a language model is published, through the network that serves it."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from predictors.causal_lm.engine import CHUNK
from predictors.causal_lm.network import Network
from predictors.runtime.dataplane.model import add_exactly
from training import run
from training.errors import DataError
from training.publish.gates import GateError

ROWS, LENGTH = 16, 100  # windows of text that are read side by side, and their tokens

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reading:
    """How well a network predicts text, and what it takes for the likeliest token each time."""

    perplexity: float
    likeliest: Tokens


@dataclass(frozen=True, slots=True)
class Continuation:
    """Greedy tokens, and the smallest lead that one of them had over the second best."""

    tokens: list[int]
    lead: float


def opened(path: Path, rows: int) -> Network:
    """The network of an ONNX file, on one thread as it is served."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    add_exactly(options)
    return Network(onnxruntime.InferenceSession(path, options), rows, 256)


@contextmanager
def temporary(prefix: str) -> Iterator[Path]:
    """A folder for the length of a block."""
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        yield Path(folder)


def windows(tokenizer: Tokenizer, documents: Sequence[str]) -> Tokens:
    """(ROWS, up to LENGTH) tokens of text, end to end.

    Raises:
        DataError: there is too little text.
    """
    tokens = [token for text in documents for token in tokenizer.encode(text).ids]
    length = min(LENGTH, len(tokens) // ROWS)
    if length < 2:
        raise DataError(f"{len(tokens)} tokens of text are too few to measure a model on")
    return np.array(tokens[: ROWS * length], np.int64).reshape(ROWS, length)


def read(network: Network, tokens: Tokens) -> Reading:
    """Read (rows, length) tokens, as many rows side by side as the network has room for."""
    loss = 0.0
    likeliest = []
    for position in range(tokens.shape[1] - 1):
        logits = network.step(tokens[:, position].tolist(), [position] * len(tokens))
        exact = logits.astype(np.float64)
        followed = exact[np.arange(len(tokens)), tokens[:, position + 1]]
        loss += float((np.logaddexp.reduce(exact, axis=1) - followed).sum())
        likeliest.append(logits.argmax(axis=1))
    count = tokens.shape[0] * (tokens.shape[1] - 1)
    return Reading(math.exp(loss / count), np.stack(likeliest, axis=1).astype(np.int64))


def continued(
    network: Network, prompt: Sequence[int], count: int, ending: frozenset[int]
) -> Continuation:
    """Continue a prompt by at most `count` tokens, in the steps that the engine takes."""
    for start in range(0, len(prompt), CHUNK):
        logits = network.fill(0, list(prompt[start : start + CHUNK]), start)
    tokens: list[int] = []
    lead = math.inf
    while True:
        second, first = np.partition(logits[0], -2)[-2:]
        lead = min(lead, float(first - second))
        tokens.append(int(logits[0].argmax()))
        if len(tokens) == count or tokens[-1] in ending:
            return Continuation(tokens, lead)
        logits = network.step([tokens[-1]], [len(prompt) + len(tokens) - 1])


def require_perplexity(served: float, exact: float, most: float) -> None:
    """Refuse weights whose rounding cost too much.

    Args:
        served: perplexity of what will be served.
        exact: of the weights as they were given, in float32.
        most: how much larger it may be, as a share.

    Raises:
        GateError: by how much it is larger.
    """
    passed = served <= exact * (1 + most)
    run.current().gate("perplexity", served, exact * (1 + most), passed=passed)
    if not passed:  # NaN is above everything
        raise GateError(
            f"perplexity {served:.3f} is {served / exact - 1:.2%} above the {exact:.3f} of the "
            f"weights in float32 ({most:.0%} is allowed): not published. --bits 32 rounds nothing"
        )
