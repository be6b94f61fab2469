"""`serin bench` of a model of texts: which question it asks, what it refuses, what it writes."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from controlplane import parts
from scripts.benchmark import texts
from scripts.benchmark.texts import Asked
from scripts.verbs.develop import bench


@pytest.mark.parametrize(("model", "peer"), texts.QUESTIONS)
def test_every_question_is_a_module(model: str, peer: str) -> None:
    """With the function that the harness calls."""
    module, _, _ = texts.QUESTIONS[model, peer]
    path = Path(texts.__file__).parent / f"{module.replace('.', '/')}.py"

    assert "\ndef measured(artifact: Path, " in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--models", "nli,iris"], "nli is compared alone: --models nli"),
        (["--models", "nli", "--soak", "1"], "nli beside kserve takes no --soak"),
        (["--models", "nli", "--warm-up", "1"], "nli beside kserve takes no --warm-up"),
        (
            ["--models", "causal-lm", "--peers", "llama.cpp", "--seconds", "4"],
            "causal-lm beside llama.cpp takes no --seconds",
        ),
        (
            ["--models", "causal-lm", "--peers", "float32", "--rounds", "3", "--connections", "1"],
            "causal-lm beside float32 takes no --connections, --rounds",
        ),
        (["--models", "nli", "--peers", "float32"], "--peers takes one of: kserve"),
        (["--models", "causal-lm", "--peers", "x"], "one of: kserve, llama.cpp, float32"),
    ],
)
def test_what_no_question_answers_is_refused(arguments: list[str], reason: str) -> None:
    """As misuse, before anything is installed."""
    done = CliRunner().invoke(bench.command, arguments)

    assert done.exit_code == 2
    assert reason in done.output


def test_a_measured_question_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its provenance, the model and the peer in the file's name."""
    artifact = tmp_path / "causal-lm"
    artifact.mkdir()
    (artifact / "MANIFEST.json").write_text('{"model": "causal-lm", "data": {"rows": 1}}')
    told = list[Asked]()

    def measured(_: Path, asked: Asked) -> dict[str, object]:
        told.append(asked)
        return {"tokens": [1]}

    question = SimpleNamespace(measured=measured)
    monkeypatch.setitem(sys.modules, "scripts.benchmark.language.speed", question)
    monkeypatch.setattr(parts, "install", lambda _: None)
    asked = Asked((1, 8), 5, 3)
    texts.run("causal-lm", "llama.cpp", asked, tmp_path, tmp_path / "results")
    (result,) = (tmp_path / "results").iterdir()
    document = json.loads(result.read_text("utf-8"))

    assert told == [asked]
    assert result.name == f"{document['date']}-causal-lm-llama.cpp.json"
    assert document["model"] == {"name": "causal-lm", "data": {"rows": 1}}
    assert document["tokens"] == [1]
    with pytest.raises(click.ClickException, match=r"has no MANIFEST\.json"):
        texts.run("nli", "kserve", asked, tmp_path, tmp_path)
