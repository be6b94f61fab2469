"""The HTTP of a dialect: JSON in, JSON or server-sent events out, errors in its own form."""

import asyncio
from collections.abc import AsyncIterator, Callable

import orjson

from predictors.runtime.dataplane.budget import Hold
from predictors.runtime.dataplane.coalescer import Coalescer, crashed
from predictors.runtime.dataplane.dialect import Dialect, Exchange
from predictors.runtime.dataplane.job import Piece, StreamJob
from predictors.runtime.dataplane.service import MIN_GENERATION
from predictors.runtime.dataplane.streaming import LONG_BYTES
from predictors.runtime.rest.asgi import Receive, Scope, Send
from predictors.runtime.rest.bodies import read_unpacked
from predictors.runtime.rest.caller import (
    Answer,
    deadline_of,
    error_answer,
    page_answer,
    send_whole,
    take_ids,
    with_ids,
)
from predictors.runtime.rest.pieces import pieces_of
from predictors.runtime.v2.errors import ClientGone, V2Error
from predictors.runtime.v2.outline import check_json
from predictors.runtime.v2.record import Record
from predictors.runtime.v2.signature import Request

_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


class DialectEndpoint:
    """Answers the requests of one dialect."""

    def __init__(
        self,
        dialect: Dialect,
        coalescer: Coalescer,
        *,
        max_body_bytes: int,
    ) -> None:
        self.takes = dialect.takes
        self._dialect = dialect
        self._coalescer = coalescer
        self._service = coalescer.service
        self._max_body_bytes = max_body_bytes

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope["method"], scope["path"]
        if method == "POST" and self._dialect.posts(path):
            await self._compute(path, scope, receive, send)
            return
        try:
            answer = page_answer(200, self._dialect.page(method, path))
        except V2Error as error:
            answer = self._refusal(error, [])
        await send_whole(answer, send)

    async def _compute(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        headers.pop(b"content-type", None)  # `curl -d` says that it is a form
        call = Record("rest")
        take_ids(call, headers)
        self._service.begin(call)
        hold = Hold(self._coalescer.budget, scope["client"])
        begun = entered = False
        failure: V2Error | None = None
        try:
            self._service.check_generation(headers.get(MIN_GENERATION))
            deadline = deadline_of(headers)
            self._coalescer.enter()
            entered = True
            body = await read_unpacked(headers, receive, self._max_body_bytes, hold)
            if len(body) > LONG_BYTES:
                exchange = await asyncio.to_thread(self._read, path, body)
            else:
                exchange = self._dialect.read(path, body)
            self._service.accept(call, Request(exchange.id, {}, exchange.rows, ()))
            streamed = exchange.streamed
            fields = with_ids([_EVENTS if streamed else _JSON], call, self._service)
            async for event, last in self._events(exchange, deadline, receive):
                if not begun:
                    begun = True
                    if not streamed:
                        fields.append((b"content-length", b"%d" % len(event)))
                    await send({"type": "http.response.start", "status": 200, "headers": fields})
                await send({"type": "http.response.body", "body": event, "more_body": not last})
        except V2Error as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
            failure = crashed(call, error)
        finally:
            hold.release()
            if entered:
                self._coalescer.leave()
        self._service.end(call, failure)
        if failure is None or isinstance(failure, ClientGone):
            return
        answer = self._refusal(failure, with_ids([], call, self._service))
        if begun:  # the status is sent: the error is an event, and the last one
            await send({"type": "http.response.body", "body": b"data: %b\n\n" % answer[2]})
        else:
            await send_whole(answer, send)

    def _read(self, path: str, body: bytes) -> Exchange:
        check_json(body)
        return self._dialect.read(path, body)

    async def _events(
        self, exchange: Exchange, deadline: float | None, receive: Receive
    ) -> AsyncIterator[tuple[bytes, bool]]:
        """Each event, or the whole answer; and whether it is the last."""

        def start(send: Callable[[Piece], None]) -> StreamJob:
            job = StreamJob({}, exchange.rows, send, deadline, in_pieces=exchange.streamed)
            exchange.submit(job)
            return job

        with pieces_of(start, receive) as pieces:
            last = False
            while not last:
                piece = await pieces.get()
                outputs, last = piece.result(), piece.last
                events = exchange.events(outputs, last=last)
                for number, event in enumerate(events, 1):
                    yield event, last and number == len(events)

    def _refusal(self, error: V2Error, fields: list[tuple[bytes, bytes]]) -> Answer:
        status, headers, _ = error_answer(error)
        body = orjson.dumps(self._dialect.error(error))
        kept = [field for field in headers if field[0] != b"content-length"]
        return status, [*kept, *fields, (b"content-length", b"%d" % len(body))], body
