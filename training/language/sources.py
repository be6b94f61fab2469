"""A language model by its name: a GGUF file, a Hugging Face folder or hub id, an s3:// prefix."""

import tempfile
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from training.errors import DataError
from training.language.folder import read_folder
from training.language.gguf_file import read_gguf
from training.language.model import LanguageModel
from training.language.smollm2 import read_smollm2
from training.publish.registry import Registry

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.jinja", "LICENSE*"]


def read_model(name: str) -> LanguageModel:
    """Read a model; "" is the default one.

    Raises:
        DataError: there is none of that name, or it cannot be read.
        StoreError: an s3:// prefix is not there, or the store does not answer.
        SettingsError: s3:// is asked for and the store is not named.
    """
    if not name:
        return read_smollm2()
    if name.startswith("s3://"):
        with tempfile.TemporaryDirectory(prefix="serin-pretrained-") as place:
            folder = Path(place)
            Registry().download(name, folder)
            return _read(folder, name)
    path = Path(name).expanduser()
    if path.exists():
        return _read(path, str(path))
    if path.is_absolute() or name.startswith((".", "~")) or name.endswith(".gguf"):
        raise DataError(f"--model {name}: there is no such file or folder")
    return _read(_from_hub(name), name)


def _read(path: Path, name: str) -> LanguageModel:
    """A GGUF file, or a folder that is one's or Hugging Face's."""
    if path.is_file():
        return read_gguf(path, {"model": Path(name).name})
    files = sorted(path.glob("*.gguf"))
    if files and not (path / "config.json").exists():
        if len(files) > 1:
            raise DataError(f"{name} holds {len(files)} GGUF files: name one of them")
        return read_gguf(files[0], {"model": files[0].name})
    return read_folder(path, name)


def _from_hub(name: str) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except HFValidationError as error:
        raise DataError(
            f"--model {name}: there is no such folder, and no hub has such ids"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"--model {name}: it is no folder here, and the hub: {reason}") from error
