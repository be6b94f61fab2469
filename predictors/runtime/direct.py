"""Short infer requests answered at the pace of the event loop, not of a task each.

For a model that computes in microseconds, most of a request's time is the ASGI round (a task, a
scope, three coroutines, two writes) and code that has gone cold in between. So a plain POST to
the infer path, alone on its connection, is only collected where uvicorn's parser completes it.
Once every socket that was readable has been read, the whole turn is decoded, computed in as few
calls of the model as fit, encoded and written. One client waits for nobody; 64 clients share one
call. There is no timer.

Everything else (pages, HTTP/1.0, pipelined, compressed, chunked, over-long, with a deadline) takes
uvicorn's own way, to the same endpoint. uvicorn's version is pinned; tests hold both ways equal.
"""

import asyncio
from collections.abc import Sized
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from predictors.runtime.bodies import CONTENT_TYPES
from predictors.runtime.call import Call
from predictors.runtime.endpoint import Answer, Headers, InferEndpoint
from predictors.runtime.errors import ClientGone, V2Error
from predictors.runtime.rest import PREPARED
from predictors.runtime.signature import Request

_TOGETHER = 64
_INDIRECT = frozenset({b"content-encoding", b"transfer-encoding", b"x-request-timeout-ms"})


class Turn:
    """The requests collected in this turn of the event loop."""

    def __init__(self, endpoint: InferEndpoint, waiting: Sized) -> None:
        self._endpoint = endpoint
        self._waiting = waiting  # requests on uvicorn's own way
        self._collected: list[tuple[DirectProtocol, Call, Headers, bytes]] = []
        self._met = 0  # requests of this turn, answered or not

    def add(self, protocol: "DirectProtocol", headers: Headers, body: bytes) -> None:
        """Collect a complete request; past the queue's size it is refused on the spot."""
        call = self._endpoint.begin(headers)
        if not self._met:
            asyncio.get_running_loop().call_soon(self._end)
        self._met += 1
        try:
            self._endpoint.admit(self._met + len(self._waiting))
        except V2Error as error:
            protocol.write(self._endpoint.refuse(call, error))
            return
        self._collected.append((protocol, call, headers, body))
        if len(self._collected) >= _TOGETHER:
            self.run()  # enough to be warm; the first should not wait for hundreds more

    def _end(self) -> None:
        self._met = 0
        self.run()

    def run(self) -> None:
        """Answer all that was collected, step by step rather than one by one."""
        endpoint = self._endpoint
        collected, self._collected = self._collected, []
        short: list[tuple[DirectProtocol, Call, Request]] = []
        answers: list[tuple[DirectProtocol, Answer]] = []
        for protocol, call, headers, body in collected:
            if protocol.transport.is_closing():
                endpoint.refuse(call, ClientGone("the client left"))
                continue
            request = endpoint.check(call, headers, body)
            if not isinstance(request, Request):
                answers.append((protocol, request))
            elif endpoint.is_short(request):
                short.append((protocol, call, request))
            else:
                protocol.hand_over((call, request))
        outputs = endpoint.compute([request for _, _, request in short])
        for (protocol, call, request), output in zip(short, outputs, strict=True):
            answers.append((protocol, endpoint.finish(call, request, output)))
        for protocol, answer in answers:
            protocol.write(answer)


class DirectProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a short cut; the class attributes are set by `direct_protocol`."""

    turn: Turn
    short: bool
    max_body_bytes: int
    urls: frozenset[bytes]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading = False  # a request on the short way, until its body is complete
        self._collected = False  # one that waits for the turn to end
        self._fields: Headers = {}
        self._body = b""
        self._dated: list[tuple[bytes, bytes]] | None = None
        self._common = b""

    def on_message_begin(self) -> None:
        """Send the request before this one on its way while scope and headers are still its own."""
        if self._collected:
            self.turn.run()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Choose the way of this request."""
        fields = dict(self.headers)
        if (
            self.url in self.urls
            and self.short
            and self._alone()
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and not self.flow.write_paused
            and fields.get(b"content-type", b"application/json") in CONTENT_TYPES
            and _INDIRECT.isdisjoint(fields)
        ):
            self._reading = True
            self._fields = fields
            self._body = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Collect the body, up to the limit."""
        if not self._reading:
            super().on_body(body)
            return
        self._body = self._body + body if self._body else body
        if len(self._body) > self.max_body_bytes:
            self._leave()  # the application refuses it

    def on_message_complete(self) -> None:
        """The request is whole."""
        if not self._reading:
            super().on_message_complete()
            return
        self._reading = False
        self._collected = True
        self.turn.add(self, self._fields, self._body)

    def hand_over(self, prepared: tuple[Call, Request]) -> None:
        """Let the application finish a checked request that is too long for the event loop."""
        self._collected = False
        self.scope[PREPARED] = prepared  # type: ignore[literal-required]
        super().on_headers_complete()
        super().on_message_complete()

    def write(self, answer: Answer) -> None:
        """Answer the collected request."""
        self._collected = False
        if self.transport.is_closing():
            return
        status, headers, body = answer
        if self._dated is not self.server_state.default_headers:
            self._dated = self.server_state.default_headers
            self._common = b"".join([b"%b: %b\r\n" % pair for pair in self._dated])
        lines = [b"%b: %b\r\n" % pair for pair in headers]
        self.transport.write(b"".join((STATUS_LINE[status], self._common, *lines, b"\r\n", body)))
        if (b"connection", b"close") in headers:
            self.transport.close()
        self.on_response_complete()

    def shutdown(self) -> None:
        """Let a request that has begun be answered before the connection closes."""
        if self._collected:
            self.turn.run()
        if self._reading:
            self._leave()
        super().shutdown()

    def _alone(self) -> bool:
        """Whether no earlier request of this connection is still being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first, whatever its type
        return cycle is None or cycle.response_complete

    def _leave(self) -> None:
        """Take uvicorn's way after all, with what was read so far."""
        self._reading = False
        super().on_headers_complete()
        super().on_body(self._body)


def direct_protocol(
    endpoint: InferEndpoint, waiting: Sized, max_body_bytes: int
) -> type[DirectProtocol]:
    """The protocol class of one server, for `uvicorn.Config(http=…)`."""
    facts = {
        "turn": Turn(endpoint, waiting),
        "short": endpoint.short,
        "max_body_bytes": max_body_bytes,
        "urls": frozenset(path.encode() for path in endpoint.paths),
    }
    return type("DirectProtocol", (DirectProtocol,), facts)
