import errno
import sys
from pathlib import Path

import click
import pytest

from controlplane.errors import SerinError
from scripts import cli

ROOT = Path(__file__).parents[3]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A verb `status` that raises the test's parameter."""

    @click.command("status")
    def command() -> None:
        raise request.param

    monkeypatch.setattr(cli.Verbs, "get_command", lambda *_: command)
    monkeypatch.setattr(sys, "argv", ["serin", "status"])


def test_every_verb_is_a_file_and_the_help_names_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adding scripts/verbs/serving/foo.py adds `serin foo`; nothing is imported to say so."""
    monkeypatch.setattr(sys, "argv", ["serin", "--help"])
    before = set(sys.modules)

    code = cli.main()

    verbs = {path.stem for path in (ROOT / "scripts" / "verbs").glob("*/[a-z]*.py")}
    listed = {
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")
    }
    assert code == 0
    assert {verb.replace("_", "-") for verb in verbs} <= listed
    assert not [name for name in set(sys.modules) - before if name.startswith("scripts.")]


def test_the_version_is_that_of_the_newest_release(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serin --version` reads it where a release is written down: CHANGELOG.md."""
    monkeypatch.setattr(sys, "argv", ["serin", "--version"])
    releases = [
        line.split("[")[1].split("]")[0]
        for line in (ROOT / "CHANGELOG.md").read_text().splitlines()
        if line.startswith("## [") and "Unreleased" not in line
    ]

    assert cli.main() == 0
    assert capsys.readouterr().out == f"serin {releases[0]}\n"


@pytest.mark.parametrize(
    ("failing", "code", "said"),
    [
        (SerinError("Port 1 is taken."), 1, "Error: Port 1 is taken."),
        (OSError(errno.ENOSPC, "x", "/disk/file"), 1, "The disk is full (/disk/file)"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "Permission denied: /x"),
        (ModuleNotFoundError("no", name="yaml"), 1, "package yaml is not installed"),
        (ValueError("odd"), 1, "./serin --debug status shows where"),
        (click.UsageError("one model"), 2, "one model"),
        (KeyboardInterrupt(), 130, ""),
    ],
    indirect=["failing"],
)
@pytest.mark.usefixtures("failing")
def test_a_failure_is_a_sentence_and_an_exit_code(
    code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback without --debug; 1 failed, 2 misused, 130 stopped."""
    assert cli.main() == code

    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("failing", [ValueError("odd")], indirect=True)
@pytest.mark.usefixtures("failing")
def test_debug_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serin --debug VERB` is what an error report needs."""
    monkeypatch.setattr(sys, "argv", ["serin", "--debug", "status"])

    assert cli.main() == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_unknown_verb_is_misuse(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, as for every wrong use."""
    monkeypatch.setattr(sys, "argv", ["serin", "nope"])

    assert cli.main() == 2
    assert "No such command 'nope'" in capsys.readouterr().err


@pytest.mark.parametrize("failing", [ValueError("odd")], indirect=True)
@pytest.mark.usefixtures("failing")
def test_debug_is_not_advised_to_who_uses_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serin --debug --debug …` would say no more."""
    monkeypatch.setattr(sys, "argv", ["serin", "--debug", "status"])
    cli.main()

    assert "ValueError: odd. This should not happen; where it did is above." in (
        capsys.readouterr().err
    )
