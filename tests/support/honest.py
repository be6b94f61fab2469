"""A client that behaves, in a process of its own: one small request every 20 ms, each timed.

Run as a program with a port, a path and a body, it writes one line an answer: status and seconds.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PERIOD_SECONDS = 0.02
LIMIT_SECONDS = 20.0


class Honest:
    """What the client has met since the last look."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._answers: list[tuple[int, float]] = []
        self._begun = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._begun.wait(LIMIT_SECONDS), "the honest client has no answer"

    def _read(self) -> None:
        for line in self._process.stdout or ():
            status, seconds = line.split()
            self._answers.append((int(status), float(seconds)))
            self._begun.set()

    def take(self) -> list[tuple[int, float]]:
        """Statuses (0: no answer) and seconds of what was answered since the last time."""
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Let it end behind the request that runs."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join(LIMIT_SECONDS)
        self._process.kill()
        self._process.wait(LIMIT_SECONDS)


@contextmanager
def honest(port: int, path: str, document: Any, host: str = "127.0.0.1") -> Iterator[Honest]:
    """Ask all the while; the client, for what it met."""
    command = [sys.executable, "-S", str(Path(__file__)), str(port), path, json.dumps(document)]
    with subprocess.Popen(
        [*command, host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        client = Honest(process)
        try:
            yield client
        finally:
            client.close()


def _ask(port: int, path: str, body: str, host: str) -> None:
    over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)
    while not over.is_set():
        start = time.perf_counter()
        try:
            client.request("POST", path, body, {"Content-Type": "application/json", "Host": host})
            answer = client.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            client.close()
            status = 0
        seconds = time.perf_counter() - start
        print(status, f"{seconds:.6f}", flush=True)  # noqa: T201 - the program's output
        over.wait(max(PERIOD_SECONDS - seconds, 0))


if __name__ == "__main__":
    _ask(int(sys.argv[1]), *sys.argv[2:])
