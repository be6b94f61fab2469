"""What every result file begins with: when, how, of which code and on which machine."""

import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.benchmark.repository import ROOT
from scripts.benchmark.serving import machine


def provenance(*command: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Date, command, code and machine.

    Args:
        command: as it is typed, without arguments.
        arguments: as they were given.
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join([*command, *map(_told, arguments)]),
        "code": _git("rev-parse", "--short=12", "HEAD") + ("+changes" if _changed() else ""),
        "machine": machine.describe(),
    }


def _told(argument: str) -> str:
    """An argument as it is published: where this machine keeps its files is nobody's business."""
    path = Path(argument)
    return f"…/{path.name}" if path.is_absolute() else argument


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    return ran.stdout.strip()


def _changed() -> bool:
    return bool(_git("status", "--porcelain", "--", "predictors", "scripts", "training"))
