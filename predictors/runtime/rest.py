"""V2 over REST: an ASGI application without a framework.

Stock kserve spends 85 % of a small request in a dozen layers between the socket and the model. An
exact path, one decode and one encode is all that V2 needs. What is not V2 is refused by name.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sized
from typing import Any

import orjson

from predictors.runtime.batching import Arrays, Job
from predictors.runtime.bodies import json_length, read_body
from predictors.runtime.decode import decode
from predictors.runtime.encode import encode
from predictors.runtime.errors import (
    ClientGone,
    InferenceFailed,
    InvalidRequest,
    Overloaded,
    V2Error,
    WrongMethod,
)
from predictors.runtime.pages import Pages
from predictors.runtime.service import Call, Service

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
logger = logging.getLogger("serin.rest")


class RestApp:
    """The ASGI application of one model server."""

    def __init__(
        self, service: Service, *, waiting: Sized, queue_size: int, max_body_bytes: int
    ) -> None:
        self._service = service
        self._waiting = waiting  # uvicorn's set of requests begun and not answered
        self._queue_size = queue_size
        self._max_body_bytes = max_body_bytes
        self._pages = Pages(service)
        base = f"/v2/models/{service.model.name}"
        self._infer_paths = {
            f"{base}/infer",
            f"{base}/versions/{service.model.version}/infer",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] in self._infer_paths and scope["method"] == "POST":
            await self._infer(scope, receive, send)
            return
        try:
            status, document = self._pages.answer(scope["method"], scope["path"])
            extra = ()
        except V2Error as error:
            status, document, extra = error.status, {"error": str(error)}, _headers_of(error)
        body = orjson.dumps(document)
        await _send(send, status, body, _JSON, *extra, head=scope["method"] == "HEAD")

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        call = service.begin("rest")
        headers = dict(scope["headers"])
        failure: V2Error | None = None
        extra: tuple[tuple[bytes, bytes], ...] = ()
        status, kind, form = 200, _JSON, None
        try:
            if headers.keys() & _TRACED:
                extra = _take_over(headers, call)
            service.admit(len(self._waiting), self._queue_size)
            body = await read_body(headers, receive, self._max_body_bytes)
            request = decode(body, json_length(headers), service.model.signature)
            call.request_id, call.rows = request.id, request.rows
            if request.rows <= service.batcher.inline_rows:
                outputs = service.batcher.run(request.arrays, request.rows)
            else:
                outputs = await self._queued(request.arrays, request.rows, headers, receive)
            body, form = encode(request, outputs, service.model.name, service.model.version)
            if form is not None:
                kind = _BINARY
                extra += ((b"inference-header-content-length", b"%d" % form),)
        except V2Error as error:
            failure = error
        except Exception as error:  # a fault of ours must be an answer and a log line
            logger.exception("request failed", extra={"request_id": call.request_id})
            failure = InferenceFailed(f"internal error: {type(error).__name__}")
        if failure is not None:
            status, body = failure.status, orjson.dumps({"error": str(failure)})
            extra += _headers_of(failure)
        try:
            if not isinstance(failure, ClientGone):
                await _send(send, status, body, kind, *extra)
        finally:
            service.end(call, failure, status)

    async def _queued(
        self, arrays: Arrays, rows: int, headers: dict[bytes, bytes], receive: Receive
    ) -> Arrays:
        """Wait for the worker, or for the client to leave."""
        loop = asyncio.get_running_loop()
        finished = loop.create_future()
        job = Job(
            arrays,
            rows,
            lambda: loop.call_soon_threadsafe(_wake, finished),
            _deadline(headers),
        )
        self._service.batcher.submit(job)
        leaving = asyncio.ensure_future(receive())  # the body is read: only http.disconnect is left
        try:
            await asyncio.wait((finished, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        if not finished.done():
            job.gone = True
            raise ClientGone("the client left")
        return job.result()


def _wake(finished: "asyncio.Future[None]") -> None:
    if not finished.done():
        finished.set_result(None)


_TRACED = {b"x-request-id", b"traceparent"}


def _take_over(headers: dict[bytes, bytes], call: Call) -> tuple[tuple[bytes, bytes], ...]:
    """Log the proxy's ids and give them back with the answer."""
    call.client_id = headers.get(b"x-request-id", b"").decode("latin-1")[:128]
    call.traceparent = headers.get(b"traceparent", b"").decode("latin-1")[:128]
    return tuple((name, headers[name]) for name in _TRACED if name in headers)


def _deadline(headers: dict[bytes, bytes]) -> float | None:
    given = headers.get(b"x-request-timeout-ms")
    if given is None:
        return None
    if not given.isdigit() or len(given) > 12:  # noqa: PLR2004 - thirty years
        raise InvalidRequest(f"x-request-timeout-ms must be milliseconds, got {given[:40]!r}")
    return time.perf_counter() + int(given) / 1000


def _headers_of(error: V2Error) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, WrongMethod):
        return ((b"allow", error.allow.encode()),)
    return ((b"retry-after", b"1"),) if isinstance(error, Overloaded) else ()


async def _send(
    send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes], head: bool = False
) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": b"" if head else body})
