"""A Job's progress until it is over: a bar on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from controlplane.errors import SerinError
from controlplane.kubernetes import trainings
from controlplane.kubernetes.client import Kubernetes, Object

POLL_SECONDS = 0.5
Tell = Callable[[str, int, str], None]
"""State, percentage, and the rest in words."""


def until_over(api: Kubernetes, name: str, uid: str) -> Object:
    """Show a Job's progress; returns it when it is over.

    Raises:
        SerinError: It was deleted meanwhile.
    """
    with _telling(name) as tell:
        while True:
            job = api.get("jobs", name)
            if job is None or job["metadata"]["uid"] != uid:
                raise SerinError(
                    f"{name} was deleted while it ran, so nothing more comes of it: ./serin runs "
                    f"show {uid[:8]}"
                )
            told, state = trainings.progress(job), trainings.state(job)
            tell(state, told.percent or 0, trainings.words(None, told.remaining, told.metrics))
            if trainings.is_over(job):
                return job
            time.sleep(POLL_SECONDS)


@contextmanager
def _telling(name: str) -> Iterator[Tell]:
    if not sys.stderr.isatty():
        yield _lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[words]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
        task = progress.add_task(f"{name} Waiting", total=100, words="")

        def tell(state: str, percent: int, words: str) -> None:
            progress.update(task, description=f"{name} {state}", completed=percent, words=words)

        yield tell


def _lines(name: str) -> Tell:
    """A line whenever the state or a tenth of the way is new."""
    last: list[tuple[str, int]] = []

    def tell(state: str, percent: int, words: str) -> None:
        if last != [(state, percent // 10)]:
            last[:] = [(state, percent // 10)]
            rest = f", {words}" if words else ""
            sys.stderr.write(f"{name}: {state}, {percent} %{rest}\n")
            sys.stderr.flush()

    return tell
