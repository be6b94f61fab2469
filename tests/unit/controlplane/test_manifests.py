"""The repository's manifests as the laptop reads them."""

from pathlib import Path

import pytest

from controlplane.errors import ManifestError
from controlplane.local.manifests import models, of_models, read

ROOT = Path(__file__).parents[3]


def test_every_model_has_its_runtime_and_its_scaling() -> None:
    """What `up` applies for one model: what all share, its service, runtime and ScaledObjects."""
    found = read(ROOT)

    for name in models(found):
        own = of_models(found, [name])
        kinds = [one["kind"] for one in own]
        targets = {
            one["spec"]["scaleTargetRef"]["name"] for one in own if one["kind"] == "ScaledObject"
        }

        assert kinds.index("Namespace") < kinds.index("ServingRuntime")
        assert kinds.index("ServingRuntime") < kinds.index("InferenceService")
        assert kinds.count("InferenceService") == 1
        runtimes = {one["metadata"]["name"] for one in own if one["kind"] == "ServingRuntime"}
        (service,) = (one for one in own if one["kind"] == "InferenceService")
        # Its own, and the one that a format chooses, which models of one's own are served by.
        assert runtimes == {service["spec"]["predictor"]["model"]["runtime"], "serin-onnx"}
        assert f"{name}-predictor" in targets


def test_a_file_that_no_kustomization_names_is_not_applied(tmp_path: Path) -> None:
    """As `kubectl apply -k` does; one that is named and missing is an error."""
    for folder in ("kserve", "keda"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "kustomization.yaml").write_text("kind: Kustomization", "utf-8")
    (tmp_path / "keda" / "iris.yaml").write_text("kind: ScaledObject", "utf-8")

    assert read(tmp_path) == []
    (tmp_path / "keda" / "kustomization.yaml").write_text(
        "kind: Kustomization\nresources: [other.yaml]", "utf-8"
    )
    with pytest.raises(ManifestError, match=r"^keda/other\.yaml is missing"):
        read(tmp_path)


def test_broken_yaml_names_its_file(tmp_path: Path) -> None:
    """A typing error in a manifest is one sentence, not a traceback."""
    (tmp_path / "kserve").mkdir()
    (tmp_path / "kserve" / "kustomization.yaml").write_text(
        "kind: Kustomization\nresources: [iris.yaml]", "utf-8"
    )
    (tmp_path / "kserve" / "iris.yaml").write_text("a: [", "utf-8")

    with pytest.raises(ManifestError, match=r"^kserve/iris\.yaml is not YAML"):
        read(tmp_path)
