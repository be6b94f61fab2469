"""Pairs judged by the ONNX graph that will be served."""

from pathlib import Path

import numpy as np
import onnxruntime

from predictors.nli import LABELS, PairTokenizer
from training.entailment.pairs import Pairs
from training.publish.gates import Arrays

BATCH = 16  # pairs judged at once


def answers(folder: Path, reading: PairTokenizer, test: Pairs) -> Arrays:
    """What model.onnx says of pairs, under the names that the predictor uses."""
    threads = onnxruntime.SessionOptions()
    threads.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(folder / "model.onnx", threads)
    names = {tensor.name for tensor in session.get_inputs()}
    rows, truncated = reading.encode(test.premises, test.hypotheses)
    order = np.argsort([len(row) for row in rows], kind="stable")
    probabilities = np.empty((len(rows), len(LABELS)), np.float32)
    for start in range(0, len(rows), BATCH):
        chosen = order[start : start + BATCH]
        padded = reading.padded([rows[number] for number in chosen])
        feed = {name: array for name, array in padded.items() if name in names}
        (probabilities[chosen],) = session.run(["probabilities"], feed)
    labels = [LABELS[label].encode() for label in probabilities.argmax(axis=1)]
    return {
        "label": np.array(labels, object),
        "probabilities": probabilities,
        "truncated": truncated,
    }
