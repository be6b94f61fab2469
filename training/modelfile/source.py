"""Which kind of model a file or a folder is, told by its first bytes rather than by its name."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from training.modelfile.errors import PublishError

MOST_BYTES = 2 << 30  # of a file; protobuf, and so ONNX, ends there too
_HEAD_BYTES = 64 << 10
_PICKLES = (".pkl", ".pickle", ".joblib")
_COMPRESSED = (b"\x1f\x8b", b"\x78", b"BZh", b"\xfd7zXZ", b"\x04\x22\x4d\x18")  # as joblib does it
_CONVERT = "convert it to ONNX and publish that"


@dataclass(frozen=True, slots=True)
class Source:
    """What was given: `kind` is onnx, skops, pickle or texts; `path` the file or the folder."""

    kind: str
    path: Path


def source_of(path: Path) -> Source:
    """Look at a file or a folder.

    Raises:
        PublishError: it is no model that can be served here; says which form can.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise PublishError(f"{path} is neither a file nor a folder")
    require_size(path)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise PublishError(f"{path} is empty")
    if head.startswith(b"PK"):
        return Source(_zipped(path), path)
    if told := _named(path, head):
        raise PublishError(f"{path} is {told}")
    # Pickle's protocols 2 to 5 begin so; joblib compresses the whole.
    pickled = head[0] == 0x80 and head[1] in range(2, 6)
    if pickled or (path.suffix in _PICKLES and head.startswith(_COMPRESSED)):
        return Source("pickle", path)
    return Source("onnx", path)


def require_size(path: Path) -> None:
    """Refuse a file that is larger than any that is served.

    Raises:
        PublishError: it is.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise PublishError(
            f"{path} has {size / 2**30:.1f} GiB, and a published file has at most "
            f"{MOST_BYTES >> 30} GiB"
        )


def _folder(path: Path) -> Source:
    names = sorted(one.name for one in path.iterdir())
    if "config.json" in names:
        return Source("texts", path)
    graphs = [name for name in names if name.endswith(".onnx")]
    if len(graphs) == 1:
        require_size(path / graphs[0])
        return Source("onnx", path / graphs[0])
    if graphs:
        raise PublishError(f"{path} has {len(graphs)} ONNX files ({', '.join(graphs)}): name one")
    if {"saved_model.pb", "MLmodel"} & {*names}:
        raise PublishError(f"{path} is a SavedModel or an MLflow folder: {_CONVERT}")
    if weights := [name for name in names if name.endswith((".safetensors", ".bin", ".pt"))]:
        raise PublishError(
            f"{path} holds weights alone ({weights[0]}), without a graph and without config.json, "
            "which say what to compute: export the model to ONNX where it was trained, and publish "
            "that"
        )
    raise PublishError(
        f"{path} has no .onnx file, and no config.json of a Hugging Face model: it is no model"
    )


def _zipped(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise PublishError(f"{path} begins as a zip file and is none: {error}") from error
    if "schema.json" in names:
        return "skops"
    if any(name.endswith("data.pkl") for name in names):
        raise PublishError(
            f"{path} is a torch file: export it with torch.onnx.export and publish that"
        )
    if "config.json" in names:
        raise PublishError(f"{path} is a Keras file: {_CONVERT}, with tf2onnx")
    raise PublishError(f"{path} is a zip file without a model in it: it is no model")


def _named(path: Path, head: bytes) -> str:
    """A form that is well known and not served, in words; empty for any other."""
    xgboost = b'"learner"' in head[:2000] or b"Llearner" in head[:200] or head.startswith(b"binf")
    weights = head[8:10] == b'{"' and path.suffix == ".safetensors"
    forms = {
        "a GGUF file of a language model: ./serin train causal-lm --model serves it": (
            head.startswith(b"GGUF")
        ),
        f"an HDF5 file, as Keras writes: {_CONVERT}, with tf2onnx": head.startswith(b"\x89HDF"),
        f"a LightGBM model: {_CONVERT}, with onnxmltools.convert_lightgbm": (
            head.startswith(b"tree\nversion=")
        ),
        f"an XGBoost model: {_CONVERT}, with onnxmltools.convert_xgboost": xgboost,
        "weights without a graph: export the model to ONNX and publish that": weights,
        f"a PMML file: {_CONVERT}": b"<PMML" in head[:1000],
        "JSON, and no model": head[:1] in b"{[" and _is_json(path),
    }
    return next((form for form, told in forms.items() if told), "")


def _is_json(path: Path) -> bool:
    if path.stat().st_size > 1 << 20:
        return False
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return True
