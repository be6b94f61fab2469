"""Premises, hypotheses and what holds between them: MultiNLI's JSONL files, through `datasets`.

Known forms of a line: MultiNLI's and SNLI's own (sentence1, sentence2, gold_label, where "-" means
that annotators disagreed: left out) and Hugging Face's (premise, hypothesis, label as a word or as
0, 1, 2, where -1 means the same).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.nli import LABELS
from training.errors import DataError

_UNDECIDED = ("-", -1)
_FIELDS = (("premise", "hypothesis", "label"), ("sentence1", "sentence2", "gold_label"))
_HELD_OUT = 10  # one in so many is held out where no file to test on is there


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of one kind; `labels` are indices into LABELS."""

    name: str
    premises: list[str]
    hypotheses: list[str]
    labels: npt.NDArray[np.int64]

    @classmethod
    def of(cls, name: str, rows: Iterable[tuple[str, str, str]]) -> "Pairs":
        """Rows of (premise, hypothesis, label)."""
        premises, hypotheses, labels = zip(*rows, strict=True)
        indices = np.array([LABELS.index(label) for label in labels])
        return cls(name, list(premises), list(hypotheses), indices)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> "Pairs":
        """These rows, in this order."""
        return Pairs(
            self.name,
            [self.premises[row] for row in rows],
            [self.hypotheses[row] for row in rows],
            self.labels[np.asarray(rows, np.int64)],
        )

    def texts(self) -> list[str]:
        """Every premise and hypothesis."""
        return [*self.premises, *self.hypotheses]

    @property
    def sha256(self) -> str:
        """Of all texts and labels, in order."""
        digest = hashlib.sha256(self.labels.tobytes())
        for text in self.texts():
            digest.update(text.encode() + b"\0")
        return digest.hexdigest()


def read(data: Path, test: Path | None) -> tuple[Pairs, Pairs]:
    """What to learn and what to test on.

    Args:
        data: a file of pairs; or a folder such as MultiNLI's, with a file of `train` and one of
            `dev_matched` in its name.
        test: a file to test on; without one the folder's, or else every tenth pair of `data`.

    Raises:
        DataError: a file is missing, or a line is no pair; names both.
    """
    if data.is_dir():
        learnt = read_file(_only(data, "*train*.jsonl"))
        return learnt, read_file(test or _only(data, "*dev_matched*.jsonl"))
    pairs = read_file(data)
    if test:
        return pairs, read_file(test)
    held_out = np.arange(len(pairs)) % _HELD_OUT == 0
    return pairs.take(np.flatnonzero(~held_out)), pairs.take(np.flatnonzero(held_out))


def read_file(path: Path) -> Pairs:
    """Every decided pair of one JSONL file.

    Raises:
        DataError: it cannot be read, or a line is no pair; names the line.
    """
    from datasets import load_dataset  # a second or two, which only --data needs

    if not path.is_file():
        raise DataError(f"{path} is no file: expected JSON lines of premise, hypothesis and label")
    try:
        # Streaming reads the file itself, and leaves no copy in a cache.
        lines = list(load_dataset("json", data_files=str(path), split="train", streaming=True))
    except Exception as error:  # datasets has no common base class
        raise DataError(f"{path} cannot be read as JSON lines: {_first_line(error)}") from error
    rows = [row for number, line in enumerate(lines, 1) if (row := _row(path, number, line))]
    if not rows:
        raise DataError(f"{path} holds no pairs")
    return Pairs.of(path.stem, rows)


def _row(path: Path, number: int, line: dict[str, Any]) -> tuple[str, str, str] | None:
    """One pair, or None where annotators disagreed."""
    for fields in _FIELDS:
        if fields[2] in line:
            premise, hypothesis, label = (line.get(field) for field in fields)
            break
    else:
        raise DataError(f"{path}: line {number} has neither of the fields label and gold_label")
    if label in _UNDECIDED:
        return None
    if isinstance(label, int) and 0 <= label < len(LABELS):
        label = LABELS[label]
    if label not in LABELS:
        raise DataError(f"{path}: line {number}: expected one of {LABELS}, got {label!r}")
    for field, text in zip(fields, (premise, hypothesis), strict=False):
        if not isinstance(text, str):
            raise DataError(f"{path}: line {number}: {field} must be text, got {text!r:.40}")
    return str(premise), str(hypothesis), str(label)


def _only(folder: Path, pattern: str) -> Path:
    """The one file of a folder that is called so."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{folder}: expected one file {pattern}, found {names}; name a file")
    return found[0]


def _first_line(error: Exception) -> str:
    cause = error.__cause__ or error
    return str(cause).partition("\n")[0]
