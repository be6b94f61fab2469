"""Requests as bytes, made once: HTTP/1.1 with its head, or the frames of a gRPC call."""

import base64
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from scripts.client.errors import UsageError
from scripts.client.messages import INFER, raw_request

_NOBODY: Mapping[str, str] = MappingProxyType({})
Tensors = Sequence[Mapping[str, Any]]
"""One request's inputs: name, datatype, shape, flat data; BYTES as str or bytes."""
MAX_FRAME = 16_384
"""Bytes, what every HTTP/2 server takes."""
_MAX_MESSAGE = 65_535
"""Bytes, an HTTP/2 window's initial size."""
_DATA, _HEADERS, _END_STREAM, _END_HEADERS = 0, 1, 1, 4


def rest_request(
    authority: str, model: str, inputs: Tensors, credentials: Mapping[str, str] = _NOBODY
) -> bytes:
    """A POST of V2's infer, JSON; bytes, which JSON cannot carry, go as base64."""
    tensors = [{**one, "data": [_as_json(value) for value in one["data"]]} for one in inputs]
    body = json.dumps({"inputs": tensors}, separators=(",", ":")).encode()
    named = "".join(f"{name}: {value}\r\n" for name, value in credentials.items())
    head = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {authority}\r\n{named}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def grpc_request(
    authority: str,
    model: str,
    inputs: Tensors,
    secure: bool,
    credentials: Mapping[str, str] = _NOBODY,
) -> bytes:
    """The frames of a ModelInfer call, all with stream number 0 for the connection to fill in.

    Raises:
        UsageError: the message is larger than a window at its start.
    """
    body = raw_request(model, inputs)
    message = b"\0" + len(body).to_bytes(4, "big") + body
    if len(message) > _MAX_MESSAGE:
        raise UsageError(
            f"a request of {len(message)} bytes is more than a gRPC call may begin with "
            f"({_MAX_MESSAGE}): load it over REST"
        )
    fields = (
        (":authority", authority),
        (":path", INFER),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *credentials.items(),
    )
    # :method POST and :scheme are entries of HPACK's static table; the rest literals without index.
    block = b"\x83" + (b"\x87" if secure else b"\x86") + b"".join(map(_literal, fields))
    chunks = [message[at : at + MAX_FRAME] for at in range(0, len(message), MAX_FRAME)]
    frames = [frame(_HEADERS, _END_HEADERS, 0, block)]
    for number, chunk in enumerate(chunks, 1):
        frames.append(frame(_DATA, _END_STREAM if number == len(chunks) else 0, 0, chunk))
    return b"".join(frames)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def grpc_version(message: bytes) -> str:
    """The model_version, field 2, of a ModelInferResponse behind gRPC's five bytes."""
    at = 5
    while at + 1 < len(message) and message[at] in (0x0A, 0x12):
        start = at + 2
        end = start + message[at + 1]  # names are shorter than 128 bytes: a length of one byte
        if message[at] == 0x12:
            return message[start:end].decode(errors="replace")
        at = end
    return ""


def _literal(field: tuple[str, str]) -> bytes:
    name, value = (text.encode() for text in field)
    return b"\0" + _length(len(name)) + name + _length(len(value)) + value


def _length(number: int) -> bytes:
    """An HPACK integer with a prefix of seven bits (RFC 7541, 5.1)."""
    if number < 127:
        return bytes((number,))
    found, rest = bytearray((127,)), number - 127
    while rest >= 128:
        found.append(rest % 128 + 128)
        rest //= 128
    return bytes((*found, rest))


def _as_json(element: object) -> object:
    return base64.b64encode(element).decode() if isinstance(element, bytes) else element
