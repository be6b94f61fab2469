"""The messages of a chat request: text only, of the roles that a chat template knows."""

from typing import Any

from predictors.causal_lm.openai.fields import FieldError, Fields, kind_of

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def messages_of(given: object) -> list[dict[str, str]]:
    """Read the field `messages`.

    Raises:
        FieldError: naming the message and what is wrong with it.
    """
    if type(given) is not list or not given:
        raise FieldError("messages", f"expected a list of messages, got {kind_of(given)}")
    return [_message(one, f"messages[{place}]") for place, one in enumerate(given)]


def _message(given: Any, place: str) -> dict[str, str]:
    if type(given) is not dict:
        raise FieldError(place, f"expected an object, got {kind_of(given)}")
    fields = Fields(given, f"{place}.")
    role = fields.text("role")
    if role in ("tool", "function"):
        raise FieldError(f"{place}.role", "tools are not supported by this server", "unsupported")
    if role not in _ROLES:
        raise fields.wrong("role", ", ".join(_ROLES), role)
    content = fields.take("content")
    fields.unsupported("tool_calls", but=([],))
    fields.unsupported("function_call", "audio", "refusal")
    message = {"role": _ROLES[role], "content": _content(content, f"{place}.content")}
    if (name := fields.text("name")) is not None:
        message["name"] = name
    fields.finish()
    return message


def _content(given: object, place: str) -> str:
    if type(given) is str:
        return given
    if type(given) is not list:
        raise FieldError(place, f"expected a string or a list of parts, got {kind_of(given)}")
    texts = []
    for number, part in enumerate(given):
        at = f"{place}[{number}]"
        if type(part) is not dict:
            raise FieldError(at, f"expected an object, got {kind_of(part)}")
        if part.get("type") != "text":
            raise FieldError(
                f"{at}.type",
                f"this model reads text only, got {part.get('type')!r:.40}",
                "unsupported",
            )
        fields = Fields(part, f"{at}.")
        fields.take("type")
        text = fields.text("text")
        if text is None:
            raise fields.wrong("text", "a string", None)
        fields.finish()
        texts.append(text)
    return "".join(texts)
