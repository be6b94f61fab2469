"""Models of texts beside one peer, each question a module: `serin bench --models nli`.

They are not asked for one numeric row, so rates of wrk and h2load say nothing of them. A module has
`measured(artifact, asked)`, which measures and returns what its result file says.
"""

import importlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from controlplane import parts
from scripts.benchmark.artifacts import MANIFEST, trained
from scripts.benchmark.peer import STOCK
from scripts.benchmark.repository import home
from scripts.benchmark.result.provenance import provenance
from scripts.benchmark.serving.machine import Cores, OthersShare, load_average

_ALL = frozenset({"models", "peers", "artifacts", "output"})
_LOADS = _ALL | {"connections", "seconds", "rounds"}
QUESTIONS = {
    ("nli", STOCK): ("nli", ("finetune-nli",), _LOADS),
    ("causal-lm", STOCK): ("causal_lm", ("finetune-causal-lm",), _LOADS),
    ("causal-lm", "llama.cpp"): ("language.speed", (), _ALL | {"connections", "rounds"}),
    ("causal-lm", "float32"): ("language.greedy", (), _ALL),
}
"""Model and peer → module; the parts that it needs beside those of training and serving; the
options of `bench` that it heeds.
"""
PACKAGES = ("kserve", "onnxruntime", "tokenizers", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class Asked:
    """How much is measured."""

    connections: tuple[int, ...]
    """Requests, or prompts, side by side."""
    seconds: int
    rounds: int


def names() -> set[str]:
    """The models that are asked here."""
    return {model for model, _ in QUESTIONS}


def check(model: str, peer: str, given: Iterable[str]) -> None:
    """Refuse what no question answers, and options that it would not heed.

    Raises:
        click.UsageError: No question compares the model with the peer, or not by what is given.
    """
    if (model, peer) not in QUESTIONS:
        known = ", ".join(other for name, other in QUESTIONS if name == model)
        raise click.UsageError(
            f"{model} is not compared with {peer}; --peers takes one of: {known}"
        )
    _, _, heeded = QUESTIONS[model, peer]
    if unheeded := sorted(set(given) - heeded):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unheeded)
        raise click.UsageError(f"{model} beside {peer} takes no {options}")


def run(model: str, peer: str, asked: Asked, artifacts: Path | None, output: Path) -> None:
    """Measure, and write <date>-<model>.json; with another peer than stock KServe, its name, too.

    Raises:
        BenchmarkError: It could not be measured, or answers differ that should not.
    """
    module, needed, _ = QUESTIONS[model, peer]
    parts.install([f"train-{model}", f"serve-{model}", *needed])
    artifact = trained(model, home(), artifacts, None)
    question = importlib.import_module(f"scripts.benchmark.{module}")
    at_start, others = load_average(), OthersShare(Cores.choose())
    measured: dict[str, Any] = question.measured(artifact, asked)
    manifest = json.loads((artifact / MANIFEST).read_bytes())
    document = {
        **provenance("./serin", "bench", arguments=sys.argv[2:]),
        "versions": {name: version(name) for name in PACKAGES if find_spec(name)},
        "model": {"name": manifest["model"], "data": manifest["data"]},
        "noise": {"load_average_at_start": at_start, "others_share": others.measure()},
        **measured,
    }
    kind = model if peer == STOCK else f"{model}-{peer}"
    result = output / f"{document['date']}-{kind}.json"
    output.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    click.echo(f"Written: {result}")
