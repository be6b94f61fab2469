"""Premises, hypotheses and what holds between them: JSON lines, or a data set of a hub.

Known forms of a line: MultiNLI's and SNLI's own (sentence1, sentence2, gold_label, where "-" means
that annotators disagreed: left out) and Hugging Face's (premise, hypothesis, label as a word or as
0, 1, 2, where -1 means the same).
"""

import gzip
import hashlib
import json
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
_FILES = (".jsonl", ".json", ".gz")
_TESTS = ("validation_matched", "dev_matched", "validation", "dev", "test")  # MultiNLI's first
_SAMPLES = Path(__file__).with_name("minilm")
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


def held_out() -> Pairs:
    """What the adapter's temperature is fitted on: of MultiNLI's training set, and never learnt."""
    return read_file(_SAMPLES / "held_out.jsonl.gz")


def gate() -> Pairs:
    """What a publication is judged by: every eighth pair of MultiNLI's dev-matched set."""
    return read_file(_SAMPLES / "gate.jsonl.gz")


def read(data: str, test: Path | None) -> tuple[Pairs, Pairs]:
    """What to learn and what to test on.

    Args:
        data: a file of pairs; a folder such as MultiNLI's, with a file of `train` and one of
            `dev_matched` in its name; or a data set of the Hugging Face hub, by its id, or a
            folder with a copy of it.
        test: a file to test on; without one the folder's, or else every tenth pair of `data`.

    Raises:
        DataError: a file is missing, or a line is no pair; names both.
    """
    path = Path(data).expanduser()
    if path.is_dir() and list(path.glob("*.jsonl*")):
        learnt = read_file(_only(path, "*train*.jsonl*"))
        return learnt, read_file(test or _only(path, "*dev_matched*.jsonl*"))
    if path.is_dir() or not (path.exists() or path.suffix in _FILES or path.is_absolute()):
        learnt, judged = _data_set(str(path) if path.is_dir() else data)
        return learnt, read_file(test) if test else judged
    pairs = read_file(path)
    if test:
        return pairs, read_file(test)
    apart = np.arange(len(pairs)) % _HELD_OUT == 0
    return pairs.take(np.flatnonzero(~apart)), pairs.take(np.flatnonzero(apart))


def read_file(path: Path) -> Pairs:
    """Every decided pair of a file of JSON lines, gzipped where its name ends with .gz.

    Raises:
        DataError: it cannot be read, or a line is no pair; names the line.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file: expected JSON lines of premise, hypothesis and label")
    rows = []
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as file
        ):
            for number, text in enumerate(file, 1):
                if text.strip() and (row := _row(f"{path}: line {number}", _object(text, number))):
                    rows.append(row)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON lines: {_first_line(error)}") from error
    if not rows:
        raise DataError(f"{path} holds no pairs")
    return Pairs.of(path.name.partition(".")[0], rows)


def _data_set(name: str) -> tuple[Pairs, Pairs]:
    """The training pairs of a data set in a hub's layout, and those it validates with."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise DataError(
            f"data sets of a hub need packages that are not installed ({error.name}): "
            "./serin install finetune-nli"
        ) from error
    try:
        parts = load_dataset(name)
    except Exception as error:  # datasets has no common base class
        raise DataError(
            f"--data {name}: there is no such file or folder, and no data set of that name: "
            f"{_first_line(error)}"
        ) from error
    test = next((split for split in _TESTS if split in parts), None)
    if "train" not in parts or test is None:
        raise DataError(
            f"--data {name} has the splits {', '.join(parts)}: expected train and one of "
            f"{', '.join(_TESTS)}"
        )
    return _split(name, "train", parts["train"]), _split(name, test, parts[test])


def _split(name: str, split: str, lines: Iterable[dict[str, Any]]) -> Pairs:
    rows = [
        row
        for number, line in enumerate(lines, 1)
        if (row := _row(f"{name}: {split}: row {number}", line))
    ]
    if not rows:
        raise DataError(f"{name}: {split} holds no pairs")
    return Pairs.of(f"{Path(name).name}-{split}", rows)


def _object(text: str, number: int) -> dict[str, Any]:
    line = json.loads(text)
    if not isinstance(line, dict):
        raise ValueError(f"line {number} is no object")  # noqa: TRY004 - as json says of a text
    return line


def _row(place: str, line: dict[str, Any]) -> tuple[str, str, str] | None:
    """One pair, or None where annotators disagreed."""
    for fields in _FIELDS:
        if fields[2] in line:
            premise, hypothesis, label = (line.get(field) for field in fields)
            break
    else:
        raise DataError(f"{place} has neither of the fields label and gold_label")
    if label in _UNDECIDED:
        return None
    if isinstance(label, int) and 0 <= label < len(LABELS):
        label = LABELS[label]
    if label not in LABELS:
        raise DataError(f"{place}: expected one of {LABELS}, got {label!r}")
    for field, text in zip(fields, (premise, hypothesis), strict=False):
        if not isinstance(text, str):
            raise DataError(f"{place}: {field} must be text, got {text!r:.40}")
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
