"""The gates: what is not good enough, or is not served as it was trained, is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from predictors.iris import SPECIES, IrisModel
from predictors.runtime import MANIFEST, ArtifactError, build_manifest, golden_sample
from training.export import scikit
from training.publish.gates import Arrays, GateError, require_accuracy, require_parity

FLOWERS = load_iris().data.astype(np.float32)


def _native(classifier: LogisticRegression, rows: np.ndarray) -> Arrays:
    index = classifier.predict(rows)
    return {
        "class_index": index,
        "class_name": np.array([SPECIES[i].encode() for i in index], dtype=object),
        "probabilities": classifier.predict_proba(rows).astype(np.float32),
    }


@pytest.fixture(scope="module")
def classifier() -> LogisticRegression:
    """A classifier that is not the product's, so that the gate is tested and not the model."""
    return LogisticRegression(max_iter=1000).fit(FLOWERS, load_iris().target)


@pytest.fixture
def artifact(tmp_path: Path, classifier: LogisticRegression) -> Path:
    """That classifier as an artifact of iris."""
    graph = scikit.to_onnx(classifier, "iris", features=("measurements", 4))
    scikit.save(graph, tmp_path / "model.onnx")
    sample = golden_sample(
        IrisModel.inputs,
        IrisModel.outputs,
        {"input-0": FLOWERS[:2]},
        _native(classifier, FLOWERS[:2]),
    )
    manifest = build_manifest(
        tmp_path,
        model="iris",
        engine="onnxruntime",
        inputs=IrisModel.inputs,
        outputs=IrisModel.outputs,
        metrics={},
        data={},
        code={},
        golden_sample=sample,
    )
    (tmp_path / MANIFEST).write_bytes(manifest)
    return tmp_path


def test_accuracy_at_the_minimum_passes() -> None:
    """The gate is at least, not more than."""
    require_accuracy(0.9, 0.9)


@pytest.mark.parametrize("accuracy", [0.0, 0.8999, float("nan")])
def test_accuracy_below_the_minimum_is_refused(accuracy: float) -> None:
    """A score that is no number is not good enough either."""
    with pytest.raises(GateError, match=r"below --min-accuracy 0\.9000: not published"):
        require_accuracy(accuracy, 0.9)


def test_the_served_model_answers_as_the_native_one(
    artifact: Path, classifier: LogisticRegression
) -> None:
    """All flowers, within float32's precision."""
    off = require_parity(
        IrisModel, artifact, {"input-0": FLOWERS}, _native(classifier, FLOWERS), 1e-5
    )

    assert 0 < off < 1e-5


@pytest.mark.parametrize(
    ("output", "wrong", "message"),
    [
        ("class_index", lambda a: np.where(np.arange(150) < 3, 2, a), r"'class_index'.*in 3 of"),
        ("class_name", lambda a: np.roll(a, 1), r"'class_name'.* rows"),
        ("probabilities", lambda a: a + np.float32(1e-3), r"'probabilities'.*up to 0\.001"),
        ("probabilities", lambda a: np.where(a > 0.5, np.nan, a), "'probabilities'"),
        ("probabilities", lambda a: a[:, :2], r"shape \(150, 3\), natively \(150, 2\)"),
    ],
)
def test_an_answer_that_differs_is_refused_by_name(
    artifact: Path, classifier: LogisticRegression, output: str, wrong, message: str
) -> None:
    """Labels must be equal and probabilities within the tolerance."""
    expected = _native(classifier, FLOWERS)
    expected[output] = wrong(expected[output])

    with pytest.raises(GateError, match=message):
        require_parity(IrisModel, artifact, {"input-0": FLOWERS}, expected, 1e-5)


def test_parity_is_of_the_artifact_not_of_what_is_in_memory(
    artifact: Path, classifier: LogisticRegression, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file that its manifest does not vouch for is refused before anything is compared."""
    copy = tmp_path_factory.mktemp("copy") / "artifact"
    shutil.copytree(artifact, copy)
    with (copy / "model.onnx").open("ab") as file:
        file.write(b"\0")

    with pytest.raises(ArtifactError, match=r"model\.onnx in .*: expected \d+ bytes"):
        require_parity(IrisModel, copy, {"input-0": FLOWERS}, _native(classifier, FLOWERS), 1e-5)
