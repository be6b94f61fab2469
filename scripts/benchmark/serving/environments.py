"""The peers' own virtual environments, made on demand and kept until their pins change."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import click

from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.peer import Peer
from scripts.benchmark.repository import ROOT

REQUIREMENTS = ROOT / "requirements"
# What decides a figure, as far as an environment has it.
TOLD = (
    *("kserve", "mlserver", "scikit-learn", "torch", "onnxruntime", "numpy", "orjson", "pydantic"),
    *("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "grpcio", "protobuf"),
)


def python_of(name: str, peer: Peer, home: Path) -> Path | None:
    """The interpreter that runs a peer; its environment is made first where that is missing.

    Returns:
        None where this machine has no Python that is old enough for the peer.

    Raises:
        BenchmarkError: pip could not install what the peer pins.
    """
    pinned = peer.pinned(name)
    if pinned is None:
        return Path(sys.executable)
    base = _interpreter(peer.newest_python)
    if base is None:
        return None
    folder = home / f"venv-{pinned.stem}"
    installed = folder / "installed.txt"  # copied last: the same pins mean that it is complete
    python = folder / "bin" / "python"
    if installed.exists() and installed.read_bytes() == pinned.read_bytes():
        return python
    click.echo(f"Making the environment of {pinned.stem} in {folder} (0.6 GB, a minute).", err=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run(name, [base, "-m", "venv", folder])
    _install(name, python, pinned)
    shutil.copyfile(pinned, installed)
    return python


def _install(name: str, python: Path, pinned: Path) -> None:
    """What a file pins, by its hashes and nothing beside it; torch as `./serin install` takes it.

    Raises:
        BenchmarkError: pip could not.
    """
    pip: list[str | Path] = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--no-input", "--require-hashes", "--no-deps", "-r"]
    has_torch = re.search("^torch==", pinned.read_text(), re.MULTILINE)
    if has_torch:  # without CUDA, where pip finds that
        subprocess.run([*pip, REQUIREMENTS / "torch-cpu.txt"], check=False, capture_output=True)
    _run(name, [*pip, pinned])
    if has_torch and "+cpu" not in versions(python)["torch"]:
        _run(name, [*pip, REQUIREMENTS / "cuda.txt"])


def _run(name: str, command: list[str | Path]) -> None:
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        raise BenchmarkError(
            f"the environment of {name} could not be made; the reason is above. "
            "--peers leaves it out"
        )


def _interpreter(newest: tuple[int, int]) -> str | None:
    """This Python, or where that is too new for a peer an older one on PATH."""
    if sys.version_info[:2] <= newest:
        return sys.executable
    older = (shutil.which(f"python3.{minor}") for minor in range(newest[1], 10, -1))
    return next(filter(None, older), None)


def versions(python: Path) -> dict[str, str]:
    """The versions, in an interpreter's environment, of the packages that decide a figure."""
    (packages,) = (python.parent.parent / "lib").glob("python*/site-packages")
    found = {one.name.lower().replace("_", "-"): one for one in distributions(path=[str(packages)])}
    return {name: found[name].version for name in TOLD if name in found}
