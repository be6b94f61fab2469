"""REST infer without its transport: headers and body in, status, headers and body out."""

import logging
import time

import orjson

from predictors.runtime.dataplane.service import Service
from predictors.runtime.dataplane.shadow import HEADER as SHADOW
from predictors.runtime.rest.bodies import json_length
from predictors.runtime.v2.decode import decode
from predictors.runtime.v2.encode import encode
from predictors.runtime.v2.errors import (
    InferenceFailed,
    InvalidRequest,
    Overloaded,
    V2Error,
    WrongMethod,
)
from predictors.runtime.v2.record import Call
from predictors.runtime.v2.signature import Outputs, Request

Headers = dict[bytes, bytes]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers and body."""
Prepared = tuple[Call, Request]
"""A checked request that waits for its computation."""

_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
logger = logging.getLogger("serin.rest")


class InferEndpoint:
    """Answers infer requests; what is short at once, what is long in two steps."""

    def __init__(self, service: Service, queue_size: int) -> None:
        self._service = service
        self.queue_size = queue_size
        self.overloaded = Overloaded(
            f"model '{service.model.name}': its queue of {queue_size} requests is full"
        )
        base = f"/v2/models/{service.model.name}"
        self.paths = frozenset({f"{base}/infer", f"{base}/versions/{service.model.version}/infer"})

        self.short = service.batcher.inline_rows > 0
        """Whether one-row requests are computed where they arrive."""

    def begin(self, headers: Headers) -> Call:
        """Count a request in and take over the ids that a proxy gave it."""
        call = self._service.begin("rest")
        if b"x-request-id" in headers:
            call.client_id = headers[b"x-request-id"].decode("latin-1")[:128]
        if b"traceparent" in headers:
            call.traceparent = headers[b"traceparent"].decode("latin-1")[:128]
        if SHADOW in headers:
            call.shadow = headers[SHADOW]
        return call

    def admit(self, waiting: int) -> None:
        """Raise NotReady or Overloaded where waiting would be in vain."""
        self._service.check_ready()
        if waiting > self.queue_size:
            raise self.overloaded

    def turn_away(self) -> None:
        """Count a request that is refused unread, because the queue is full."""
        self._service.turn_away()

    def check(self, call: Call, headers: Headers, body: bytes) -> Request | Answer:
        """Decode a request; an Answer is its refusal."""
        try:
            request = decode(body, json_length(headers), self._service.model.signature)
        except V2Error as error:
            return self.refuse(call, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
            return self.crash(call, error)
        self._service.accept(call, request)
        return request

    def is_short(self, request: Request) -> bool:
        """Whether to compute a request where it arrived."""
        return self._service.batcher.is_short(request)

    def compute(self, requests: list[Request]) -> list[Outputs | V2Error]:
        """Compute short requests, together where they fit."""
        return self._service.batcher.run_many(requests)

    def finish(self, call: Call, request: Request, outputs: Outputs | V2Error) -> Answer:
        """Encode the outputs, or the error in their place; the call is over."""
        model = self._service.model
        try:
            if isinstance(outputs, V2Error):
                raise outputs
            body, json_part = encode(request, outputs, model.name, model.version)
        except V2Error as error:
            return self.refuse(call, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
            return self.crash(call, error)
        self._service.end(call, None, 200, outputs)
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        if json_part is not None:
            headers[0] = _BINARY
            headers.append((b"inference-header-content-length", b"%d" % json_part))
        return 200, self.with_ids(headers, call), body

    def refuse(self, call: Call, error: V2Error) -> Answer:
        """Answer with an error; the call is over."""
        self._service.end(call, error, error.status)
        status, headers, body = error_answer(error)
        return status, self.with_ids(headers, call), body

    def crash(self, call: Call, error: Exception) -> Answer:
        """Answer an unforeseen exception, and log it whole."""
        logger.error("request failed", exc_info=error, extra={"request_id": call.request_id})
        return self.refuse(call, InferenceFailed(f"internal error: {type(error).__name__}"))

    def with_ids(self, headers: list[tuple[bytes, bytes]], call: Call) -> list[tuple[bytes, bytes]]:
        """Add the ids that came, so that proxies and logs can follow the request."""
        if call.client_id:
            headers.append((b"x-request-id", call.client_id.encode("latin-1")))
        if call.traceparent:
            headers.append((b"traceparent", call.traceparent.encode("latin-1")))
        if self._service.draining:
            headers.append((b"connection", b"close"))
        return headers


def error_answer(error: V2Error) -> Answer:
    """An error as V2 answers it: the status and one JSON object."""
    body = orjson.dumps({"error": str(error)})
    headers = [_JSON, (b"content-length", b"%d" % len(body))]
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, Overloaded):
        headers.append((b"retry-after", b"1"))
    return error.status, headers, body


def page_answer(status: int, document: dict[str, object]) -> Answer:
    """A metadata or health page."""
    body = orjson.dumps(document)
    return status, [_JSON, (b"content-length", b"%d" % len(body))], body


def deadline_of(headers: Headers) -> float | None:
    """The perf_counter time by which x-request-timeout-ms wants its answer."""
    given = headers.get(b"x-request-timeout-ms")
    if given is None:
        return None
    if not given.isdigit() or len(given) > 12:
        raise InvalidRequest(
            f"x-request-timeout-ms must be milliseconds, got {given[:40].decode('latin-1')!r}"
        )
    return time.perf_counter() + int(given) / 1000
