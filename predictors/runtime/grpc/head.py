"""The head of a gRPC call: what its header fields ask for (gRPC over HTTP/2, "Requests")."""

import re
from dataclasses import dataclass

from predictors.runtime.dataplane.service import MIN_GENERATION
from predictors.runtime.dataplane.shadow import HEADER as SHADOW
from predictors.runtime.http2.fields import check_head
from predictors.runtime.http2.header_blocks import Field

_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_MAX_ID = 128


@dataclass(slots=True)  # not frozen: that takes four times as long to make
class CallHead:
    """One call's head; calls of a client often share theirs."""

    path: bytes
    encoding: bytes
    """How messages with the compressed flag are compressed."""
    length: int | None
    """The body's bytes, where the client says."""
    timeout: float | None
    """Seconds from now that the client waits."""
    client_id: str
    """x-request-id, as Envoy sets it."""
    traceparent: str
    shadow: bytes
    """serin-shadow; empty where it did not come."""
    min_generation: bytes | None
    """x-min-generation, as it came."""
    refusal: tuple[int | str, str] | None
    """The HTTP status of what is no gRPC call, or the gRPC status of one; and why."""


def read_head(fields: list[Field]) -> CallHead:
    """Read a request's header fields.

    Raises:
        StreamFault: they are malformed as HTTP/2 (RFC 9113, 8.1.1, 8.2 and 8.3).
    """
    named = check_head(fields)
    length = named.get(b"content-length")
    timeout, refusal = None, _refusal(named)
    if b"grpc-timeout" in named:
        match = _TIMEOUT.fullmatch(named[b"grpc-timeout"])
        if match:
            timeout = int(match[1]) * _UNITS[match[2]]
        elif refusal is None:  # a proxy passes it on: an answer harms this call alone
            refusal = "INVALID_ARGUMENT", "grpc-timeout is not up to eight digits and a unit"
    return CallHead(
        path=named[b":path"],
        encoding=named.get(b"grpc-encoding", b"identity"),
        length=None if length is None else int(length),
        timeout=timeout,
        client_id=named.get(b"x-request-id", b"").decode("latin-1")[:_MAX_ID],
        traceparent=named.get(b"traceparent", b"").decode("latin-1")[:_MAX_ID],
        shadow=named.get(SHADOW, b""),
        min_generation=named.get(MIN_GENERATION),
        refusal=refusal,
    )


def _refusal(named: dict[bytes, bytes]) -> tuple[int | str, str] | None:
    kind = named.get(b"content-type", b"")
    if named[b":method"] != b"POST":
        return 405, "gRPC calls are POST"
    if kind.partition(b";")[0] not in {b"application/grpc", b"application/grpc+proto"}:
        return 415, "expected content-type application/grpc"
    return None
