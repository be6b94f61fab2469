"""What trainings of models that read digits have in common: --data, the measure, the artifact."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

import predictors.digits.model
import training.digits.data
from predictors.digits.model import DigitModel
from predictors.runtime import build_manifest, golden_sample
from training import script
from training.digits.data import BUNDLED, MNIST, Digits, bundled, mnist
from training.progress import Reporter
from training.publish.artifact import code_identity, write_manifest
from training.publish.gates import Arrays, require_accuracy, require_parity

TOLERANCE = 1e-5  # of a probability; engines add up float32 in different orders
GOLDEN = slice(0, 2)  # digits of the test set
SOURCES = (__file__, training.digits.data.__file__, predictors.digits.model.__file__)


def flags(
    module: str, document: str | None, min_accuracy: Mapping[str, float]
) -> argparse.ArgumentParser:
    """The flags of every training script, and --data.

    Args:
        module: as started with `python -m`.
        document: the module's docstring.
        min_accuracy: for MNIST, and for BUNDLED.
    """
    gates = f"{min_accuracy[MNIST]} on MNIST, {min_accuracy[BUNDLED]} on bundled digits"
    parser = script.flags(module, document, min_accuracy=gates)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="MNIST's four idx files, gzipped or not (default: scikit-learn's bundled digits)",
    )
    return parser


def data(args: argparse.Namespace) -> Digits:
    """What --data names, or the bundled digits; a few of them for --smoke."""
    digits = bundled(args.seed) if args.data is None else mnist(args.data)
    return digits.few() if args.smoke else digits


def evaluate(
    digits: Digits,
    read: npt.NDArray[np.int64],
    args: argparse.Namespace,
    min_accuracy: Mapping[str, float],
    report: Reporter,
) -> dict[str, Any]:
    """Metrics of a model on the test set.

    Args:
        digits: with the right labels.
        read: (rows,) what the model takes them for.
        args: --smoke leaves the gate open, --min-accuracy moves it.
        min_accuracy: by the data's name.
        report: says how good it is.

    Raises:
        GateError: it reads too badly.
    """
    confused = confusion_matrix(digits.test_labels, read, labels=range(10))
    metrics: dict[str, Any] = {
        "accuracy": float((read == digits.test_labels).mean()),
        "worst_digit_recall": float((confused.diagonal() / confused.sum(axis=1)).min()),
    }
    report.say(
        f"accuracy {metrics['accuracy']:.4f} on {len(read)} digits not trained on; of the worst "
        f"read digit {metrics['worst_digit_recall']:.1%} are found"
    )
    if args.smoke:
        metrics["smoke"] = True
    else:
        asked = args.min_accuracy
        require_accuracy(metrics["accuracy"], min_accuracy[digits.name] if asked == -1 else asked)
    return metrics


def complete(
    folder: Path,
    model: str,
    predictor: type[DigitModel],
    digits: Digits,
    answers: Arrays,
    report: Reporter,
    *,
    metrics: dict[str, Any],
    settings: dict[str, Any],
    sources: tuple[str, ...],
    libraries: tuple[str, ...] = (),
) -> None:
    """Make an artifact of exported files: the manifest, then the parity gate.

    Args:
        folder: with model.onnx, and what else is published.
        model: its name.
        predictor: the class that will serve it.
        digits: the data it was trained on.
        answers: what the trained model says of the test set, by output name.
        report: says how far the served model is from it.
        metrics: of `evaluate`, and the model's own.
        settings: of the training, beside the data's identity.
        sources: files of the model's own that decide its bytes.
        libraries: packages that do, beside those of every model.

    Raises:
        GateError: what will be served answers otherwise than what was trained.
    """
    given = {"input-0": digits.test_pixels.reshape(predictor.inputs[0].shape)}
    manifest = build_manifest(
        folder,
        model=model,
        engine="onnxruntime",
        inputs=predictor.inputs,
        outputs=predictor.outputs,
        metrics=metrics,
        data={**digits.identity, **settings},
        code=code_identity(*sources, *SOURCES, libraries=libraries),
        golden_sample=golden_sample(
            predictor.inputs,
            predictor.outputs,
            {name: array[GOLDEN] for name, array in given.items()},
            {name: array[GOLDEN] for name, array in answers.items()},
        ),
    )
    write_manifest(folder, manifest)
    off = require_parity(predictor, folder, given, answers, TOLERANCE)
    rows = len(digits.test_labels)
    report.say(f"parity: {rows} digits read alike, probabilities within {off:.1e}")
