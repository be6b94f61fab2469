"""What a load was: the same few figures whichever generator made it."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scripts.benchmark.errors import BenchmarkError, LoadError

PACKAGES = {  # program: its package for apt and for Homebrew
    "wrk": ("wrk", "wrk"),
    "h2load": ("nghttp2-client", "nghttp2"),
}
SPARE_SECONDS = 60.0  # past its duration, until a generator is taken for stuck


@dataclass(frozen=True, slots=True)
class Load:
    """One load, as its generator counted it."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: Mapping[str, int] = field(default_factory=dict)
    """By kind, only those that occurred."""

    @property
    def requests_per_second(self) -> float:
        """Answers, not attempts."""
        return self.requests / self.seconds


def require(programs: Sequence[str]) -> None:
    """Find the load generators before anything is built for them.

    Raises:
        BenchmarkError: one is missing; says how to install it.
    """
    missing = [name for name in programs if shutil.which(name) is None]
    if not missing:
        return
    apt = " ".join(PACKAGES[name][0] for name in missing)
    brew = " ".join(PACKAGES[name][1] for name in missing)
    install = f"brew install {brew}" if sys.platform == "darwin" else f"sudo apt install {apt}"
    raise BenchmarkError(f"{' and '.join(missing)} not found, the load generator. {install}")


def generate(command: Sequence[str], seconds: float) -> str:
    """A generator's output.

    Raises:
        LoadError: it failed or got stuck.
    """
    try:
        ran = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=seconds + SPARE_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{command[0]} did not end") from error
    if ran.returncode:
        raise LoadError(f"{command[0]} ended with {ran.returncode}: {ran.stderr.strip()[-200:]}")
    return ran.stdout
