"""V2 over REST: what a model takes, and what it answers.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from scripts.client.errors import RequestError, UnknownModelError, UsageError
from scripts.client.gateway import Gateway


def metadata(gateway: Gateway, model: str, timeout_seconds: float) -> dict[str, Any]:
    """The model's tensors: name, datatype, shape, and labels where it has them."""
    return _ask(gateway, model, "GET", "", None, timeout_seconds)


def infer(
    gateway: Gateway, model: str, tensors: Sequence[Mapping[str, Any]], timeout_seconds: float
) -> dict[str, Any]:
    """The V2 answer to one request's tensors; bytes, which JSON cannot carry, go as base64."""
    inputs = [
        {**tensor, "data": [_as_json(element) for element in tensor["data"]]} for tensor in tensors
    ]
    return _ask(gateway, model, "POST", "/infer", {"inputs": inputs}, timeout_seconds)


def _ask(
    gateway: Gateway, model: str, method: str, path: str, body: object, timeout_seconds: float
) -> dict[str, Any]:
    try:
        response = httpx.request(
            method,
            url(gateway, model, path),
            headers=gateway.headers(model),
            json=body,
            timeout=timeout_seconds,
            trust_env=not gateway.direct,
        )
    except httpx.TimeoutException:
        raise RequestError(f"{gateway.url} gave no answer in {timeout_seconds:g} s") from None
    except httpx.TransportError as error:
        raise RequestError(unreachable(gateway, str(error))) from None
    check(response, gateway, model)
    try:
        answer = response.json()
    except json.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise RequestError(f"{gateway.url} speaks no V2: it answered {response.text[:80]!r}")
    return answer


def url(gateway: Gateway, model: str, path: str) -> str:
    """Where a model's path is dialled."""
    return f"{'https' if gateway.secure else 'http'}://{gateway.dialled}/v2/models/{model}{path}"


def check(response: httpx.Response, gateway: Gateway, model: str) -> None:
    """Raise what a refusal means; the response has been read."""
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise gateway.locked_out(model)
    if response.status_code == httpx.codes.NOT_FOUND:
        raise UnknownModelError(f"no model {model} at {gateway.url}")
    if response.status_code == httpx.codes.BAD_REQUEST:
        raise UsageError(f"{model} refuses: {_reason(response)}")
    if response.is_error:
        raise RequestError(f"{model} answered {response.status_code}: {_reason(response)}")


def _as_json(element: object) -> object:
    return base64.b64encode(element).decode() if isinstance(element, bytes) else element


def unreachable(gateway: Gateway, reason: str) -> str:
    """The sentence for a gateway that does not answer."""
    hint = " (./serin up starts the platform)" if gateway.direct else ""
    return f"nothing answers at {gateway.url}: {reason}{hint}"


def _reason(response: httpx.Response) -> str:
    """V2's own `error` text, or what came instead, as one line."""
    try:
        body = response.json()
    except json.JSONDecodeError:
        return " ".join(response.text.split())[:200] or response.reason_phrase
    return str(body.get("error", body)) if isinstance(body, dict) else str(body)
