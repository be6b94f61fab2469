"""What `serin train MODEL` says of its arguments before anything heavy is loaded."""

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
