"""The head of a gRPC call: what its header fields ask for (gRPC over HTTP/2, "Requests")."""

import re
from dataclasses import dataclass
from functools import lru_cache

from predictors.runtime.dataplane.shadow import HEADER as SHADOW
from predictors.runtime.http2.frames import ErrorCode, StreamFault
from predictors.runtime.http2.header_blocks import Field

_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_NAME = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")  # lower case alone (RFC 9113, 8.2.1)
_VALUE = re.compile(rb"[^\0\r\n]*")
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_HOP = frozenset(  # what speaks of a connection has no place here (8.2.2)
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
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
    refusal: tuple[int, str] | None
    """The HTTP status for what is no gRPC call, and why."""


def read_head(fields: list[Field]) -> CallHead:
    """Read a request's header fields.

    Raises:
        StreamFault: they are malformed as HTTP/2 (RFC 9113, 8.1.1, 8.2 and 8.3).
    """
    named = _checked(fields)
    length = named.get(b"content-length")
    if length is not None and not (length.isdigit() and len(length) < 16):
        raise _malformed("content-length is no number")
    timeout, refusal = None, _refusal(named)
    if b"grpc-timeout" in named:
        found = _TIMEOUT.fullmatch(named[b"grpc-timeout"])
        if found is None:
            raise _malformed("grpc-timeout is not up to eight digits and a unit")
        timeout = int(found[1]) * _UNITS[found[2]]
    return CallHead(
        path=named[b":path"],
        encoding=named.get(b"grpc-encoding", b"identity"),
        length=None if length is None else int(length),
        timeout=timeout,
        client_id=named.get(b"x-request-id", b"").decode("latin-1")[:_MAX_ID],
        traceparent=named.get(b"traceparent", b"").decode("latin-1")[:_MAX_ID],
        shadow=named.get(SHADOW, b""),
        refusal=refusal,
    )


def _checked(fields: list[Field]) -> dict[bytes, bytes]:
    """The fields by name, of which each pseudo-header comes once and before the others."""
    pseudo_fields = 0
    for position, field in enumerate(fields):
        if _is_pseudo(field):
            if position != pseudo_fields:
                raise _malformed("a pseudo-header field behind others")
            pseudo_fields += 1
    named = dict(fields)
    if not (named.get(b":path") and b":method" in named and b":scheme" in named):
        raise _malformed("a pseudo-header field is missing")
    if pseudo_fields != 3 + (b":authority" in named):
        raise _malformed("a pseudo-header field comes twice")
    return named


@lru_cache(maxsize=1024)  # a client's fields are nearly all the same from call to call
def _is_pseudo(field: Field) -> bool:
    """Check a field by itself; whether it is a pseudo-header."""
    name, value = field
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise _malformed(f"field {name[:40]!r}")
    if name.startswith(b":"):
        if name not in _PSEUDO:
            raise _malformed(f"pseudo-header field {name[:40]!r}")
        return True
    if name in _HOP or (name == b"te" and value != b"trailers"):
        raise _malformed(f"field {name!r} speaks of a connection")
    return False


def _refusal(named: dict[bytes, bytes]) -> tuple[int, str] | None:
    kind = named.get(b"content-type", b"")
    if named[b":method"] != b"POST":
        return 405, "gRPC calls are POST"
    if kind.partition(b";")[0] not in {b"application/grpc", b"application/grpc+proto"}:
        return 415, "expected content-type application/grpc"
    return None


def _malformed(reason: str) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, reason)
