"""A REST body from the socket: its limits, its content type and its compression."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from predictors.runtime.dataplane.budget import Hold
from predictors.runtime.dataplane.unpacking import unpack
from predictors.runtime.v2.errors import (
    BodyTooLarge,
    ClientGone,
    InvalidRequest,
    UnsupportedEncoding,
)

CONTENT_TYPES = (b"application/json", b"application/octet-stream")
_PACKED = (b"gzip", b"deflate")


def is_packed(headers: dict[bytes, bytes]) -> bool:
    """Whether the body is compressed, by its header."""
    return b"content-encoding" in headers and headers[b"content-encoding"].lower() in _PACKED


async def read_body(
    headers: dict[bytes, bytes],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    limit: int,
    hold: Hold,
    others: tuple[bytes, ...] = (),
) -> bytes:
    """Read a whole body as it comes, at most `limit` bytes.

    Args:
        headers: the request's.
        receive: gives its parts.
        limit: bytes that it may have.
        hold: counts them.
        others: content types that may have come beside V2's, for the message.

    Raises:
        BodyTooLarge, UnsupportedEncoding, InvalidRequest: as each says.
        Overloaded: there is no room for it now.
        ClientGone: the connection closed before the body ended.
    """
    kind = headers.get(b"content-type")
    if (
        kind is not None
        and kind not in CONTENT_TYPES
        and not kind.lower().startswith(CONTENT_TYPES)
    ):
        also = "".join(f", or {other.decode()}" for other in others)
        raise UnsupportedEncoding(
            "expected content-type application/json, or application/octet-stream with "
            f"Inference-Header-Content-Length{also}; got {kind[:80].decode('latin-1')}"
        )
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.lower() not in (*_PACKED, b"identity"):
        raise UnsupportedEncoding(
            f"expected content-encoding gzip, deflate or identity; got "
            f"{encoding[:80].decode('latin-1')}"
        )
    length = headers.get(b"content-length", b"0")
    if len(length) > 15 or int(length) > limit:
        raise too_large(limit)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the client left before its body ended")
        part: bytes = message.get("body", b"")
        if len(body) + len(part) > limit:
            raise too_large(limit)
        hold.grow(len(part))
        body += part
        if not message.get("more_body"):
            return bytes(body)


async def read_unpacked(
    headers: dict[bytes, bytes],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    limit: int,
    hold: Hold,
) -> bytes:
    """Read a whole body and unpack it where it is compressed; raises as `read_body` does."""
    body = await read_body(headers, receive, limit, hold)
    if is_packed(headers):
        unpacking = partial(unpack, body, limit, hold, lambda _: too_large(limit))
        body = await asyncio.to_thread(unpacking)
    return body


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


def too_large(limit: int) -> BodyTooLarge:
    """The error past the limit."""
    return BodyTooLarge(
        f"the body is over {limit} bytes; send fewer rows, or raise PREDICTOR_MAX_BODY_BYTES"
    )
