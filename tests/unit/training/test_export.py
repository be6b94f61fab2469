"""ONNX files: repeatable, and forests without the votes that say nothing."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.ensemble import RandomForestClassifier

from training.export import scikit

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.random((300, 6), np.float32)
LABELS = (PIXELS[:, 0] * 10).astype(np.int64)


def _forest(**settings: object) -> RandomForestClassifier:
    return RandomForestClassifier(20, random_state=0, **settings).fit(PIXELS, LABELS)


def _answers(model: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["label", "probabilities"], {"pixels": PIXELS})


@pytest.mark.parametrize("min_samples_leaf", [1, 5])  # leaves of one class, and of several
def test_a_forest_without_zero_votes_answers_alike(min_samples_leaf: int) -> None:
    """Smaller by more than half, and not one bit of an answer differs."""
    forest = _forest(min_samples_leaf=min_samples_leaf)
    model = scikit.to_onnx(forest, "forest", features=("pixels", 6))
    before, size = _answers(model), model.ByteSize()

    scikit.drop_zero_votes(model)
    after = _answers(model)

    assert model.ByteSize() < size / 2
    assert np.array_equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    assert np.allclose(forest.predict_proba(PIXELS), after[1], atol=1e-6)


def test_one_estimator_gives_one_file(tmp_path: Path) -> None:
    """No clock, random name or order of a set finds its way into the bytes."""
    for name in ("first", "second"):
        model = scikit.to_onnx(_forest(), "forest", features=("pixels", 6))
        scikit.drop_zero_votes(model)
        scikit.save(model, tmp_path / name)

    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_model_that_breaks_the_specification_is_not_written(tmp_path: Path) -> None:
    """The checker speaks before the file exists."""
    model = scikit.to_onnx(_forest(), "forest", features=("pixels", 6))
    model.graph.output[0].name = "nothing makes this"

    with pytest.raises(onnx.checker.ValidationError):
        scikit.save(model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
