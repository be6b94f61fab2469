"""Fit the shipped adapter's temperature anew, on a sample that judges nothing.

python -m training.entailment.temperature

Writes the adapter's file, whose weights stay as they are, and prints what it fitted.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import training.export.encoder
from predictors.nli import PairTokenizer
from training.entailment import calibration, encoder, pairs
from training.entailment.adapter import SHIPPED, Adapter
from training.entailment.judged import answers
from training.export import scikit

MAX_LENGTH = 128


def fitted(known: Adapter, model: encoder.Encoder, fit: pairs.Pairs) -> Adapter:
    """The same adapter, with the temperature that makes the labels of these pairs likeliest."""
    with tempfile.TemporaryDirectory(prefix="serin-temperature-") as folder:
        graph = training.export.encoder.to_onnx(model.config, known.merged(model), 1.0)
        scikit.save(graph, Path(folder) / "model.onnx")
        judged = answers(Path(folder), PairTokenizer(model.tokenizer), fit)
    scores = np.log(judged["probabilities"].astype(np.float64) + 1e-12)
    return replace(known, temperature=calibration.fit_temperature(scores, fit.labels))


def main() -> None:
    """Fit, write, print."""
    fit = pairs.held_out()
    known = Adapter.read(SHIPPED)
    made = fitted(known, encoder.read(encoder.MINILM, MAX_LENGTH), fit)
    made.write(SHIPPED)
    print(f"temperature {made.temperature:.4f} (it was {known.temperature:.4f}), {len(fit)} pairs")


if __name__ == "__main__":
    main()
