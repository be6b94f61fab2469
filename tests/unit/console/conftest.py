"""A training script that tells its flags without a process."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from controlplane.console.sources import scripts
from tests.support.console_world import IMAGE

FLAGS: list[dict[str, Any]] = [
    {"flag": "seed", "help": "of every random choice (default: 0)"},
    {"flag": "smoke", "help": f"a few steps {IMAGE}", "alone": True},
    {"flag": "output", "help": "a folder"},
    {"flag": "bits", "help": "of a weight (default: 8, or 32)", "choices": ["8", "32"]},
]


@pytest.fixture(autouse=True)
def script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes a seed that is a number, and refuses others."""
    usual: dict[str, Any] = {"alone": False, "required": False, "choices": []}

    async def outline(
        _: Any, options: Sequence[str], arguments: Sequence[str]
    ) -> tuple[int, str, str]:
        if options:
            return 0, json.dumps([usual | flag for flag in FLAGS]), ""
        refused = "--seed=x" in arguments
        return (2, "", f"--seed: no number: {IMAGE}\n") if refused else (0, "", "")

    monkeypatch.setattr(scripts, "_outline", outline)
