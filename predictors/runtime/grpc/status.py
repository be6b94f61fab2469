"""gRPC's answers as header blocks (gRPC over HTTP/2, "Responses")."""

from functools import lru_cache
from urllib.parse import quote

from predictors.runtime.dataplane.service import GENERATION
from predictors.runtime.http2.header_blocks import block_of

_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
)
NUMBERS = {code: b"%d" % number for number, code in enumerate(_CODES)}
_UNQUOTED = "".join(chr(c) for c in range(0x20, 0x7F) if c != ord("%"))  # of grpc-message
_MAX_MESSAGE = 1_000  # characters, up to twelve bytes each: a block has to fit a frame
_STATUS_200 = b"\x88"  # HPACK's static table has it as its eighth entry
_ELSEWHERE = b"serin-try-another"  # Envoy retries by it
_GRPC = (b"content-type", b"application/grpc")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_HEAD = _STATUS_200 + block_of([_GRPC])
OK_TRAILERS = block_of([(b"grpc-status", b"0")])


def head_block(client_id: str, traceparent: str) -> bytes:
    """What an answer begins with; the ids that a proxy gave the call come back."""
    if not client_id and not traceparent:
        return _HEAD
    fields = []
    if client_id:
        fields.append((b"x-request-id", client_id.encode("latin-1")))
    if traceparent:
        fields.append((b"traceparent", traceparent.encode("latin-1")))
    return _HEAD + block_of(fields)


@lru_cache(maxsize=8)
def ok_trailers(generation: int) -> bytes:
    """What an answer of a channel's generation ends with; 0 for none."""
    if not generation:
        return OK_TRAILERS
    return OK_TRAILERS + block_of([(GENERATION, b"%d" % generation)])


def trailers(code: str, message: str, generation: int = 0, *, elsewhere: bool = False) -> bytes:
    """What an answer ends with.

    Args:
        code: gRPC's status.
        message: For people.
        generation: Of a channel; 0 for none.
        elsewhere: Whether another replica may answer.
    """
    fields = [(b"grpc-status", NUMBERS[code])]
    if generation:
        fields.append((GENERATION, b"%d" % generation))
    if elsewhere:
        fields.append((_ELSEWHERE, b"1"))
    if message:
        fields.append((b"grpc-message", _quoted(message[:_MAX_MESSAGE])))
    if code == "UNIMPLEMENTED":  # what was not understood may be the compression
        fields.append((b"grpc-accept-encoding", b"identity, deflate, gzip"))
    return block_of(fields)


def http_refusal(status: int, reason: str) -> bytes:
    """The head of an answer to what is no gRPC call; the gRPC status is for clients that look."""
    fields = [(b":status", b"%d" % status), _TEXT, (b"grpc-status", NUMBERS["UNKNOWN"])]
    return block_of([*fields, (b"grpc-message", _quoted(reason))])


def _quoted(message: str) -> bytes:
    return quote(message, safe=_UNQUOTED, errors="replace").encode()
