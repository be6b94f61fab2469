"""What learns pairs, as the script needs it: an encoder with its adapter, a T5 or a DeBERTa."""

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from predictors.nli import LABELS, PairTokenizer, Row
from training.entailment import bert, calibration, deberta, lessons, options, t5, whole
from training.entailment.adapter import Adapter
from training.entailment.encoder import Encoder
from training.entailment.lessons import Lesson
from training.entailment.pairs import Pairs
from training.progress import Reporter
from training.publish.checkpoints import Checkpoints

SMOOTHING = 0.05  # of the labels learnt: none is certain
_BATCH = 64  # pairs scored at once


@dataclass(frozen=True, slots=True)
class Learner:
    """A model before it learns.

    Attributes:
        network: of torch.
        pairs: how it reads.
        rate: at its highest, where none is told.
        asked: scores of rows before softmax, (pairs, labels).
    """

    network: torch.nn.Module
    pairs: PairTokenizer
    rate: float
    asked: Callable[[Sequence[Row]], torch.Tensor]

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(part.numel() for part in self.network.parameters())

    def loss(self, rows: Sequence[Row], labels: npt.NDArray[np.int64]) -> torch.Tensor:
        """Mean over pairs of the loss of choosing the right label."""
        scores = self.asked(rows)
        right = torch.from_numpy(labels).to(scores.device)
        return torch.nn.functional.cross_entropy(scores, right, label_smoothing=SMOOTHING)

    @torch.no_grad()
    def scores(self, rows: Sequence[Row]) -> npt.NDArray[np.float64]:
        """Scores of the labels before softmax, (pairs, labels)."""
        self.network.eval()
        answers = np.empty((len(rows), len(LABELS)))
        order = np.argsort([len(row) for row in rows], kind="stable")
        for start in range(0, len(rows), _BATCH):
            batch = order[start : start + _BATCH]
            answers[batch] = self.asked([rows[number] for number in batch]).cpu().numpy()
        return answers

    def adapter(self, temperature: float) -> Adapter:
        """What an encoder has learnt; the network then answers as the file will have it."""
        assert isinstance(self.network, bert.Bert)  # noqa: S101 - no other has one
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
    return Learner(network, pairs, options.RATE, lambda rows: bert.asked(network, pairs, rows))


def of_transformers(name: str, max_length: int) -> tuple[Learner, Callable[[float, Path], None]]:
    """A T5 or a DeBERTa that learns as a whole, and how to write it into a folder."""
    network, words = whole.pretrained(name)
    given: tuple[str, ...]
    served: Callable[[float], torch.nn.Module]
    if network.config.model_type in whole.DEBERTAS:
        deberta.own_head(network)
        pairs, given = deberta.pair_tokenizer(network, words, max_length), deberta.GIVEN
        rate, asked = options.DEBERTA_RATE, partial(deberta.asked, network, pairs)
        served = partial(deberta.Served, network, pairs.pad)
    else:
        first = t5.label_tokens(words)
        pairs, given = t5.pair_tokenizer(words, max_length), ("input_ids",)
        rate, asked = options.T5_RATE, partial(t5.asked, network, pairs, first=first)
        served = partial(t5.Served, network, first)
    network.to("cuda" if torch.cuda.is_available() else "cpu")

    def write(temperature: float, folder: Path) -> None:
        network.to("cpu")  # what is published is of no device
        network.save_pretrained(folder / "transformers")
        words.save_pretrained(folder / "transformers")
        whole.export(served(temperature), given, folder / "model.onnx")

    return Learner(network, pairs, rate, asked), write


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
