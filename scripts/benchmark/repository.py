"""Where the benchmark's files are: the checkout, and what is made on demand beside it."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def home() -> Path:
    """Environments, artifacts and logs of benchmarks; nothing in it is worth keeping."""
    return Path(os.environ.get("SERIN_HOME", ROOT / ".serin")).resolve() / "bench"
