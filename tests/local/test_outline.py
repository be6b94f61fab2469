"""What `serin train MODEL` says of its arguments before anything heavy is loaded."""

import json
import subprocess
import sys

import pytest

from tests.support.platform import ROOT
from tests.support.predictor import discovered_models


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a module of this checkout."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_the_help_is_the_scripts_own() -> None:
    """Letter by letter what the script prints with all it imports."""
    told = python("scripts.verbs.outline", "training.iris", "--help")
    own = python("training.iris", "--help")

    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == own.stdout
    assert told.stdout.startswith("usage: serin train iris ")


def test_flags_are_told_for_programs() -> None:
    """Each with its help as people read it, and what it may be."""
    flags = {
        flag["flag"]: flag
        for flag in json.loads(
            python("scripts.verbs.outline", "--flags", "training.causal_lm").stdout
        )
    }

    assert flags["seed"]["help"] == "of every random choice (default: 0)"
    assert (flags["smoke"]["alone"], flags["seed"]["alone"]) == (True, False)
    assert flags["bits"]["choices"] == ["8", "32"]
    assert "help" not in flags


@pytest.mark.parametrize("model", discovered_models())
def test_a_wrong_argument_is_told_without_the_models_packages(model: str) -> None:
    """And the help names the flags that every script has."""
    module = f"training.{model.replace('-', '_')}"
    wrong = python("scripts.verbs.outline", module, "--no-such-option")
    told = python("scripts.verbs.outline", module, "--help")
    right = python("scripts.verbs.outline", module, "--smoke", "--seed", "3")

    assert wrong.returncode == 2
    assert wrong.stderr == (
        f"unrecognized arguments: --no-such-option. See: ./serin train {model} --help\n"
    )
    assert {"--seed", "--smoke", "--output"} <= set(told.stdout.replace("[", " ").split())
    assert (right.returncode, right.stdout) == (0, "")
