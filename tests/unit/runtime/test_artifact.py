"""Artifacts that are not what their manifest says: each is refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from predictors.runtime import MANIFEST, ArtifactError, TensorSpec, build_manifest, read_artifact

SPEC = TensorSpec("input-0", "FP32", (-1, 4))


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A folder with one file and its manifest."""
    (tmp_path / "model.onnx").write_bytes(b"weights")
    manifest = build_manifest(
        tmp_path,
        model="iris",
        engine="onnx",
        inputs=(SPEC,),
        outputs=(SPEC,),
        metrics={},
        data={},
        code={},
        golden_sample={"inputs": [], "outputs": []},
    )
    (tmp_path / MANIFEST).write_bytes(manifest)
    return tmp_path


def changed(artifact: Path, files: Any) -> None:
    """Write the manifest anew with these files."""
    document = json.loads((artifact / MANIFEST).read_bytes())
    (artifact / MANIFEST).write_text(json.dumps({**document, "files": files}))


@pytest.mark.parametrize("name", ["weights.bin", "inner/weights.bin", ".hidden"])
def test_a_file_that_is_not_listed_is_refused(artifact: Path, name: str) -> None:
    """Bytes that nobody vouched for could be an ONNX file's weights."""
    path = artifact / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"others")

    with pytest.raises(ArtifactError, match=f"{name} is in .* its manifest does not list it"):
        read_artifact(artifact)


def test_a_link_that_is_not_listed_is_refused(artifact: Path) -> None:
    """A link to nowhere is no file and no folder, and is found all the same."""
    (artifact / "weights.bin").symlink_to(artifact / "absent")

    with pytest.raises(ArtifactError, match="does not list it"):
        read_artifact(artifact)


@pytest.mark.parametrize(
    "files",
    [
        {},
        [],
        7,
        {"model.onnx": {}},
        {"model.onnx": {"size_bytes": 7}},
        {"model.onnx": {"sha256": 7, "size_bytes": 7}},
        {"model.onnx": {"sha256": "7", "size_bytes": "7"}},
        {"model.onnx": 7},
        {"model\0.onnx": {"sha256": "7", "size_bytes": 7}},
        {"": {"sha256": "7", "size_bytes": 7}},
    ],
    ids=str,
)
def test_a_list_of_files_of_another_form_is_refused(artifact: Path, files: Any) -> None:
    """Each entry needs a name, a size and a hash; an empty list vouches for nothing."""
    changed(artifact, files)

    with pytest.raises(ArtifactError, match=MANIFEST):
        read_artifact(artifact)


def test_a_deeply_nested_manifest_is_refused(artifact: Path) -> None:
    """Nesting past what Python's parser takes is damage, too."""
    (artifact / MANIFEST).write_text("[" * 200_000)

    with pytest.raises(ArtifactError, match="is not a manifest"):
        read_artifact(artifact)
