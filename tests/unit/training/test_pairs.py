"""Pairs: read in the forms that people have them, and refused by line."""

import json
from pathlib import Path

import pytest

from training.entailment.pairs import read, read_file
from training.errors import DataError

OURS = {"premise": "A dog runs.", "hypothesis": "An animal runs.", "label": "entailment"}
MULTINLI = {"sentence1": "A dog runs.", "sentence2": "A cat.", "gold_label": "contradiction"}


def write(path: Path, *lines: object) -> Path:
    """JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("line", "label"),
    [
        (OURS, 0),
        (OURS | {"label": 1}, 1),
        (MULTINLI, 2),
        (MULTINLI | {"genre": "fiction", "pairID": "7"}, 2),
    ],
)
def test_the_known_forms_are_read(tmp_path: Path, line: dict[str, object], label: int) -> None:
    """MultiNLI's own field names, and Hugging Face's with words or numbers."""
    pairs = read_file(write(tmp_path / "pairs.jsonl", line))

    assert pairs.labels.tolist() == [label]
    assert pairs.premises == ["A dog runs."]


def test_pairs_without_a_gold_label_are_left_out(tmp_path: Path) -> None:
    """Where annotators disagreed there is nothing to learn."""
    file = write(tmp_path / "a.jsonl", MULTINLI, MULTINLI | {"gold_label": "-"})

    assert len(read_file(file)) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (OURS | {"label": "maybe"}, "line 2: expected one of .*, got 'maybe'"),
        (OURS | {"label": 3}, "line 2: expected one of .*, got 3"),
        (OURS | {"premise": None}, "line 2: premise must be text, got None"),
    ],
)
def test_what_is_no_pair_is_named_by_line(
    tmp_path: Path, line: dict[str, object], message: str
) -> None:
    """The file, the line, what was expected and what came."""
    with pytest.raises(DataError, match=message) as refused:
        read_file(write(tmp_path / "pairs.jsonl", OURS, line))

    assert "pairs.jsonl" in str(refused.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    """No file, no JSON, no labels, nothing."""
    (tmp_path / "text.jsonl").write_text("no JSON\n")
    (tmp_path / "empty.jsonl").write_text("")
    write(tmp_path / "other.jsonl", {"text": "a"})
    for name in ("none.jsonl", "text.jsonl", "empty.jsonl", "other.jsonl"):
        with pytest.raises(DataError, match=name):
            read_file(tmp_path / name)


def test_a_folder_is_taken_for_multinlis(tmp_path: Path) -> None:
    """Its training and dev-matched files, whatever else is there; two of a kind are a question."""
    write(tmp_path / "multinli_1.0_train.jsonl", OURS, OURS)
    write(tmp_path / "multinli_1.0_dev_matched.jsonl", MULTINLI)
    write(tmp_path / "multinli_1.0_dev_mismatched.jsonl", OURS)
    learnt, tested = read(str(tmp_path), None)

    assert (len(learnt), len(tested)) == (2, 1)
    write(tmp_path / "another_train.jsonl", OURS)
    with pytest.raises(DataError, match="expected one file"):
        read(str(tmp_path), None)


def test_every_tenth_pair_of_a_lone_file_is_for_the_test(tmp_path: Path) -> None:
    """And is not learnt."""
    lines = [OURS | {"premise": str(number)} for number in range(20)]
    learnt, tested = read(str(write(tmp_path / "pairs.jsonl", *lines)), None)

    assert tested.premises == ["0", "10"]
    assert len(learnt) == 18
