"""From a trained model to a published version: what a training script does last."""

import hashlib
import json
import os
import platform
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from predictors.runtime import MANIFEST, version_of
from training import run
from training.publish import records
from training.publish.registry import Registry

# What can change the bytes of a model; exact versions, since rounding is a matter of builds.
_LIBRARIES = ("joblib", "numpy", "onnx", "scikit-learn", "scipy", "skl2onnx")


class OutputError(Exception):
    """--output names something that is not ours to replace."""


class Destination:
    """Where a version goes: the registry, or the folder of `--output`.

    Made before training starts, since an hour of training should not end at a typing error.

    Raises:
        OutputError: `output` is a file, or a folder that holds something else than an artifact.
        RegistryError: the store is not named, or does not answer.
    """

    def __init__(self, model: str, output: Path | None) -> None:
        self._model = model
        self._output = output
        self._registry = None
        run.current().model = model
        if output is None:
            self._registry = Registry()
            self._registry.versions(model)
            records.begin(self._registry, run.current())
        elif not _replaceable(output):
            raise OutputError(f"--output {output} exists and is no artifact: name another")

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder to make the artifact in; gone afterwards, whatever happens."""
        beside = None
        if self._output is not None:  # on one file system, so that the last step is a rename
            beside = self._output.absolute().parent
            beside.mkdir(parents=True, exist_ok=True)
        with _uninterrupted():  # between its making and its finalizer nobody would remove it
            temporary = tempfile.TemporaryDirectory(prefix=f".serin-{self._model}-", dir=beside)
        with temporary as parent:
            folder = Path(parent) / "artifact"
            folder.mkdir()
            yield folder

    def deliver(self, folder: Path) -> str:
        """Publish a finished artifact, or move it to `--output`.

        Returns:
            Its URI, or the folder it is in now.
        """
        if self._registry is not None:
            uri = self._registry.publish(folder, self._model).uri
            run.current().published(uri)
            return uri
        assert self._output is not None  # noqa: S101 - the one of the two that there is
        if self._output.exists():
            shutil.rmtree(self._output)
        os.replace(folder, self._output)  # noqa: PTH105 - Path.replace does not take folders apart
        return str(self._output)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the end of the block."""
    held: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _frame: held.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def _replaceable(output: Path) -> bool:
    """Whether nothing is lost with this folder: there is none, it is empty, or an artifact."""
    if not output.exists() or (output / MANIFEST).is_file():
        return True
    return output.is_dir() and not any(output.iterdir())


def write_manifest(folder: Path, manifest: bytes) -> str:
    """Put the manifest beside the files it describes; returns the version it stands for."""
    (folder / MANIFEST).write_bytes(manifest)
    run.current().made(json.loads(manifest))
    return version_of(manifest)


def code_identity(*sources: str, libraries: tuple[str, ...] = ()) -> dict[str, object]:
    """Which code made a model: a sha256 over source files, and the libraries under them.

    Args:
        sources: paths of modules, as their `__file__`.
        libraries: packages that this model stands on beside those of every model.
    """
    digest = hashlib.sha256()
    for source in sources:
        path = Path(source)
        digest.update(f"{path.parent.name}/{path.name}\n".encode())
        digest.update(path.read_bytes())
    return {
        "sha256": digest.hexdigest(),
        "sources": [f"{Path(source).parent.name}/{Path(source).name}" for source in sources],
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in sorted((*_LIBRARIES, *libraries))},
    }
