"""The gates a model passes before it is published; where one is closed, nothing leaves here."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.runtime import V2Model, read_artifact
from training import run

Arrays = dict[str, npt.NDArray[Any]]


class GateError(Exception):
    """The model is not fit to be published; says by how much."""


def require_accuracy(accuracy: float, minimum: float) -> None:
    """Refuse a model that reads its test set too badly.

    Raises:
        GateError: `accuracy` is below `minimum`; both are shares, 0 … 1.
    """
    run.current().gate("accuracy", accuracy, minimum, passed=accuracy >= minimum)
    if not accuracy >= minimum:  # NaN is below every minimum
        raise GateError(
            f"accuracy {accuracy:.4f} on the test set is below --min-accuracy {minimum:.4f}: "
            "not published"
        )


def require_parity(
    predictor: type[V2Model], folder: Path, given: Arrays, expected: Arrays, tolerance: float
) -> float:
    """Serve the artifact, as a pod will, and compare it with the native model.

    Args:
        predictor: the class that will serve `folder`.
        folder: a whole artifact, manifest included.
        given: the test set, by input name.
        expected: what the native model answers, by output name.
        tolerance: how far a float may be off, absolute; all else must be equal.

    Returns:
        The largest difference between floats.

    Raises:
        GateError: an answer differs, naming the output.
        ArtifactError: the artifact does not load.
    """
    manifest = read_artifact(folder)
    model = predictor(manifest.model, folder, manifest)
    model.load()
    answered = model.infer(given)
    largest = 0.0
    for name, want in expected.items():
        got = answered[name]
        if want.shape != got.shape:
            raise GateError(f"parity: '{name}' has shape {got.shape}, natively {want.shape}")
        if want.dtype.kind == "f":
            off = float(np.abs(np.subtract(want, got, dtype=np.float64)).max())
            largest = max(largest, off)
            wrong = not off <= tolerance  # NaN too
        else:
            off = float(np.count_nonzero(want != got))
            wrong = off > 0
        if wrong:
            run.current().gate("parity", off, tolerance, passed=False)
            measure = f"by up to {off:.3g} (tolerance {tolerance:g})"
            rows = f"in {off:.0f} of {want.size} rows"
            raise GateError(
                f"parity: the served '{name}' differs from the trained model's "
                f"{measure if want.dtype.kind == 'f' else rows}: not published"
            )
    run.current().gate("parity", largest, tolerance, passed=True)
    return largest
