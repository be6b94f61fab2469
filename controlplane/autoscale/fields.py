"""Reading single fields of a manifest: the value, or an error that names the field."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import unquote

from controlplane.errors import ManifestError

Tree = Mapping[str, Any]
Choice = TypeVar("Choice", bound=StrEnum)

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(n|u|m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_SCALE: dict[str | None, float] = {
    None: 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def fault(path: str, expected: str, got: object = None) -> ManifestError:
    """The error for one field."""
    found = "" if got is None else f", got {got!r}"
    return ManifestError(f"{path}: expected {expected}{found}")


def tree(found: Tree, name: str, path: str) -> Tree:
    """A field that holds fields."""
    value = found.get(name)
    if not isinstance(value, Mapping):
        raise fault(
            f"{path}.{name}".lstrip("."), "an object", "nothing" if value is None else value
        )
    return value


def text(found: Tree, name: str, path: str) -> str:
    """A text that is there and not empty."""
    value = found.get(name)
    if not isinstance(value, str) or not value.strip():
        raise fault(f"{path}.{name}", "a text", "nothing" if value is None else value)
    return value.strip()


def count(found: Tree, name: str, path: str, default: int | None = None) -> int:
    """A whole number that is not negative; triggers write it as text."""
    value = found.get(name)
    if value is None and default is not None:
        return default
    plain = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,10}", plain):
        expected = "a whole number, 0 or more"
        raise fault(f"{path}.{name}", expected, "nothing" if value is None else value)
    return int(plain)


def number(found: Tree, name: str, path: str, default: float | None = None) -> float:
    """A number; triggers write it as text."""
    value = found.get(name)
    if value in {None, ""} and default is not None:
        return default
    try:
        return float(str(value))
    except ValueError:
        raise fault(f"{path}.{name}", "a number", "nothing" if value is None else value) from None


def boolean(found: Tree, name: str, path: str, *, default: bool) -> bool:
    """A boolean as Go's ParseBool takes it."""
    value = found.get(name)
    if value in {None, ""}:
        return default
    if str(value) in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    if str(value) in {"0", "f", "F", "FALSE", "false", "False"}:
        return False
    raise fault(f"{path}.{name}", "true or false", value)


def pairs(found: Tree, name: str, path: str) -> tuple[tuple[str, str], ...]:
    """Names and values, a=b,c=d, as KEDA writes maps in a trigger."""
    words = [word.partition("=") for word in str(found.get(name) or "").split(",") if word.strip()]
    if not all(equal and key.strip() for key, equal, _ in words):
        raise fault(f"{path}.{name}", "names and values such as a=b,c=d", found.get(name))
    held = tuple((unquote(key).strip(), unquote(value).strip()) for key, _, value in words)
    if not all(text.isprintable() and text.isascii() for pair in held for text in pair):
        raise fault(f"{path}.{name}", "names and values in ASCII", found.get(name))
    return held


def quantity(value: object, path: str) -> int:
    """A Kubernetes quantity, in thousandths: "500m" → 500, "2" → 2000."""
    found = _QUANTITY.fullmatch(str(value).strip())
    if found is None:
        raise fault(path, "a quantity such as 500m", "nothing" if value is None else value)
    return round(float(found[1]) * _SCALE[found[2]] * 1000)


def duration_seconds(found: Tree, name: str, path: str, default: float) -> float:
    """A Go duration ("1m30s"), or a plain number of milliseconds, in seconds."""
    value = str(found.get(name) or "").strip()
    if not value:
        return default
    if value.isdigit():
        return int(value) / 1000
    if not re.fullmatch(f"(?:{_DURATION.pattern})+", value):
        raise fault(f"{path}.{name}", "a duration such as 5s", value)
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION.findall(value))


def one_of(
    choices: type[Choice], value: object, path: str, default: Choice | None = None
) -> Choice:
    """One of an enumeration's words."""
    if value in {None, ""} and default is not None:
        return default
    try:
        return choices(str(value))
    except ValueError:
        words = ", ".join(choices)
        raise fault(path, f"one of {words}", "nothing" if value is None else value) from None
