"""A text model's answer as it comes, over REST `generate_stream` (server-sent events)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from scripts.client.errors import RequestError
from scripts.client.gateway import Gateway
from scripts.client.rest import check, unreachable, url

_EVENT = "data: "


def offered(metadata: dict[str, Any]) -> bool:
    """Whether the model generates text: it takes `text_input`, and answers `text_output`."""
    names = [[tensor["name"] for tensor in metadata[side]] for side in ("inputs", "outputs")]
    return "text_input" in names[0] and "text_output" in names[1]


def generate(
    gateway: Gateway, model: str, tensors: Sequence[Mapping[str, Any]], timeout_seconds: float
) -> Iterator[dict[str, Any]]:
    """Each piece of the answer to one prompt.

    Args:
        gateway: where the model is.
        model: its name.
        tensors: `text_input` and settings, of one row and one element each.
        timeout_seconds: how long to wait for each piece.

    Raises:
        UnknownModelError, RequestError: before the first piece or after it.
    """
    try:
        with httpx.stream(
            "POST",
            url(gateway, model, "/generate_stream"),
            headers=gateway.headers(model),
            json={tensor["name"]: tensor["data"][0] for tensor in tensors},
            timeout=timeout_seconds,
            trust_env=not gateway.direct,
        ) as response:
            if response.is_error:
                response.read()
                check(response, gateway, model)
            for line in response.iter_lines():
                if line.startswith(_EVENT):
                    piece: dict[str, Any] = json.loads(line.removeprefix(_EVENT))
                    if "error" in piece:
                        raise RequestError(f"{model} broke off: {piece['error']}")
                    yield piece
    except httpx.TimeoutException:
        raise RequestError(f"{gateway.url} sent nothing for {timeout_seconds:g} s") from None
    except httpx.TransportError as error:
        raise RequestError(unreachable(gateway, str(error))) from None
