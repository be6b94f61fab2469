"""Steady requests for one flower from several connections, every answer counted."""

import contextlib
import http.client
import json
import threading
from collections import Counter
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.platform import Platform, flower


class Load:
    """Clients that ask one after another until told to stop; no client repeats a request."""

    def __init__(self, platform: Platform, clients: int = 8) -> None:
        self.address = urlsplit(platform.url).netloc
        self.versions: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    @property
    def answered(self) -> int:
        """Answers so far, failures not among them."""
        return sum(self.versions.values())

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self) -> None:
        with contextlib.closing(http.client.HTTPConnection(self.address, timeout=30)) as connection:
            self._ask_over(connection)

    def _ask_over(self, connection: http.client.HTTPConnection) -> None:
        body = json.dumps({"inputs": [flower()]})
        headers = {"Content-Type": "application/json"}
        while not self._stop.is_set():
            try:
                connection.request("POST", "/v2/models/iris/infer", body, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._failed(repr(error))
                connection.close()
                continue
            if answer.status != 200:
                self._failed(f"{answer.status} {text[:200]!r}")
                continue
            version = json.loads(text)["model_version"]
            with self._guard:
                self.versions[version] += 1

    def _failed(self, what: str) -> None:
        with self._guard:
            self.failures.append(what)
