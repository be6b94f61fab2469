"""An infer request over REST: headers and body in, status, headers and body out."""

import time

import orjson

from predictors.runtime.dataplane.coalescer import Caller, Coalescer
from predictors.runtime.dataplane.service import Service
from predictors.runtime.dataplane.shadow import HEADER as SHADOW
from predictors.runtime.dataplane.unpacking import RATIO, unpack
from predictors.runtime.rest.asgi import Send
from predictors.runtime.rest.bodies import is_packed, json_length, too_large
from predictors.runtime.v2.body.decode import decode
from predictors.runtime.v2.body.encode import encode
from predictors.runtime.v2.errors import Behind, InvalidRequest, Overloaded, V2Error, WrongMethod
from predictors.runtime.v2.record import Record
from predictors.runtime.v2.signature import Outputs, Request

Headers = dict[bytes, bytes]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers and body."""

_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_MAX_ID = 128
ELSEWHERE = b"serin-try-another"
"""Tells a gateway that another replica may answer; Envoy retries by it."""


class RestCaller(Caller):
    """A request whose body is whole; subclasses know its connection."""

    _body = b""
    _packed = False
    _fault: V2Error | None = None

    def __init__(self, coalescer: Coalescer, headers: Headers, max_bytes: int) -> None:
        super().__init__("rest")
        self._coalescer = coalescer
        self.service = coalescer.service
        self._headers = headers
        self._max_bytes = max_bytes
        take_ids(self, headers)
        if b"x-request-timeout-ms" in headers:
            try:
                self.deadline = deadline_of(headers)
            except InvalidRequest as error:
                self._fault = error

    def take(self, body: bytes) -> None:
        """Take the body, as it came."""
        self._body = body
        self.size = len(body)
        if is_packed(self._headers):
            self._packed = True
            self.size *= RATIO

    def decode(self) -> Request:
        if self._fault is not None:
            raise self._fault
        body, self._body = self._body, b""
        if self._packed:
            most = self._max_bytes
            body = unpack(body, most, self.holding(), lambda _: too_large(most))
        return self.read(body)

    def read(self, body: bytes) -> Request:
        """Read the body, unpacked."""
        return decode(body, json_length(self._headers), self.service.model.signature)

    def encode(self, request: Request, outputs: Outputs) -> Answer:
        service = self.service
        body, json_part = encode(request, outputs, service.model.name, service.model.version)
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        if json_part is not None:
            headers[0] = _BINARY
            headers.append((b"inference-header-content-length", b"%d" % json_part))
        return 200, with_ids(headers, self, service), body

    def error(self, error: V2Error) -> Answer:
        """The answer in an error's place."""
        return refusal(error, self, self.service)


def take_ids(record: Record, headers: Headers) -> None:
    """Take over the ids that a proxy gave a request."""
    if b"x-request-id" in headers:
        record.client_id = headers[b"x-request-id"].decode("latin-1")[:_MAX_ID]
    if b"traceparent" in headers:
        record.traceparent = headers[b"traceparent"].decode("latin-1")[:_MAX_ID]
    if SHADOW in headers:
        record.shadow = headers[SHADOW]


def with_ids(
    headers: list[tuple[bytes, bytes]], record: Record, service: Service
) -> list[tuple[bytes, bytes]]:
    """Add the ids that came, so that proxies and logs can follow the request; and whose it is."""
    headers += service.marks
    if record.client_id:
        headers.append((b"x-request-id", record.client_id.encode("latin-1")))
    if record.traceparent:
        headers.append((b"traceparent", record.traceparent.encode("latin-1")))
    if service.draining:
        headers.append((b"connection", b"close"))
    return headers


def refusal(error: V2Error, record: Record, service: Service) -> Answer:
    """An error as the answer to a request."""
    status, headers, body = error_answer(error)
    return status, with_ids(headers, record, service), body


def error_answer(error: V2Error) -> Answer:
    """An error as V2 answers it: the status and one JSON object."""
    body = orjson.dumps({"error": str(error)})
    headers = [_JSON, (b"content-length", b"%d" % len(body))]
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, Overloaded):
        headers.append((b"retry-after", b"1"))
    if isinstance(error, Behind):
        headers.append((ELSEWHERE, b"1"))
    return error.status, headers, body


def page_answer(status: int, document: dict[str, object]) -> Answer:
    """A metadata or health page."""
    body = orjson.dumps(document)
    return status, [_JSON, (b"content-length", b"%d" % len(body))], body


async def send_whole(answer: Answer, send: Send) -> None:
    """Send an answer that is all there."""
    status, headers, body = answer
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def infer_paths(coalescer: Coalescer) -> frozenset[str]:
    """Where infer requests go."""
    model = coalescer.service.model
    base = f"/v2/models/{model.name}"
    return frozenset({f"{base}/infer", f"{base}/versions/{model.version}/infer"})


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
