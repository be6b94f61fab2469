"""Serin at an earlier commit as a peer of the benchmark."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from scripts.benchmark import before
from scripts.benchmark.peer import Place


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits of one predictor, and a change that is in none."""
    root = tmp_path / "checkout"
    predictor = root / "predictors" / "iris.py"
    predictor.parent.mkdir(parents=True)
    predictor.with_name("__init__.py").touch()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "-q"], check=True, cwd=root)
    for content in ("print('first')", "print('second')"):
        predictor.write_text(content)
        subprocess.run([*git, "add", "."], check=True, cwd=root)
        subprocess.run([*git, "commit", "-q", "-m", content], check=True, cwd=root)
    predictor.write_text("print('third')")
    monkeypatch.setattr(before, "ROOT", root)
    return root


def test_an_earlier_commit_is_run_by_the_interpreter_of_today(
    checkout: Path, tmp_path: Path
) -> None:
    """Its own files, whatever the checkout holds by now; the commit is told by its hash."""
    commit = before.commit_of("HEAD~1")
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "of another commit").touch()
    peer = before.serin_at(commit, tmp_path)

    start = peer.start(Place(Path(sys.executable), "iris", tmp_path, tmp_path, 1, 2, 3))
    ran = subprocess.run(
        list(start.command), cwd=start.directory, check=True, capture_output=True, text=True
    )

    assert ran.stdout == "first\n"
    assert peer.title == f"Serin at {commit}"
    assert [path.name for path in (tmp_path / "before").iterdir()] == ["predictors"]
    assert (checkout / "predictors" / "iris.py").read_text() == "print('third')"


@pytest.mark.parametrize("ref", ["HEAD~2", "nothing", "--all", ""])
def test_a_commit_that_is_not_there_is_told(checkout: Path, ref: str) -> None:
    """By the name that was given."""
    assert checkout.exists()
    with pytest.raises(click.UsageError, match=f"--before {ref}: this checkout has no such commit"):
        before.commit_of(ref)
