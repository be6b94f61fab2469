"""REST: connections that are kept alive, one request under way on each."""

import asyncio
from typing import cast

import httptools

from scripts.loadtest.connection import Owner
from scripts.loadtest.plan import NO_VERSION, OK

_VERSION_WITHIN = 400
"""Bytes: the version stands at an answer's beginning."""


class RestConnection(asyncio.Protocol):
    """One connection; the engine hands it a request when it has room."""

    def __init__(self, engine: Owner) -> None:
        self._engine = engine
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._body: list[bytes] = []
        self._planned = self._sent_at = 0.0
        self._busy = False
        self.usable = False
        self.listed = False
        """Whether the engine has it among the free ones."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True
        self._engine.opened(self)

    @property
    def has_room(self) -> bool:
        """Whether a request may be sent now."""
        return self.usable and not self._busy

    def send(self, request: bytes, planned: float, now: float) -> None:
        """Send a request; there is room."""
        self._planned, self._sent_at, self._busy = planned, now, True
        assert self._transport is not None  # noqa: S101  it has room
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"no HTTP: {type(error).__name__}")
            self._drop()

    def on_body(self, data: bytes) -> None:
        """A piece of the body; the parser's call."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The end of an answer; the parser's call."""
        status = self._parser.get_status_code()
        body = b"".join(self._body) if len(self._body) != 1 else self._body[0]
        self._body.clear()
        if not self._parser.should_keep_alive():
            self._drop()
        if status == 200:
            self._end(OK, version_of(body))
        else:
            self._end(f"HTTP {status}")

    def expire(self, before: float) -> None:
        """Give up what left before this time."""
        if self._busy and self._sent_at < before:
            self._end("timeout")
            self._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self._busy:
            self._end("connection lost")
        self._engine.closed(self)

    def close(self) -> None:
        """Leave."""
        self._drop()

    def _drop(self) -> None:
        self.usable = False
        if self._transport:
            self._transport.abort()

    def _end(self, outcome: str, version: str = NO_VERSION) -> None:
        if self._busy:
            self._busy = False
            self._engine.answered(self, self._planned, self._sent_at, outcome, version)


def version_of(body: bytes) -> str:
    """The `model_version` of a V2 answer, without reading the rest."""
    at = body.find(b'"model_version"', 0, _VERSION_WITHIN)
    if at < 0:
        return NO_VERSION
    start = body.find(b'"', at + 16) + 1
    end = body.find(b'"', start)
    return body[start:end].decode("latin-1") if 0 < start < end else NO_VERSION
