"""A REST body from the socket: its limits, its content type and its compression."""

import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from predictors.runtime.v2.errors import (
    BodyTooLarge,
    ClientGone,
    InvalidRequest,
    UnsupportedEncoding,
)

CONTENT_TYPES = (b"application/json", b"application/octet-stream")
_ENCODINGS = (b"identity", b"gzip", b"deflate")
_GZIP_OR_ZLIB = 47  # zlib's window bits for "look at the header"


async def read_body(
    headers: dict[bytes, bytes], receive: Callable[[], Awaitable[dict[str, Any]]], limit: int
) -> bytes:
    """Read a whole body, at most `limit` bytes before and after decompression.

    Raises:
        BodyTooLarge, UnsupportedEncoding, InvalidRequest: as each says.
        ClientGone: the connection closed before the body ended.
    """
    kind = headers.get(b"content-type")
    if (
        kind is not None
        and kind not in CONTENT_TYPES
        and not kind.lower().startswith(CONTENT_TYPES)
    ):
        raise UnsupportedEncoding(
            "expected content-type application/json, or application/octet-stream with "
            f"Inference-Header-Content-Length; got {kind[:80].decode('latin-1')}"
        )
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.lower() not in _ENCODINGS:
        raise UnsupportedEncoding(
            f"expected content-encoding gzip, deflate or identity; got "
            f"{encoding[:80].decode('latin-1')}"
        )
    length = headers.get(b"content-length", b"0")
    if len(length) > 15 or int(length) > limit:
        raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        body = await _read_on(body, receive, limit)
    elif message["type"] == "http.disconnect":
        raise ClientGone("the client left before its body ended")
    if len(body) > limit:
        raise _too_large(limit)
    return body if encoding.lower() == b"identity" else _decompressed(body, limit)


def json_length(headers: dict[bytes, bytes]) -> int | None:
    """The value of Inference-Header-Content-Length, None where it is absent."""
    given = headers.get(b"inference-header-content-length")
    if given is None:
        return None
    if not given.isdigit() or len(given) > 15:
        raise InvalidRequest(
            f"Inference-Header-Content-Length must be a number of bytes, got "
            f"{given[:40].decode('latin-1')!r}"
        )
    return int(given)


async def _read_on(
    first: bytes, receive: Callable[[], Awaitable[dict[str, Any]]], limit: int
) -> bytes:
    body = bytearray(first)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the client left before its body ended")
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return bytes(body)


def _decompressed(body: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the compressed body is damaged: {error}") from error
    if len(plain) > limit:
        raise _too_large(limit)
    if not stream.eof:
        raise InvalidRequest("the compressed body ends early")
    if stream.unused_data:
        raise InvalidRequest(f"{len(stream.unused_data)} bytes left after the compressed body")
    return plain


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body is over {limit} bytes; send fewer rows, or raise PREDICTOR_MAX_BODY_BYTES"
    )
