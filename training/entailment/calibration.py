"""How far probabilities can be believed: one temperature, and the error that is left with it.

Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599): dividing the scores
by one number, fitted on pairs not trained on, changes no answer and most of the overconfidence.
"""

from math import exp, log, sqrt

import numpy as np
import numpy.typing as npt
from scipy import special  # type: ignore[import-untyped]  # no stubs
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]  # no stubs

BINS = 15  # as in Guo et al.
_RANGE = (0.05, 20.0)  # of temperatures; a fit at one of these ends means that the model is broken
_Z = 1.959964  # of a 95 % interval

Scores = npt.NDArray[np.float64]  # (rows, classes): before softmax
Labels = npt.NDArray[np.int64]  # (rows,)


def fit_temperature(scores: Scores, labels: Labels) -> float:
    """The temperature that makes the labels likeliest; above 1 the model was too sure."""

    def loss(log_temperature: float) -> float:
        return log_loss(scores / exp(log_temperature), labels)

    bounds = (log(_RANGE[0]), log(_RANGE[1]))
    return exp(float(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def softmax(scores: Scores) -> npt.NDArray[np.float64]:
    """Probabilities, (rows, classes)."""
    found: npt.NDArray[np.float64] = special.softmax(scores, axis=1)
    return found


def log_loss(scores: Scores, labels: Labels) -> float:
    """Mean of -log p of the right class, nats."""
    return -float(special.log_softmax(scores, axis=1)[np.arange(len(labels)), labels].mean())


def expected_calibration_error(probabilities: npt.NDArray[np.floating], labels: Labels) -> float:
    """Mean distance of confidence from accuracy, over `BINS` bins of equal width.

    Args:
        probabilities: (rows, classes), each row sums to 1.
        labels: (rows,) the right class.

    Returns:
        0 … 1; 0 where of the answers given with 70 % seven in ten are right, and so on.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = [
        abs(float(right[bins == one].sum()) - float(confidence[bins == one].sum()))
        for one in np.unique(bins)
    ]
    return sum(gaps) / len(labels)


def wilson_interval(right: int, rows: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    share = right / rows
    centre = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    half = _Z / (1 + _Z**2 / rows) * sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    return centre - half, centre + half
