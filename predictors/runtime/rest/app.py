"""V2 over REST: an ASGI application without a framework.

Stock kserve spends 85 % of a small request in a dozen layers between the socket and the model. An
exact path, one decode and one encode is all that V2 needs. What is not V2 is refused by name.
"""

import asyncio

from predictors.runtime.dataplane.budget import Hold
from predictors.runtime.dataplane.coalescer import Coalescer
from predictors.runtime.dataplane.service import MIN_GENERATION
from predictors.runtime.dataplane.streaming import StreamingModel
from predictors.runtime.rest.asgi import Receive, Scope, Send, client_left
from predictors.runtime.rest.bodies import read_body
from predictors.runtime.rest.caller import (
    Answer,
    Headers,
    RestCaller,
    error_answer,
    infer_paths,
    page_answer,
    send_whole,
)
from predictors.runtime.rest.dialect import DialectEndpoint
from predictors.runtime.rest.files import FileRequests
from predictors.runtime.rest.generate import GenerateEndpoint
from predictors.runtime.rest.pages import Pages
from predictors.runtime.v2.errors import ClientGone, V2Error
from predictors.runtime.v2.signature import Request


class RestApp:
    """The ASGI application of one model server."""

    def __init__(
        self,
        coalescer: Coalescer,
        *,
        max_rows: int,
        max_body_bytes: int,
    ) -> None:
        self._coalescer = coalescer
        self._max_rows = max_rows
        self._max_body_bytes = max_body_bytes
        self.refresh()

    def refresh(self) -> None:
        """Answer with the coalescer's service; what has begun ends on the one that it began on."""
        coalescer, most = self._coalescer, self._max_body_bytes
        service = coalescer.service
        model = service.model
        self._generate: GenerateEndpoint | None = None  # where the model streams
        self._dialect: DialectEndpoint | None = None  # where the model speaks one
        if isinstance(model, StreamingModel):
            self._generate = GenerateEndpoint(coalescer, max_body_bytes=most)
            if (spoken := model.dialect()) is not None:
                self._dialect = DialectEndpoint(spoken, coalescer, max_body_bytes=most)
        self._pages = Pages(service, service.config(self._max_rows))
        self._paths = infer_paths(coalescer)
        self._files = FileRequests(model.signature)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        _ = self._coalescer.service  # a switch that is due replaces what follows
        method, path = scope["method"], scope["path"]
        if method == "POST" and self._generate is not None and path in self._generate.paths:
            await self._generate.answer(scope, receive, send)
            return
        if self._dialect is not None and self._dialect.takes(path):
            await self._dialect.answer(scope, receive, send)
            return
        if method == "POST" and path in self._paths:
            await self._infer(scope, receive, send)
            return
        try:
            answer = page_answer(*self._pages.answer(method, path))
        except V2Error as error:
            answer = error_answer(error)
        await send_whole(answer, send)

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a request and let it be answered with the others of its turn."""
        caller = AsgiCaller(self._coalescer, scope, self._max_body_bytes, self._files)
        try:
            caller.service.begin(caller)
            await self._read(caller, receive)
            leaving = asyncio.ensure_future(client_left(receive))
            await asyncio.wait((caller.answered, leaving), return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if not caller.answered.done():
                caller.has_left = True
                self._coalescer.left(caller)
            elif (answer := caller.answered.result()) is not None:
                await send_whole(answer, send)
        finally:
            if not caller.waits:
                caller.release()

    async def _read(self, caller: "AsgiCaller", receive: Receive) -> None:
        coalescer = self._coalescer
        try:
            caller.service.check_generation(caller.headers.get(MIN_GENERATION))
            coalescer.enter()
            try:
                body = await read_body(
                    caller.headers,
                    receive,
                    self._max_body_bytes,
                    caller.holding(),
                    self._files.content_types,
                )
            finally:
                coalescer.leave()
        except V2Error as error:
            coalescer.refuse(caller, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
            coalescer.crash(caller, error)
        else:
            caller.take(body)
            coalescer.collect(caller)


class AsgiCaller(RestCaller):
    """A request on uvicorn's own way: of files, compressed, chunked, pipelined or of HTTP/1.0."""

    def __init__(
        self, coalescer: Coalescer, scope: Scope, max_bytes: int, files: FileRequests
    ) -> None:
        self.headers: Headers = dict(scope["headers"])
        self._files = files
        self._files_type = b""
        """The content type of a body of files; nothing else reads that header then."""
        if files.takes(self.headers.get(b"content-type")):
            self._files_type = self.headers.pop(b"content-type")
        super().__init__(coalescer, self.headers, max_bytes)
        self._client = scope["client"]
        self.answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.has_left = False

    @property
    def gone(self) -> bool:
        return self.has_left

    def read(self, body: bytes) -> Request:
        if self._files_type:
            return self._files.request(self._files_type, body)
        return super().read(body)

    def holding(self) -> Hold:
        if self.hold is None:
            self.hold = Hold(self._coalescer.budget, self._client)
        return self.hold

    def send(self, answer: Answer | None) -> None:
        if not self.answered.done():
            self.answered.set_result(answer)

    def fail(self, error: V2Error) -> None:
        self.send(None if isinstance(error, ClientGone) else self.error(error))
