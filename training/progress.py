"""Progress of a training script on stderr: a bar where a person looks, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Reporter:
    """Says what a script does; results go to stdout, which others read."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """One line: what happened, and when on plain output, where no bar shows time passing."""
        if self._console.is_terminal:
            self._console.print(text, markup=False, soft_wrap=True)
        else:
            print(f"{time.monotonic() - self._started:6.1f} s  {text}", file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, doing: str, total: int) -> Iterator["Bar"]:
        """Show `done` of `total` steps while the block runs."""
        if not self._console.is_terminal:
            self.say(f"{doing} …")
            yield Bar(None)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            progress.add_task(doing, total=total)
            yield Bar(progress)


class Bar:
    """The bar of one step, or nothing where nobody looks."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def reach(self, done: int) -> None:
        """Show that `done` steps are behind us."""
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=done)
