"""Starts the engine and reads what it records."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from controlplane.errors import SerinError
from scripts.loadtest.plan import END, MESSAGE, Plan

ROOT = Path(__file__).parents[2]
_SPARE_SECONDS = 30.0
_READ = 1 << 20


class EngineProcess:
    """One load under way in a process of its own.

    Used as a context: what is left at its end is killed.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._held = b""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scripts.loadtest"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdin is not None  # noqa: S101  asked for
        self._process.stdin.write(plan.dump())
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._process:  # closes its pipes, and waits
            self._process.kill()

    def stop(self) -> None:
        """Have it send nothing more and wait for its last answers."""
        assert self._process.stdin is not None  # noqa: S101  asked for
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def messages(self, every_seconds: float) -> Iterator[tuple[bytes, bytes]]:
        """What the engine says, kind and content, until its end; nothing twice a `every_seconds`.

        Yields:
            (kind, content) of plan.py, or (b"", b"") when nothing came for so long.

        Raises:
            SerinError: it ended without a word, or does not end.
        """
        assert self._process.stdout is not None  # noqa: S101  asked for
        pipe = self._process.stdout.fileno()
        plan = self._plan
        deadline = time.monotonic() + plan.load.duration + plan.timeout_seconds + _SPARE_SECONDS
        while True:
            ready, _, _ = select.select([pipe], [], [], every_seconds)
            if not ready:
                if time.monotonic() > deadline:
                    raise SerinError("The load generator did not end in time and was killed.")
                yield b"", b""
                continue
            piece = os.read(pipe, _READ)
            if not piece:
                raise SerinError("The load generator ended early; what it said is above.")
            self._held += piece
            while len(self._held) >= MESSAGE.size:
                kind, length = MESSAGE.unpack_from(self._held)
                end = MESSAGE.size + length
                if len(self._held) < end:
                    break
                content, self._held = self._held[MESSAGE.size : end], self._held[end:]
                yield kind, content
                if kind == END:
                    return


def ended(content: bytes) -> dict[str, Any]:
    """The engine's last message.

    Raises:
        SerinError: it could not do what was asked.
    """
    last: dict[str, Any] = json.loads(content)
    if reason := last.get("unreachable"):
        raise SerinError(f"Nothing answers there: {reason}. Is it up? ./serin status tells.")
    if reason := last.get("error"):
        raise SerinError(f"The load was not made: {reason}.")
    return last
