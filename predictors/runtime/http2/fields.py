"""Header fields of a request, each held to what HTTP/2 allows (RFC 9113, 8.1 to 8.3)."""

import re
from functools import lru_cache

from predictors.runtime.http2.frames import ErrorCode, StreamFault
from predictors.runtime.http2.header_blocks import Field

_NAME = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")  # lower case alone (8.2.1)
_VALUE = re.compile(rb"(?![ \t])[^\0\r\n]*(?<![ \t])")
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_HOP = frozenset(  # what speaks of a connection has no place here (8.2.2)
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


def check_head(fields: list[Field]) -> dict[bytes, bytes]:
    """The fields by name, of which each pseudo-header comes once and before the others.

    Raises:
        StreamFault: they are malformed.
    """
    pseudo_fields = 0
    for position, field in enumerate(fields):
        if _is_pseudo(field):
            if position != pseudo_fields:
                raise malformed("a pseudo-header field behind others")
            pseudo_fields += 1
    named = dict(fields)
    if not (named.get(b":path") and b":method" in named and b":scheme" in named):
        raise malformed("a pseudo-header field is missing")
    if pseudo_fields != 3 + (b":authority" in named):
        raise malformed("a pseudo-header field comes twice")
    length = named.get(b"content-length")
    if length is not None:
        if not (length.isdigit() and len(length) < 16):
            raise malformed("content-length is no number")
        if len(named) < len(fields):
            lengths = {int(value) for name, value in fields if name == b"content-length"}
            if len(lengths) > 1:
                raise malformed("two content-lengths differ")
    return named


def check_trailers(fields: list[Field]) -> None:
    """Hold what comes behind a body to the same rules; it has no pseudo-headers (8.1).

    Raises:
        StreamFault: it is malformed.
    """
    for field in fields:
        if _is_pseudo(field):
            raise malformed("a pseudo-header field in trailers")


@lru_cache(maxsize=1024)  # a client's fields are nearly all the same from call to call
def _is_pseudo(field: Field) -> bool:
    """Check a field by itself; whether it is a pseudo-header."""
    name, value = field
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise malformed(f"field {name[:40]!r}")
    if name.startswith(b":"):
        if name not in _PSEUDO:
            raise malformed(f"pseudo-header field {name[:40]!r}")
        return True
    if name in _HOP or (name == b"te" and value != b"trailers"):
        raise malformed(f"field {name!r} speaks of a connection")
    return False


def malformed(reason: str) -> StreamFault:
    """What a request is refused with that HTTP/2 calls malformed (8.1.1)."""
    return StreamFault(ErrorCode.PROTOCOL_ERROR, reason)
