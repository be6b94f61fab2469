"""Artifacts of this repository's training scripts, each trained once for all tests and workers.

A training is a function of its code, its packages, its flags and its data, so what one test trained
serves the next one, until one of these changes. Tests of training itself do not come here.
"""

import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from predictors.runtime import MANIFEST
from tests.support import model_files
from tests.support.required import ROOT

SECONDS = 300  # importing torch on a machine that is busy takes a while
KEPT = 3  # states of the code: `git stash` and back should not train again
_STORE = ROOT / ".pytest_cache" / "d" / "trained"  # `pytest --cache-clear` empties it


def artifact(model: str, *flags: str, data: Path | None = None) -> Path:
    """The artifact that the model's own training script writes; only to be read.

    Args:
        model: its name, as in `serin train`.
        flags: of the script; `--smoke` makes it as short as it can be.
        data: a folder for --data.
    """
    if model == "onnx":
        flags = ()  # published from a file, which no training made
    given = [*flags, *([f"--data={data}"] if data else [])]
    name = hashlib.sha256("\0".join([*given, _listing(data)]).encode()).hexdigest()[:12]
    folder = code_folder() / f"{model}-{name}"
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be training it
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
                made = Path(beside) / "artifact"
                if model == "onnx":
                    _publish(model, Path(beside), made)
                else:
                    _train(model, *given, "--output", str(made))
                made.rename(folder)
    return folder


def brief(model: str) -> Path:
    """What `--smoke` makes, published as what it is not: serving takes no smoke run for the newest.

    Only to be read.
    """
    smoke = artifact(model, "--smoke")
    folder = smoke.with_name(f"{model}-brief")
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
                made = shutil.copytree(smoke, Path(beside) / "artifact")
                document = json.loads((made / MANIFEST).read_bytes())
                del document["metrics"]["smoke"]
                (made / MANIFEST).write_text(json.dumps(document), "utf-8")
                made.rename(folder)
    return folder


def _train(model: str, *flags: str) -> None:
    module = f"training.{model.replace('-', '_')}"
    command = [sys.executable, "-m", module, *flags]
    _run(command)


def _publish(model: str, folder: Path, made: Path) -> None:
    source = model_files.classifier(folder / "model.onnx")
    module = "training.modelfile"
    _run([sys.executable, "-m", module, model, str(source), "--output", str(made)])


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr


@cache
def code_folder() -> Path:
    """Where artifacts of today's code are; those of all but the last few states are removed."""
    digest = hashlib.sha256(f"{platform.python_version()} {platform.machine()}".encode())
    for part in ("training", "predictors", "requirements"):
        for path in sorted((ROOT / part).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\n".encode())
                digest.update(path.read_bytes())
    folder = _STORE / digest.hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    folder.touch()
    by_use = sorted(_STORE.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)
    for old in by_use[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _listing(data: Path | None) -> str:
    """Names and sizes: data beside the checkout does not change under its name."""
    if data is None:
        return ""
    return repr([(path.name, path.stat().st_size) for path in sorted(data.iterdir())])
