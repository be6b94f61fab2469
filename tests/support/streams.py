"""Clients that read one stream of a language model after the other; what each stream told."""

import http.client
import json
import time
from dataclasses import dataclass

from tests.support.threads import Threads

SECONDS = 60  # a stream's time limit
PROMPT = {"text_input": "the quick brown", "parameters": {"max_tokens": 150}}


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream, read to its end."""

    begun: float
    ended: float
    versions: tuple[str, ...]
    """That its pieces name."""
    text: str
    generation: int
    reason: str
    """Why it ended, as its last piece says; empty: it broke off."""


class Streams(Threads):
    """Each client begins streams until told to stop, and then reads one more.

    Attributes:
        seen: the streams.
        failures: what was no whole stream, in words.
    """

    def __init__(self, address: str, model: str, clients: int = 4, host: str = "") -> None:
        super().__init__([self._work] * clients)
        self.seen: list[Stream] = []
        self.failures: list[str] = []
        self._address = address
        self._path = f"/v2/models/{model}/generate_stream"
        self._headers = {"Content-Type": "application/json", **({"Host": host} if host else {})}

    def answered(self, version: str) -> int:
        """How many streams a version has answered."""
        return sum(stream.versions == (version,) for stream in self.seen)

    def _work(self) -> None:
        last = False
        while not last:
            last = self._over.is_set()
            try:
                self.seen.append(self._read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(repr(error))

    def _read(self) -> Stream:
        begun = time.time()
        connection = http.client.HTTPConnection(self._address, timeout=SECONDS)
        try:
            connection.request("POST", self._path, json.dumps(PROMPT), self._headers)
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"{answer.status} {body[:200]}")
        events = [event for event in body.split("\n\n") if event]
        pieces = [json.loads(event.removeprefix("data: ")) for event in events]
        stream = Stream(
            begun=begun,
            ended=time.time(),
            versions=tuple(sorted({piece.get("model_version", "none") for piece in pieces})),
            text="".join(piece.get("text_output", "") for piece in pieces),
            generation=int(answer.headers.get("serin-generation", "0")),
            reason=str(pieces[-1].get("finish_reason", "")) if pieces else "",
        )
        if not stream.reason:
            raise ValueError(f"it broke off: {body[-300:]}")
        return stream
