"""Threads that work while a test does something else."""

import threading
from collections.abc import Callable, Iterable
from typing import Self

SECONDS = 120  # an end's time limit: longer than any request's


class Threads:
    """Work that begins with a block; at its end each thread is told, and waited for."""

    def __init__(self, work: Iterable[Callable[[], None]]) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in work]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(SECONDS)
