"""`serin check`: everything that can be said about the code without running it."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.checks.tools import Check


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check's end; `complaint` is empty where it has none."""

    name: str
    seconds: float
    complaint: str


@click.command("check")
def command() -> None:
    """Lint, types, import rules, shell, YAML, manifests, sizes, spelling: all of them, in a table.

    Exits 1 if any complains, after showing what each said.
    """
    from controlplane import parts
    from scripts.checks.tools import checks

    parts.install(parts.of_models())  # whose types are checked
    # Tools are processes of their own, so threads are enough to use every core.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(run, checks()))
    show(outcomes)
    if any(outcome.complaint for outcome in outcomes):
        raise SystemExit(1)


def run(check: "Check") -> Outcome:
    """Run one check to its end."""
    from scripts.checks.repository import ROOT

    started = time.monotonic()
    if callable(check.what):
        complaint = "\n".join(check.what())
    else:
        complaint = _complaint(check.what, str(ROOT))
    return Outcome(check.name, time.monotonic() - started, complaint)


def _complaint(arguments: "Sequence[str]", folder: str) -> str:
    try:
        done = subprocess.run(
            arguments,
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return f"{arguments[0]} is not installed: ./serin install dev"
    if done.returncode == 0:
        return ""
    return (done.stdout + done.stderr).strip() or f"{arguments[0]} ended with {done.returncode}"


def show(outcomes: list[Outcome]) -> None:
    """What each complaint says, and below it one table of all."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for outcome in outcomes:
        if outcome.complaint:
            console.rule(outcome.name, style="red")
            click.echo(outcome.complaint)
    table = Table("check", "", "seconds")
    table.columns[2].justify = "right"
    for outcome in outcomes:
        verdict = "[red]failed[/]" if outcome.complaint else "[green]ok[/]"
        table.add_row(outcome.name, verdict, f"{outcome.seconds:.1f}")
    console.print(table)
