"""scikit-learn models, read without running code unless it is trusted, and converted to ONNX."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from training.export.scikit import to_onnx
from training.modelfile.errors import PublishError

Array = npt.NDArray[Any]
INPUT = "features"
_NUMBERS_ALONE = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Compiled types of scikit-learn that skops asks about: they hold arrays, and call nothing."""
_TOLERANCE = 1e-3  # relative: ONNX computes in float32, scikit-learn in float64


def unskopsed(path: Path) -> Any:
    """A model that skops saved: named types and arrays, of which only known types are made.

    Raises:
        PublishError: it is damaged, or holds types that skops does not know.
    """
    from skops import io

    try:
        unknown = set(io.get_untrusted_types(file=path)) - set(_NUMBERS_ALONE)
        if not unknown:
            return io.load(path, trusted=list(_NUMBERS_ALONE))
    except Exception as error:
        raise PublishError(f"{path} is not what skops writes: {_line(error)}") from error
    raise PublishError(
        f"{path} holds types that are not scikit-learn's or numpy's "
        f"({', '.join(sorted(unknown)[:5])}), and loading them could run any code: convert it with "
        "skl2onnx where you trust it, and publish that"
    )


def unpickled(path: Path, *, trusted: bool) -> Any:
    """A pickled model; reading one runs whatever code is in it.

    Raises:
        PublishError: nobody said that it is trusted, or it cannot be read.
    """
    if not trusted:
        raise PublishError(
            f"{path} is a pickle, and reading a pickle runs the code in it: save the model with "
            "skops.io.dump, or say --trust-pickle if you know who made it"
        )
    import joblib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # another scikit-learn's: it may answer otherwise
            return joblib.load(path)
    except Exception as error:
        raise PublishError(f"{path} cannot be unpickled: {_line(error)}") from error


def converted(path: Path, estimator: Any) -> onnx.ModelProto:
    """An estimator as a graph from (batch, features) float32.

    Raises:
        PublishError: it is no fitted classifier or regressor, or skl2onnx knows it not.
    """
    from sklearn.base import BaseEstimator

    if not isinstance(estimator, BaseEstimator) or not hasattr(estimator, "predict"):
        kind = type(estimator).__name__
        raise PublishError(f"{path} holds a {kind}, which is no scikit-learn model that predicts")
    width = getattr(estimator, "n_features_in_", None)
    if width is None:
        raise PublishError(
            f"{path} holds a {type(estimator).__name__} that does not say how many numbers it "
            "takes: it is not fitted, or takes texts; convert it with skl2onnx and publish that"
        )
    try:
        return to_onnx(estimator, "model", features=(INPUT, int(width)))
    except Exception as error:
        raise PublishError(f"skl2onnx cannot convert {path}: {_line(error)}") from error


def labels_of(estimator: Any) -> dict[str, tuple[str, ...]]:
    """The classes as names of the columns of `probabilities`."""
    classes = getattr(estimator, "classes_", None)
    if classes is None or isinstance(classes, list):
        return {}
    return {"probabilities": tuple(str(one) for one in np.asarray(classes).tolist())}


def require_parity(estimator: Any, given: Array, answered: dict[str, Array]) -> float:
    """Compare what is to be served with what scikit-learn itself answers.

    Returns:
        The largest difference, relative to numbers above 1.

    Raises:
        PublishError: they differ.
    """
    expected = {}
    if "probabilities" in answered and hasattr(estimator, "predict_proba"):
        expected["probabilities"] = estimator.predict_proba(given)
    elif "probabilities" not in answered:
        (name,) = answered
        expected[name] = estimator.predict(given)
    largest = 0.0
    for name, wanted in expected.items():
        got = answered[name].reshape(np.shape(wanted))
        off = np.abs(got - wanted) / np.maximum(np.abs(wanted), 1)
        largest = max(largest, float(off.max(initial=0)))
    if not largest <= _TOLERANCE:
        raise PublishError(
            f"the converted model differs from scikit-learn's by {largest:.2g} for the sample "
            f"(at most {_TOLERANCE:g} is rounding): not published"
        )
    return largest


def _line(error: Exception) -> str:
    return " ".join((str(error) or repr(error)).split())[:300]
