"""Threads that work while a test does something else."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import BaseServer
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


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """A server that answers while the block runs, and is closed, its thread ended, after it."""
    # It looks whether to end this often: by default every half second, for which its test waits.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(SECONDS)
        server.server_close()
