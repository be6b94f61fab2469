"""llama.cpp as node-llama-cpp has it, built already: installed from npm on demand, one thread."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from scripts.benchmark.errors import BenchmarkError, NoAnswerError
from scripts.benchmark.repository import ROOT
from scripts.benchmark.serving.machine import Cores

PACKAGE = "node-llama-cpp@3.21.1"
_HOME = ROOT / ".serin" / "bench" / "llama-cpp"
_SCRIPT = Path(__file__).with_suffix(".mjs")


class LlamaCpp:
    """A process that continues prompts."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._answer()

    def ask(self, prompts: Sequence[str], tokens: int) -> dict[str, Any]:
        """Continue prompts greedily, side by side; see the script for what comes back."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write(json.dumps({"prompts": list(prompts), "tokens": tokens}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    @property
    def resident_bytes(self) -> int:
        """Memory now."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line:
            raise NoAnswerError("llama.cpp ended; the reason is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def llama_cpp(gguf: Path, cores: Cores) -> Iterator[LlamaCpp]:
    """A process that has a GGUF file open, on the servers' core.

    Raises:
        BenchmarkError: there is no Node, or npm could not install it.
    """
    home = _installed()
    script = shutil.copy(_SCRIPT, home)  # Node looks for packages beside it
    with cores.of_server():
        process = subprocess.Popen(
            ["node", script, gguf], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    try:
        yield LlamaCpp(process)
    finally:
        process.terminate()
        process.wait(60)


def _installed() -> Path:
    if not (shutil.which("node") and shutil.which("npm")):
        raise BenchmarkError("llama.cpp comes from npm here: install Node 20 or later")
    _HOME.mkdir(parents=True, exist_ok=True)
    done = _HOME / "installed.txt"  # written last
    if not (done.exists() and done.read_text() == PACKAGE):
        print(f"Installing {PACKAGE} in {_HOME} (0.8 GB).", file=sys.stderr)
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        command += ["--no-package-lock", "--save-exact", PACKAGE]
        if subprocess.run(command, cwd=_HOME, check=False, stdout=sys.stderr).returncode:
            raise BenchmarkError(f"npm could not install {PACKAGE}; the reason is above")
        done.write_text(PACKAGE)
    return _HOME
