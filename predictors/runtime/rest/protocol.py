"""Short infer requests answered at the pace of the event loop, not of a task each.

For a model that computes in microseconds, most of a request's time is the ASGI round (a task, a
scope, three coroutines, two writes) and code that has gone cold in between. So a plain POST to
the infer path, alone on its connection, is only collected where uvicorn's parser completes it.
Once every socket that was readable has been read, the whole turn is decoded, computed in as few
calls of the model as fit, encoded and written. One client waits for nobody; 64 clients share one
call. There is no timer.

Everything else (pages, HTTP/1.0, pipelined, compressed, chunked, over-long, with a deadline) takes
uvicorn's own way, to the same endpoint. uvicorn's version is pinned; tests hold both ways equal.

What comes while the queue is full is refused here whichever way it would have gone: no header is
looked at, no body kept, no line logged, and the answer is the same bytes for all. A refusal must
cost much less than an answer, or refusing keeps the server from answering.
"""

import asyncio
import time
from collections.abc import Sized
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from predictors.runtime.rest.app import PREPARED
from predictors.runtime.rest.bodies import CONTENT_TYPES
from predictors.runtime.rest.endpoint import Answer, Headers, InferEndpoint, error_answer
from predictors.runtime.rest.guard import Clients, GuardedProtocol
from predictors.runtime.v2.errors import ClientGone
from predictors.runtime.v2.record import Call
from predictors.runtime.v2.signature import Request

_TOGETHER = 64
_INDIRECT = frozenset({b"content-encoding", b"transfer-encoding", b"x-request-timeout-ms"})


class Turn:
    """The requests collected in this turn of the event loop."""

    def __init__(self, endpoint: InferEndpoint, waiting: Sized) -> None:
        self._endpoint = endpoint
        self._waiting = waiting  # requests on uvicorn's own way
        self._collected: list[tuple[DirectProtocol, Call, Headers, bytes]] = []
        self._met = 0  # requests taken in this turn, answered or not: what the last of them waits
        self._began_at = 0.0  # time.perf_counter() of the first of them
        self._full_at = 0.0  # and of the first that was refused after them; 0 before
        self._dated: object = None
        self._refusal = b""

    def full(self) -> bool:
        """Whether as many requests as the queue takes are ahead of the next one.

        A turn refuses for as long as it answered, then answers again: with thousands of clients
        that come back at once it would otherwise do little else than refuse.
        """
        if self._met + len(self._waiting) < self._endpoint.queue_size:
            return False
        now = time.perf_counter()
        if not self._full_at:
            self._full_at = now
        elif self._met and now - self._full_at > self._full_at - self._began_at:
            self._met, self._full_at = len(self._collected), 0.0
            self._began_at = now
            return self._met + len(self._waiting) >= self._endpoint.queue_size
        return True

    def refusal(self, dated: list[tuple[bytes, bytes]]) -> bytes:
        """Count a refusal; the whole answer, written anew when uvicorn's date changes."""
        self._endpoint.turn_away()
        if self._dated is not dated:
            self._dated = dated
            status, headers, body = error_answer(self._endpoint.overloaded)
            lines = [b"%b: %b\r\n" % pair for pair in (*dated, *headers)]
            self._refusal = b"".join((STATUS_LINE[status], *lines, b"\r\n", body))
        return self._refusal

    def add(self, protocol: "DirectProtocol", headers: Headers, body: bytes) -> None:
        """Collect a complete request."""
        if not self._met:
            asyncio.get_running_loop().call_soon(self._end)
            self._began_at = time.perf_counter()
        self._met += 1
        self._collected.append((protocol, self._endpoint.begin(headers), headers, body))
        if len(self._collected) >= _TOGETHER:
            self.run()  # enough to be warm; the first should not wait for hundreds more

    def _end(self) -> None:
        self._met, self._full_at = 0, 0.0
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
                self._met = max(self._met - 1, 0)  # it counts as waiting from here on
                protocol.hand_over((call, request))
        outputs = endpoint.compute([request for _, _, request in short])
        for (protocol, call, request), output in zip(short, outputs, strict=True):
            answers.append((protocol, endpoint.finish(call, request, output)))
        for protocol, answer in answers:
            protocol.write(answer)


class DirectProtocol(GuardedProtocol):
    """uvicorn's protocol with a short cut; the class attributes are set by `direct_protocol`."""

    turn: Turn
    short: bool
    max_body_bytes: int
    urls: frozenset[bytes]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusing = False  # a request that came to a full queue, until its body is over
        self._reading = False  # a request on the short way, until its body is complete
        self._collected = False  # one that waits for the turn to end
        self._fields: Headers = {}
        self._body = b""
        self._dated: list[tuple[bytes, bytes]] | None = None
        self._common = b""

    def on_message_begin(self) -> None:
        """Start a request; uvicorn's scope is made only where the application is asked."""
        if self._collected:
            self.turn.run()  # the request before this one, while url and headers are still its own
        self.begin_message()
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the way of this request."""
        self.check_head()
        plain = (
            self.url in self.urls
            and self._alone()
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and not self.flow.write_paused
        )
        if plain and self.turn.full():
            self._refusing = True
            return
        fields = self.fields
        if (
            plain
            and self.short
            and fields.get(b"content-type", b"application/json") in CONTENT_TYPES
            and _INDIRECT.isdisjoint(fields)
        ):
            self._reading = True
            self._fields = fields
            self._body = b""
        else:
            self._ask_application()

    def on_body(self, body: bytes) -> None:
        """Collect the body, up to the limit."""
        self.count_body(len(body))
        if self._refusing:
            return
        if not self._reading:
            super().on_body(body)
            return
        self._body = self._body + body if self._body else body
        if len(self._body) > self.max_body_bytes:
            self._leave()  # the application refuses it

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.end_message()
        if self._reading and self.turn.full():  # others were quicker with their bodies
            self._reading, self._refusing = False, True
        if self._refusing:
            self._refusing = False
            self.transport.write(self.turn.refusal(self.server_state.default_headers))
            self.on_response_complete()
        elif self._reading:
            self._reading = False
            self._collected = True
            self.turn.add(self, self._fields, self._body)
        else:
            super().on_message_complete()

    def hand_over(self, prepared: tuple[Call, Request]) -> None:
        """Let the application finish a checked request that is too long for the event loop."""
        self._collected = False
        self._ask_application(prepared)
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
        if self._refusing:
            self.transport.write(self.turn.refusal(self.server_state.default_headers))
        super().shutdown()

    def _alone(self) -> bool:
        """Whether no earlier request of this connection is still being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first, whatever its type
        return cycle is None or cycle.response_complete

    def _leave(self) -> None:
        """Take uvicorn's way after all, with what was read so far."""
        self._reading = False
        self._ask_application()
        super().on_body(self._body)

    def _ask_application(self, prepared: tuple[Call, Request] | None = None) -> None:
        """Take uvicorn's own way: make its scope, which is for this request alone, and its task."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the list that the scope holds
        if prepared is not None:
            self.scope[PREPARED] = prepared  # type: ignore[literal-required]  # uvicorn's type is closed
        super().on_headers_complete()


def direct_protocol(
    endpoint: InferEndpoint, waiting: Sized, max_body_bytes: int
) -> type[DirectProtocol]:
    """The protocol class of one server, for `uvicorn.Config(http=…)`."""
    facts = {
        "clients": Clients(),
        "turn": Turn(endpoint, waiting),
        "short": endpoint.short,
        "max_body_bytes": max_body_bytes,
        "urls": frozenset(path.encode() for path in endpoint.paths),
    }
    return type("DirectProtocol", (DirectProtocol,), facts)
