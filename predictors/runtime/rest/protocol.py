"""uvicorn's protocol, with a short cut for infer requests.

For a small request the ASGI round costs more than all else: a task, a scope, three coroutines, two
writes. So a plain POST to the infer path, alone on its connection, goes to the coalescer where
uvicorn's parser completes it, and its answer is one write.

Everything else (pages, HTTP/1.0, pipelined, compressed, chunked, over-long) takes uvicorn's own
way, and to the same coalescer. uvicorn's version is pinned; tests hold both ways equal.

What comes while the queue is full is refused here whichever way it would have gone: no header is
looked at, no body kept, no line logged, and the answer is the same bytes for all.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from predictors.runtime.dataplane.budget import LARGE_BYTES, SMALL_BYTES, Hold
from predictors.runtime.dataplane.coalescer import Coalescer
from predictors.runtime.dataplane.service import MIN_GENERATION
from predictors.runtime.rest.bodies import CONTENT_TYPES
from predictors.runtime.rest.caller import (
    Answer,
    Headers,
    RestCaller,
    error_answer,
    infer_paths,
)
from predictors.runtime.rest.guard import Clients, GuardedProtocol
from predictors.runtime.v2.errors import Overloaded, V2Error

_INDIRECT = frozenset({b"content-encoding", b"transfer-encoding", MIN_GENERATION})


class Refusals:
    """What is answered to a full queue, written anew when uvicorn's date changes."""

    def __init__(self, coalescer: Coalescer) -> None:
        self._coalescer = coalescer
        self._dated: object = None
        self._whole = b""

    def one(self, dated: list[tuple[bytes, bytes]]) -> bytes:
        """Count a refusal; the whole answer."""
        error = self._coalescer.turn_away()
        if self._dated is not dated:
            self._dated = dated
            self._whole = whole(error_answer(error), dated)
        return self._whole


def whole(answer: Answer, dated: list[tuple[bytes, bytes]]) -> bytes:
    """An answer as it is written."""
    status, headers, body = answer
    lines = [b"%b: %b\r\n" % pair for pair in (*dated, *headers)]
    return b"".join((STATUS_LINE[status], *lines, b"\r\n", body))


class DirectCaller(RestCaller):
    """A request on the short way."""

    def __init__(self, protocol: "DirectProtocol", headers: Headers) -> None:
        super().__init__(protocol.coalescer, headers, protocol.max_body_bytes)
        self._protocol = protocol

    @property
    def gone(self) -> bool:
        return self._protocol.transport.is_closing()

    def holding(self) -> Hold:
        if self.hold is None:
            self.hold = Hold(self._coalescer.budget, self._protocol)
        return self.hold

    def send(self, answer: Answer) -> None:
        hold, self.hold = self.hold, None
        self._protocol.write(answer, hold)

    def fail(self, error: V2Error) -> None:
        self.release()
        self._protocol.write(self.error(error), None)

    def wait(self) -> None:
        self._protocol.wait(self)


class Waiting:
    """Stands in the place of uvicorn's cycle while an answer takes more than a turn.

    uvicorn then queues what is pipelined behind it, and lets it end before it shuts down.
    """

    def __init__(self, caller: DirectCaller) -> None:
        self.caller = caller
        self.response_started = False
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True
        self.body = bytearray()
        self.more_body = False
        self.message_event = asyncio.Event()


