"""REST `generate` and `generate_stream`: one prompt, answered whole or as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import orjson

from predictors.runtime.dataplane.budget import LARGE_BYTES, Hold
from predictors.runtime.dataplane.coalescer import Coalescer, crashed
from predictors.runtime.dataplane.job import Piece, StreamJob
from predictors.runtime.dataplane.service import MIN_GENERATION
from predictors.runtime.rest.asgi import Receive, Scope, Send
from predictors.runtime.rest.bodies import read_unpacked
from predictors.runtime.rest.caller import (
    Answer,
    Headers,
    deadline_of,
    refusal,
    take_ids,
    with_ids,
)
from predictors.runtime.rest.pieces import pieces_of
from predictors.runtime.v2.body.generate_codec import decode_generate, encode_generate
from predictors.runtime.v2.errors import ClientGone, V2Error
from predictors.runtime.v2.record import Record
from predictors.runtime.v2.signature import Request

_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


class GenerateEndpoint:
    """Answers generate requests of a StreamingModel."""

    def __init__(self, coalescer: Coalescer, *, max_body_bytes: int) -> None:
        self._coalescer = coalescer
        self._service = coalescer.service
        self._max_body_bytes = max_body_bytes
        model = self._service.model
        bases = (f"/v2/models/{model.name}", f"/v2/models/{model.name}/versions/{model.version}")
        self.paths = {f"{base}/generate": False for base in bases}
        self.paths |= {f"{base}/generate_stream": True for base in bases}

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: errors with a status of their own until the first piece is sent."""
        headers = dict(scope["headers"])
        headers.pop(b"content-type", None)  # Triton's examples are plain `curl -d`: a form to curl
        call = Record("rest")
        take_ids(call, headers)
        self._service.begin(call)
        hold = Hold(self._coalescer.budget, scope["client"])
        streamed = self.paths[scope["path"]]
        begun = False
        entered = False
        answer: Answer | None = None
        try:
            self._service.check_generation(headers.get(MIN_GENERATION))
            deadline = deadline_of(headers)
            self._coalescer.enter()
            entered = True
            request = await self._read(headers, receive, hold, streamed=streamed)
            self._service.accept(call, request)
            fields = with_ids([_EVENTS if streamed else _JSON], call, self._service)
            async for line, last in self._lines(request, deadline, receive, streamed=streamed):
                if not begun:
                    begun = True
                    if not streamed:
                        fields.append((b"content-length", b"%d" % len(line)))
                    await send({"type": "http.response.start", "status": 200, "headers": fields})
                await send({"type": "http.response.body", "body": line, "more_body": not last})
            self._service.end(call, None)
        except ClientGone as error:
            self._service.end(call, error)  # nobody is there to answer
        except V2Error as error:
            answer = self._refused(call, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
            answer = self._refused(call, crashed(call, error))
        finally:
            hold.release()
            if entered:
                self._coalescer.leave()
        if answer is not None:
            status, fields, body = answer
            if begun:  # the status is sent: the error is an event, and the last one
                body = b"data: %b\n\n" % body
            else:
                await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": body})

    def _refused(self, call: Record, error: V2Error) -> Answer:
        self._service.end(call, error)
        return refusal(error, call, self._service)

    async def _read(
        self, headers: Headers, receive: Receive, hold: Hold, *, streamed: bool
    ) -> Request:
        body = await read_unpacked(headers, receive, self._max_body_bytes, hold)
        read = partial(decode_generate, signature=self._service.model.signature, streamed=streamed)
        if len(body) > LARGE_BYTES:
            return await asyncio.to_thread(read, body)
        return read(body)

    async def _lines(
        self, request: Request, deadline: float | None, receive: Receive, *, streamed: bool
    ) -> AsyncIterator[tuple[bytes, bool]]:
        """Each piece as an event, or the whole answer as JSON; and whether it is the last."""

        def start(send: Callable[[Piece], None]) -> StreamJob:
            job = StreamJob(request.arrays, request.rows, send, deadline, in_pieces=streamed)
            job.timing = request.timing
            self._service.batcher.submit(job)
            return job

        model = self._service.model
        with pieces_of(start, receive) as pieces:
            last = False
            while not last:
                piece = await pieces.get()
                outputs, last = piece.result(), piece.last
                line = encode_generate(request, outputs, model.name, model.version)
                if streamed:
                    line |= {"done": last}
                text = orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY)
                yield (b"data: %b\n\n" % text if streamed else text), last
