"""What learns pairs, as the script needs it: an encoder with its adapter, or a T5. Needs torch."""

import os
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from predictors.nli import PairTokenizer, Row
from training.entailment import bert, calibration, lessons, options, t5
from training.entailment.adapter import Adapter
from training.entailment.encoder import Encoder
from training.entailment.lessons import Lesson
from training.entailment.pairs import Pairs
from training.progress import Reporter
from training.publish.checkpoints import Checkpoints

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Learner:
    """A model before it learns.

    Attributes:
        network: of torch.
        pairs: how it reads.
        rate: at its highest, where none is told.
        loss: of rows and labels, mean.
        scores: of rows, before softmax.
    """

    network: torch.nn.Module
    pairs: PairTokenizer
    rate: float
    loss: Callable[[list[Row], npt.NDArray[np.int64]], torch.Tensor]
    scores: Callable[[list[Row]], Scores]

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(part.numel() for part in self.network.parameters())

    def adapter(self, temperature: float) -> Adapter:
        """What an encoder has learnt; the network then answers as the file will have it."""
        assert isinstance(self.network, bert.Bert)  # noqa: S101 - a T5 has none
        return self.network.adapter(temperature)


def set_up(seed: int, *, smoke: bool) -> dict[str, Any]:
    """Make torch repeatable; returns what decides its results beside the seed."""
    torch.use_deterministic_algorithms(mode=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS is not
    torch.manual_seed(seed)
    if smoke:
        torch.set_num_threads(1)
    return {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "precision": str(bert.precision()).removeprefix("torch."),
    }


def of_encoder(encoder: Encoder, adapter: Adapter | None, *, smoke: bool) -> Learner:
    """An encoder that learns an adapter, from this one on where there is one."""
    network = bert.Bert(encoder, adapter, torch.float32 if smoke else bert.precision())
    pairs = PairTokenizer(encoder.tokenizer)
    return Learner(
        network,
        pairs,
        options.RATE,
        lambda rows, labels: bert.loss(network, pairs, rows, labels),
        lambda rows: bert.scores(network, pairs, rows),
    )


def of_t5(name: str, max_length: int) -> tuple[Learner, Callable[[float, Path], None]]:
    """A T5 that learns to choose a label word, and how to write it into a folder."""
    network, words = t5.pretrained(name)
    pairs, first = t5.pair_tokenizer(words, max_length), t5.label_tokens(words)
    network.to("cuda" if torch.cuda.is_available() else "cpu")

    def write(temperature: float, folder: Path) -> None:
        network.to("cpu")  # what is published is of no device
        network.save_pretrained(folder / "transformers")
        words.save_pretrained(folder / "transformers")
        t5.export(network, first, temperature, folder / "model.onnx")

    learner = Learner(
        network,
        pairs,
        options.T5_RATE,
        lambda rows, labels: t5.loss(network, pairs, rows, labels, first),
        lambda rows: t5.scores(network, pairs, rows, first),
    )
    return learner, write


def learn(
    learner: Learner,
    given: Pairs,
    first: Pairs | None,
    calibrate: Pairs,
    args: Namespace,
    checkpoints: Checkpoints | None,
    report: Reporter,
) -> float:
    """Teach a model in place.

    Args:
        learner: as new.
        given: what to learn.
        first: what only the first epoch learns.
        calibrate: what chooses the epoch and the temperature.
        args: of `options`; with every number decided.
        checkpoints: where states go; None keeps none.
        report: says how it goes.

    Returns:
        The temperature.
    """
    tokenised = [
        learner.pairs.encode(each.premises, each.hypotheses)[0]
        for each in (given, *([first] if first else []))
    ]
    rows = [row for each in tokenised for row in each]
    labels = np.concatenate([given.labels, *([first.labels] if first else [])])
    lesson = Lesson(rows, labels, args.epochs, args.learning_rate, len(first) if first else 0)
    held_out, _ = learner.pairs.encode(calibrate.premises, calibrate.hypotheses)
    lessons.learn(
        learner.network,
        lesson,
        batch_size=args.batch_size,
        accumulation_steps=args.gradient_accumulation_steps,
        seed=args.seed,
        loss=lambda chosen: learner.loss([rows[row] for row in chosen], labels[chosen]),
        held_out_loss=lambda: calibration.log_loss(learner.scores(held_out), calibrate.labels),
        checkpoints=checkpoints,
        checkpoint_steps=args.checkpoint_steps,
        report=report,
    )
    return calibration.fit_temperature(learner.scores(held_out), calibrate.labels)