class DirectProtocol(GuardedProtocol):
    """uvicorn's protocol with a short cut; the class attributes are set by `direct_protocol`."""

    coalescer: Coalescer
    refusals: Refusals
    max_body_bytes: int
    urls: frozenset[bytes]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusing = False  # a request that came to a full queue, until its body is over
        self._fault: Overloaded | None = None  # why else it is refused
        self._reading = False  # a request on the short way, until its body is complete
        self._collected = False  # one that waits for the turn to end
        self._fields: Headers = {}
        self._body = b""
        self._parts: list[bytes] = []  # of a body that comes in several
        self._size = 0  # of the parts
        self._hold: Hold | None = None  # of a large body, and then of a large answer
        self._waiting: Waiting | None = None  # a request whose answer takes more than a turn
        self._dated: list[tuple[bytes, bytes]] | None = None
        self._common = b""

    def on_message_begin(self) -> None:
        """Start a request; uvicorn's scope is made only where the application is asked."""
        if self._collected:
            self.coalescer.run()  # the one before this, while url and headers are still its own
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
        if plain and self.coalescer.full():
            self._refusing = True
            return
        fields = self.fields
        if (
            plain
            and fields.get(b"content-type", b"application/json") in CONTENT_TYPES
            and _INDIRECT.isdisjoint(fields)
        ):
            self._reading = True
            self._fields = fields
            self._size = 0
        else:
            self._ask_application()

    def on_body(self, body: bytes) -> None:
        """Collect the body, up to the limits."""
        self.count_body(len(body))
        if self._refusing:
            return
        if not self._reading:
            super().on_body(body)
            return
        if self._size:
            if not self._parts:
                self._parts.append(self._body)
            self._parts.append(body)
        else:
            self._body = body
        self._size += len(body)
        if self._size > self.max_body_bytes:
            self._leave()  # the application refuses it
        elif self._size > SMALL_BYTES:
            self._count()

    def _count(self) -> None:
        """Count a large body against the budget; past it the rest is thrown away as it comes."""
        if self._hold is None:
            self._hold = Hold(self.coalescer.budget, self)
        try:
            self._hold.grow(self._size - self._hold.size)
        except Overloaded as error:
            self._reading, self._refusing, self._fault = False, True, error
            self._whole()
            self._let_go()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.end_message()
        if self._reading and self.coalescer.full():  # others were quicker with their bodies
            self._reading, self._refusing = False, True
            self._whole()
            self._let_go()
        if self._refusing:
            self.transport.write(self._refused())
            self.on_response_complete()
        elif self._reading:
            self._reading = False
            self._collected = True
            caller = DirectCaller(self, self._fields)
            caller.service.begin(caller)
            caller.take(self._whole())
            if self._hold is not None:
                caller.hold, self._hold = self._hold, None
            self.coalescer.collect(caller)
        else:
            super().on_message_complete()

    def _whole(self) -> bytes:
        """The body, which is kept no longer."""
        if self._parts:
            self._body = b"".join(self._parts)
            self._parts.clear()
        body = self._body if self._size else b""
        self._body = b""
        return body

    def _refused(self) -> bytes:
        """The answer to a request whose body was not kept."""
        fault, self._fault = self._fault, None
        self._refusing = False
        dated = self.server_state.default_headers
        if fault is None:
            return self.refusals.one(dated)
        self.coalescer.service.turn_away()
        return whole(error_answer(fault), dated)

    def wait(self, caller: DirectCaller) -> None:
        """Let a request be answered in a later turn."""
        if self._waiting is not None:
            return  # it was read in one later turn, and is computed in another
        self._waiting = Waiting(caller)
        # It has what HttpToolsProtocol asks of a cycle.
        self.cycle = cast("RequestResponseCycle", self._waiting)

    def write(self, answer: Answer, hold: Hold | None) -> None:
        """Answer the collected request; what is held is let go once that is sent."""
        self._collected = False
        closes = False
        if self._waiting is not None:
            self._waiting.response_complete = True
            closes = not self._waiting.keep_alive
            self._waiting = None
        if self.transport.is_closing():
            if hold is not None:
                hold.release()
            return
        status, headers, body = answer
        if self._dated is not self.server_state.default_headers:
            self._dated = self.server_state.default_headers
            self._common = b"".join([b"%b: %b\r\n" % pair for pair in self._dated])
        if closes and (b"connection", b"close") not in headers:
            headers.append((b"connection", b"close"))
        lines = [b"%b: %b\r\n" % pair for pair in headers]
        if len(body) > LARGE_BYTES:  # joining would copy it while everybody waits
            self.transport.write(b"".join((STATUS_LINE[status], self._common, *lines, b"\r\n")))
            self.transport.write(body)
        else:
            parts = (STATUS_LINE[status], self._common, *lines, b"\r\n", body)
            self.transport.write(b"".join(parts))
        if hold is not None:
            self._hold = hold
            if not self.flow.write_paused:
                self._let_go()
        if (b"connection", b"close") in headers:
            self.transport.close()
        self.on_response_complete()

    def resume_writing(self) -> None:
        """What was written is on its way."""
        super().resume_writing()
        if not self._reading:
            self._let_go()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and what it waits for is not needed any more."""
        super().connection_lost(exc)
        self._let_go()
        if self._waiting is not None:
            self.coalescer.left(self._waiting.caller)

    def shutdown(self) -> None:
        """Let a request that has begun be answered before the connection closes."""
        if self._collected and self._alone():
            self.coalescer.run()
        if self._reading:
            self._leave()
        if self._refusing:
            self.transport.write(self._refused())
        super().shutdown()

    def _alone(self) -> bool:
        """Whether no earlier request of this connection is still being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first, whatever its type
        return cycle is None or cycle.response_complete

    def _let_go(self) -> None:
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def _leave(self) -> None:
        """Take uvicorn's way after all, with what was read so far."""
        self._reading = False
        self._let_go()
        self._ask_application()
        super().on_body(self._whole())

    def _ask_application(self) -> None:
        """Take uvicorn's own way: make its scope, which is for this request alone, and its task."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the list that the scope holds
        super().on_headers_complete()


def refresh_paths(protocol: type[DirectProtocol]) -> None:
    """Take the infer paths of the coalescer's service."""
    protocol.urls = frozenset(path.encode() for path in infer_paths(protocol.coalescer))


def direct_protocol(coalescer: Coalescer, max_body_bytes: int) -> type[DirectProtocol]:
    """The protocol class of one server, for `uvicorn.Config(http=…)`."""
    facts = {
        "clients": Clients(),
        "coalescer": coalescer,
        "refusals": Refusals(coalescer),
        "max_body_bytes": max_body_bytes,
        "urls": frozenset(path.encode() for path in infer_paths(coalescer)),
    }
    return type("DirectProtocol", (DirectProtocol,), facts)
