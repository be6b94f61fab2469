"""A conversation with a text model, over OpenAI's API: each answer as it comes."""

import json
from collections.abc import Iterator

import httpx

from scripts.client.errors import RequestError
from scripts.client.gateway import Gateway
from scripts.client.rest import unreachable, url

_EVENT, _DONE = "data: ", "[DONE]"
_PATH = "/openai/v1/chat/completions"
Messages = list[dict[str, str]]


class TooLongError(RequestError):
    """The conversation is more tokens than the model takes."""


def check(gateway: Gateway, model: str, timeout_seconds: float) -> None:
    """Refuse a model that does not chat, before anybody types.

    Raises:
        RequestError: it does not, or nothing answers there.
    """
    try:
        response = httpx.get(
            url(gateway, model, _PATH),
            headers=gateway.headers(model),
            timeout=timeout_seconds,
            trust_env=not gateway.direct,
        )
    except httpx.TimeoutException:
        raise RequestError(f"{gateway.url} sent nothing for {timeout_seconds:g} s") from None
    except httpx.TransportError as error:
        raise RequestError(unreachable(gateway, str(error))) from None
    if response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.UNAUTHORIZED):
        raise _refusal(response, gateway, model)


def answer(
    gateway: Gateway,
    model: str,
    messages: Messages,
    settings: dict[str, float],
    timeout_seconds: float,
) -> Iterator[str]:
    """The pieces of what the assistant says next.

    Args:
        gateway: where the model is.
        model: its name.
        messages: the conversation so far, the user's last one included.
        settings: such as temperature; what is not given is the model's own.
        timeout_seconds: how long to wait for each piece.

    Raises:
        TooLongError: the conversation does not fit; nothing was answered.
        RequestError: before the first piece or after it.
    """
    asked = {"model": model, "messages": messages, "stream": True, **settings}
    try:
        with httpx.stream(
            "POST",
            url(gateway, model, _PATH),
            headers=gateway.headers(model),
            json=asked,
            timeout=timeout_seconds,
            trust_env=not gateway.direct,
        ) as response:
            if response.is_error:
                response.read()
                raise _refusal(response, gateway, model)
            for line in response.iter_lines():
                if not line.startswith(_EVENT) or line == _EVENT + _DONE:
                    continue
                event = json.loads(line.removeprefix(_EVENT))
                if "error" in event:
                    raise RequestError(f"{model} broke off: {event['error']['message']}")
                for choice in event["choices"]:
                    yield choice["delta"].get("content") or ""
    except httpx.TimeoutException:
        raise RequestError(f"{gateway.url} sent nothing for {timeout_seconds:g} s") from None
    except httpx.TransportError as error:
        raise RequestError(unreachable(gateway, str(error))) from None


def _refusal(response: httpx.Response, gateway: Gateway, model: str) -> RequestError:
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return gateway.locked_out(model)
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = response.text[:200]
    if isinstance(error, dict):
        if error.get("code") == "context_length_exceeded":
            return TooLongError(error["message"])
        return RequestError(f"{model} refuses: {error['message']}")
    if response.status_code == httpx.codes.NOT_FOUND:
        return RequestError(f"{model} at {gateway.url} is no model that chats; causal-lm is one")
    return RequestError(f"{model} answered {response.status_code}: {error}")
