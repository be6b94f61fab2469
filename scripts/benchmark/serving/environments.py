"""The peers' own virtual environments, made on demand and kept until their pins change."""

import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import click

from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.peer import Peer

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
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    for step in ([base, "-m", "venv", str(folder)], [*pip, "-r", str(pinned)]):
        if subprocess.run(step, check=False, stdout=sys.stderr).returncode:
            raise BenchmarkError(
                f"the environment of {name} could not be made; the reason is above. "
                "--peers leaves it out"
            )
    shutil.copyfile(pinned, installed)
    return python


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
