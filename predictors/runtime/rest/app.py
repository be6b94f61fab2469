"""V2 over REST: an ASGI application without a framework.

Stock kserve spends 85 % of a small request in a dozen layers between the socket and the model. An
exact path, one decode and one encode is all that V2 needs. What is not V2 is refused by name.
"""

import asyncio
from collections.abc import Sized

from predictors.runtime.dataplane.batcher import Batcher
from predictors.runtime.dataplane.job import Job
from predictors.runtime.rest.asgi import Receive, Scope, Send, client_left
from predictors.runtime.rest.bodies import read_body
from predictors.runtime.rest.dialect import DialectEndpoint
from predictors.runtime.rest.endpoint import (
    Answer,
    InferEndpoint,
    Prepared,
    deadline_of,
    error_answer,
    page_answer,
)
from predictors.runtime.rest.generate import GenerateEndpoint
from predictors.runtime.rest.pages import Pages
from predictors.runtime.v2.errors import ClientGone, V2Error
from predictors.runtime.v2.signature import Outputs, Request

PREPARED = "serin.prepared"
"""Scope key of a request that `DirectProtocol` has checked already."""


class RestApp:
    """The ASGI application of one model server."""

    def __init__(
        self,
        endpoint: InferEndpoint,
        pages: Pages,
        batcher: Batcher,
        *,
        waiting: Sized,
        max_body_bytes: int,
        generate: GenerateEndpoint | None = None,
        dialect: DialectEndpoint | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._generate = generate  # where the model streams
        self._dialect = dialect  # where the model speaks one
        self._pages = pages
        self._batcher = batcher
        self._waiting = waiting  # uvicorn's set of requests begun and not answered
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope["method"], scope["path"]
        if method == "POST" and self._generate is not None and path in self._generate.paths:
            await self._generate.answer(scope, receive, send)
            return
        if self._dialect is not None and self._dialect.takes(path):
            await self._dialect.answer(scope, receive, send)
            return
        if method == "POST" and path in self._endpoint.paths:
            answer = await self._infer(scope, receive)
        else:
            try:
                answer = page_answer(*self._pages.answer(method, path))
            except V2Error as error:
                answer = error_answer(error)
        if answer is not None:
            status, headers, body = answer
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _infer(self, scope: Scope, receive: Receive) -> Answer | None:
        headers = dict(scope["headers"])
        prepared: Prepared | None = scope.get(PREPARED)
        call = prepared[0] if prepared else self._endpoint.begin(headers)
        try:
            deadline = deadline_of(headers)
            if prepared is None:
                self._endpoint.admit(len(self._waiting))
                body = await read_body(headers, receive, self._max_body_bytes)
                request = self._endpoint.check(call, headers, body)
                if not isinstance(request, Request):
                    return request
            else:
                request = prepared[1]
            outputs: Outputs | V2Error
            if self._endpoint.is_short(request):
                (outputs,) = self._endpoint.compute([request])
            else:
                outputs = await self._queued(request, deadline, receive)
            return self._endpoint.finish(call, request, outputs)
        except ClientGone as error:
            self._endpoint.refuse(call, error)  # counted and logged; nobody is there to answer
            return None
        except V2Error as error:
            return self._endpoint.refuse(call, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
            return self._endpoint.crash(call, error)

    async def _queued(self, request: Request, deadline: float | None, receive: Receive) -> Outputs:
        """Wait for the worker, or for the client to leave."""
        loop = asyncio.get_running_loop()
        finished = loop.create_future()
        job = Job(
            request.arrays,
            request.rows,
            lambda: _finish(loop, finished),
            deadline,
        )
        job.timing = request.timing
        self._batcher.submit(job)
        leaving = asyncio.ensure_future(client_left(receive))
        try:
            await asyncio.wait((finished, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        if not finished.done():
            job.gone = True
            raise ClientGone("the client left")
        return job.result()


def _finish(loop: asyncio.AbstractEventLoop, finished: "asyncio.Future[None]") -> None:
    """Called by the worker's thread."""
    loop.call_soon_threadsafe(_wake, finished)


def _wake(finished: "asyncio.Future[None]") -> None:
    if not finished.done():
        finished.set_result(None)
