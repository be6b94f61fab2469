"""Serin at an earlier commit as a peer, run by the interpreter that runs today's."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import click

from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.peer import Peer
from scripts.benchmark.peers.serin import serin
from scripts.benchmark.repository import ROOT


def commit_of(ref: str) -> str:
    """The commit that a name, a tag or `HEAD~3` means.

    Raises:
        click.UsageError: none that this checkout has.
    """
    ran = _git(
        "rev-parse", "--verify", "--quiet", "--short", "--end-of-options", f"{ref}^{{commit}}"
    )
    if ran.returncode:
        raise click.UsageError(f"--before {ref}: this checkout has no such commit")
    return ran.stdout.strip()


def serin_at(commit: str, home: Path) -> Peer:
    """The predictors of a commit, unpacked beside the environments of the other peers.

    Raises:
        BenchmarkError: git could not give its files.
    """
    root = home / "before"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    files = root / "files.tar"
    ran = _git("archive", "--format=tar", f"--output={files}", commit, "predictors")
    if ran.returncode:
        raise BenchmarkError(f"the predictors of {commit} cannot be read: {ran.stderr.strip()}")
    with tarfile.open(files) as archive:
        archive.extractall(root, filter="data")
    files.unlink()
    return serin(f"Serin at {commit}", root)


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True
    )
