"""`serin check`: runs every static check of the code."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from scripts.checks.tools import Check

DRAW_SECONDS = 0.5


@dataclass(slots=True)
class Run:
    """One check: waiting, under way, or at its end with what it complains of."""

    name: str
    begun: float | None = None
    seconds: float | None = None
    complaint: str = ""
    """Empty where it has none."""

    @property
    def verdict(self) -> str:
        """In one word, with rich's colour."""
        if self.begun is None:
            return "[dim]waits[/]"
        if self.seconds is None:
            return "runs"
        return "[red]failed[/]" if self.complaint else "[green]ok[/]"

    @property
    def elapsed(self) -> str:
        """Seconds so far, or in all."""
        if self.begun is None:
            return ""
        return f"{self.seconds or time.monotonic() - self.begun:.1f}"


@click.command("check")
def command() -> None:
    """Lint, types, import rules, shell, YAML, manifests, sizes, spelling: all of them, in a table.

    Exits 1 if any check fails, and prints the output of each. Ctrl-C stops the checks.
    """
    from controlplane import parts
    from scripts.checks.tools import checks

    parts.install(["dev", *parts.of_models()])  # of the models, whose types are checked
    runs = perform(list(checks()), os.cpu_count() or 1)
    show(runs)
    if any(run.complaint for run in runs):
        raise SystemExit(1)


def perform(checks: Sequence["Check"], at_once: int) -> list[Run]:
    """Run the checks, and show on a terminal how far each is."""
    runs = [Run(check.name) for check in checks]
    waiting: queue.SimpleQueue[tuple[Check, Run]] = queue.SimpleQueue()
    for pair in zip(checks, runs, strict=True):
        waiting.put(pair)
    tools = Tools()

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                check, run = waiting.get_nowait()
                run.begun = time.monotonic()
                run.complaint = tools.complaint(check)
                run.seconds = time.monotonic() - run.begun

    # Tools are processes of their own, so threads are enough to use every core.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(at_once)]
    try:
        with live(runs) as draw:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(DRAW_SECONDS)
                    draw()
    finally:
        tools.end()
    return runs


class Tools:
    """The processes that run; none is started after `end`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False

    def complaint(self, check: "Check") -> str:
        """What a check says; empty where it is content."""
        from scripts.checks.repository import ROOT

        if callable(check.what):
            return "\n".join(check.what())
        return self._process(check.what, str(ROOT))

    def end(self) -> None:
        """End those that run, with what they started."""
        with self._lock:
            self._ended = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _process(self, arguments: Sequence[str], folder: str) -> str:
        with self._lock:
            if self._ended:
                return "it was not run"
            try:
                process = subprocess.Popen(
                    arguments,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    process_group=0,  # Ctrl-C is answered here: some take minutes to hear it
                )
            except FileNotFoundError:
                return f"{arguments[0]} is not installed: ./serin install dev"
            self._running.add(process)
        said, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        if process.returncode == 0:
            return ""
        return said.strip() or f"{arguments[0]} ended with {process.returncode}"


@contextlib.contextmanager
def live(runs: list[Run]) -> Iterator[Callable[[], None]]:
    """What to call to show the runs as they are now; elsewhere than on a terminal, nothing."""
    if not sys.stdout.isatty():
        yield lambda: None
        return
    from rich.live import Live

    with Live(table(runs), transient=True, auto_refresh=False) as shown:
        yield lambda: shown.update(table(runs), refresh=True)


def table(runs: list[Run]) -> "Table":
    """All checks, each with its verdict and its seconds."""
    from rich.table import Table

    found = Table("check", "", "seconds")
    found.columns[2].justify = "right"
    for run in runs:
        found.add_row(run.name, run.verdict, run.elapsed)
    return found


def show(runs: list[Run]) -> None:
    """What each complaint says, and below it one table of all."""
    from rich.console import Console

    console = Console()
    for run in runs:
        if run.complaint:
            console.rule(run.name, style="red")
            click.echo(run.complaint)
    console.print(table(runs))
