"""The artifact of one model version: a folder whose MANIFEST.json vouches for every byte in it.

The version *is* the manifest: the first 12 hex digits of its sha256. So a version never changes,
the same bytes give the same version, and a folder that mixes two versions cannot pass. Nothing
here unpickles; engines read ONNX, safetensors or JSON.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictors.runtime.v2.spec import TensorSpec

MANIFEST = "MANIFEST.json"
MANIFEST_BYTES = 16 << 20
"""Largest manifest; a larger one is not read."""
_VERSION_DIGITS = 12
_CHUNK_BYTES = 1 << 20


class ArtifactError(Exception):
    """The artifact is not what its manifest says; the message names the file."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked MANIFEST.json; `document` is the whole of it, `version` its hash."""

    version: str
    model: str
    engine: str
    document: dict[str, Any]

    @property
    def golden_sample(self) -> dict[str, Any]:
        """V2 tensors `inputs` and the `outputs` that they must give."""
        sample: dict[str, Any] = self.document["golden_sample"]
        return sample


def version_of(manifest_bytes: bytes) -> str:
    """The version that a manifest's bytes stand for."""
    return hashlib.sha256(manifest_bytes).hexdigest()[:_VERSION_DIGITS]


def build_manifest(
    folder: Path,
    *,
    model: str,
    engine: str,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    metrics: dict[str, Any],
    data: dict[str, Any],
    code: dict[str, Any],
    golden_sample: dict[str, Any],
) -> bytes:
    """Describe every file of `folder` and what it was made from; no clock, so it is repeatable.

    Returns:
        The canonical JSON bytes to store as MANIFEST.json, after all other files.
    """
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": _sha256(path),
            "size_bytes": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    document = {
        "model": model,
        "engine": engine,
        "signature": {
            "inputs": [spec.signature() for spec in inputs],
            "outputs": [spec.signature() for spec in outputs],
        },
        "metrics": metrics,
        "data": data,
        "code": code,
        "golden_sample": golden_sample,
        "files": files,
    }
    lines = [  # one fact a line: canonical for the hash, readable for people
        f"{json.dumps(key)}: {json.dumps(document[key], sort_keys=True, allow_nan=False)}"
        for key in sorted(document)
    ]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_artifact(folder: Path) -> Manifest:
    """Read and verify an artifact: the manifest lists exactly the files there, each by its bytes.

    A file that is not listed is refused as well: an ONNX file may name another one for its weights.

    Raises:
        ArtifactError: a file is missing, differs or is not listed, or the manifest cannot be read.
    """
    try:
        size = (folder / MANIFEST).stat().st_size
        raw = b"" if size > MANIFEST_BYTES else (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise ArtifactError(_missing_manifest(folder)) from error
    check_size(str(folder / MANIFEST), size)
    try:
        document = json.loads(raw)
        manifest = Manifest(version_of(raw), document["model"], document["engine"], document)
        files = document["files"].items()
        _ = document["signature"]["inputs"], document["signature"]["outputs"]
        _ = document["golden_sample"]["inputs"], document["golden_sample"]["outputs"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{folder / MANIFEST} is not a manifest: {error!r}") from error
    if not files:
        raise ArtifactError(f"{folder / MANIFEST} lists no files: it vouches for nothing")
    for name, entry in files:
        _check_file(folder, name, entry)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in document["files"] and name != MANIFEST and not path.is_dir():
            raise ArtifactError(
                f"{name} is in {folder} and its manifest does not list it: remove it, or publish a "
                "version with it"
            )
    return manifest


def check_size(manifest: str, size: int) -> None:
    """Raise ArtifactError where a manifest is too large to be read."""
    if size > MANIFEST_BYTES:
        raise ArtifactError(f"{manifest} has {size} bytes, a manifest at most {MANIFEST_BYTES}")


def _check_file(folder: Path, name: str, entry: object) -> None:
    match entry:
        case {"sha256": str(sha256), "size_bytes": int(size_bytes)} if name and "\0" not in name:
            path = folder / name
        case _:
            raise ArtifactError(
                f"{folder / MANIFEST} is not a manifest: its file {name!r} needs a sha256 and its "
                f"size_bytes, got {entry!r:.100}"
            )
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ArtifactError(f"the manifest lists {name!r}, which is outside {folder}")
    if not path.is_file():
        raise ArtifactError(f"{name} is missing from {folder}, its manifest lists it")
    size = path.stat().st_size
    if size != size_bytes:
        raise ArtifactError(
            f"{name} in {folder}: expected {size_bytes} bytes, got {size}; "
            "download or publish this version again"
        )
    digest = _sha256(path)
    if digest != sha256:
        raise ArtifactError(
            f"{name} in {folder}: expected sha256 {sha256[:12]}…, got {digest[:12]}…; "
            "the file was changed after it was published"
        )


def _missing_manifest(folder: Path) -> str:
    if not folder.is_dir():
        return f"no artifact at {folder}: the folder does not exist; set --model_dir"
    inner = sorted(p.name for p in folder.iterdir() if re.fullmatch(r"[0-9a-f]{12}", p.name))
    if inner:
        return (
            f"{folder} holds {len(inner)} version folder(s) and no {MANIFEST}: storageUri must "
            f"end in one version, such as …/{inner[0]}"
        )
    return f"no {MANIFEST} in {folder}: not an artifact, or one that was only half published"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
