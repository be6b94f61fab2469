"""Requests to one model from several connections, every answer counted."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.support.platform import Platform, flower
from tests.support.threads import Threads

SECONDS = 30  # a request's time limit


class Clients(Threads):
    """Connections that ask until told to stop, each when it may; no request is repeated.

    Attributes:
        versions: answers by the version that gave them.
        failures: what was not a 200, in words.
    """

    def __init__(
        self, address: str, host: str, model: str, inputs: Sequence[dict[str, Any]], clients: int
    ) -> None:
        super().__init__([self._work] * clients)
        self.versions: Counter[str] = Counter()
        self.failures: list[str] = []
        self._address = address
        self._headers = {"Content-Type": "application/json", "Host": host}
        self._path = f"/v2/models/{model}/infer"
        self._body = json.dumps({"inputs": list(inputs)})
        self._guard = threading.Lock()

    @property
    def answered(self) -> int:
        """Answers so far, failures not among them."""
        with self._guard:
            return sum(self.versions.values())

    def _may_ask(self) -> bool:
        """Wait until the next request is due; False once all is over."""
        return not self._over.is_set()

    def _work(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=SECONDS)
        try:
            while self._may_ask():
                self._ask(connection)
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        try:
            connection.request("POST", self._path, self._body, self._headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._failed(repr(error))
            return
        if answer.status != 200:
            self._failed(f"{answer.status} {text[:200]!r}")
            return
        with self._guard:
            self.versions[json.loads(text)["model_version"]] += 1

    def _failed(self, what: str) -> None:
        with self._guard:
            self.failures.append(what)


class Load(Clients):
    """A closed loop: each client asks a platform about one flower, again and again."""

    def __init__(self, platform: Platform, clients: int = 8) -> None:
        address = urlsplit(platform.url).netloc
        super().__init__(address, address, "iris", [flower()], clients)


class Steady(Clients):
    """An open loop: `rate` requests a second leave at their times, however long answers take."""

    def __init__(
        self, address: str, host: str, model: str, inputs: Sequence[dict[str, Any]], rate: float
    ) -> None:
        super().__init__(address, host, model, inputs, clients=24)
        self._rate = rate
        self._sent = 0
        self._started = time.monotonic()

    def _may_ask(self) -> bool:
        with self._guard:
            due = self._started + self._sent / self._rate
            self._sent += 1
        return not self._over.wait(max(0.0, due - time.monotonic()))
