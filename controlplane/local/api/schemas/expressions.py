"""The CEL rules of the schemas, evaluated on an object.

The rules of CustomResourceDefinitions are their own; those of built-in kinds are in
schemas/rules.yaml, which says how the form is extended. Pure.
"""

import importlib
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any

from controlplane.autoscale.fields import quantity
from controlplane.errors import ManifestError
from controlplane.kubernetes.refusals import Cause
from controlplane.local.api.schemas import Schema


def _native() -> ModuleType:
    """Cel without its command line, whose prompt and colours are a third of the start of a verb."""
    sys.modules["cel.cli"] = ModuleType("cel.cli")
    try:
        return importlib.import_module("cel")
    finally:
        del sys.modules["cel.cli"]


_CEL = _native()
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_WORD = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_RESERVED = {"namespace", "in", "package", "import", "function", "const", "loop", "as", "if", "for"}
"""Property names that CEL writes as __namespace__."""
_PREFIXES = {
    "FieldValueRequired": "Required value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueNotFound": "Not found: {value}",
    "FieldValueDuplicate": "Duplicate value: {value}",
    "FieldValueNotSupported": "Unsupported value: {value}",
    "FieldValueTooLong": "Too long",
}


def breaches(
    schema: Schema,
    value: Any,
    *,
    new: bool = True,
    path: str = "",
    volumes: Collection[str] = frozenset(),
) -> Iterator[Cause]:
    """What is wrong with a value by the rules of its schema and of all that it holds.

    Args:
        schema: Its structural schema.
        value: Valid by the schema's types.
        new: Whether the object is being created.
        path: The value's own.
        volumes: The names of those of the PodSpec around it.
    """
    if not _has_rules(id(schema), _Held(schema)):
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            inner = schema.get("items", {})
            yield from breaches(inner, item, new=new, path=f"{path}[{index}]", volumes=volumes)
    elif isinstance(value, dict):
        properties = schema.get("properties", {})
        if {"containers", "restartPolicy"} <= properties.keys():
            volumes = frozenset(volume["name"] for volume in value.get("volumes") or ())
        others = schema.get("additionalProperties")
        for name, item in value.items():
            inner = properties.get(name, others)
            if isinstance(inner, dict):
                at = f"{path}.{name}".lstrip(".")
                yield from breaches(inner, item, new=new, path=at, volumes=volumes)
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and (new or not rule.get("creation")):
            yield from _broken(rule, schema, value, path, volumes)


def _broken(
    rule: Mapping[str, Any], schema: Schema, value: Any, path: str, volumes: Collection[str]
) -> Iterator[Cause]:
    fields = rule.get("field", "")
    functions = {**_FUNCTIONS, "isVolume": volumes.__contains__}
    for field in [fields] if isinstance(fields, str) else fields:
        inner: Any = value
        for name in filter(None, field.split(".")):
            inner = inner.get(name) if isinstance(inner, dict) else None
        if inner is None:
            continue
        over = rule.get("over")
        for one in [inner] if over is None else list(inner) if over == "keys" else inner.values():
            names = {"self": _escaped(schema, one), "parent": value}
            names = {name: held for name, held in names.items() if name in rule["rule"]}
            try:
                context = _CONTEXT(variables=names, functions=functions)
                if _program(rule["rule"]).execute(context):
                    continue
                said = rule.get("message", f"failed rule: {rule['rule']}")
            except (RuntimeError, ValueError, TypeError, KeyError) as error:
                said = f"rule {rule['rule']} cannot be evaluated: {error}"
            at = ".".join(filter(None, (path, rule.get("fieldPath", "").lstrip(".") or field)))
            yield _cause(rule, f"{at}[{one}]" if rule.get("keyed") else at, one, said)


def _cause(rule: Mapping[str, Any], path: str, value: Any, said: str) -> Cause:
    reason = rule.get("reason", "FieldValueInvalid")
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    shown = (
        '"object"' if isinstance(value, dict) else '"array"' if isinstance(value, list) else shown
    )
    prefix = _PREFIXES.get(reason, "Invalid value: {value}").format(value=shown)
    if reason == "FieldValueNotSupported":
        said = f"supported values: {said}"
    return Cause(reason, path or "<nil>", f"{prefix}: {said}" if "message" in rule else prefix)


class _Held:
    """A schema as an argument that a cache keeps alive and does not look into."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0


@cache
def _has_rules(_: int, held: _Held) -> bool:
    """Whether a schema, or anything in it, has rules; remembered by its identity."""
    schema = held.schema
    inner = [*schema.get("properties", {}).values(), schema.get("items")]
    inner.append(schema.get("additionalProperties"))
    return bool(schema.get("x-kubernetes-validations")) or any(
        _has_rules(id(one), _Held(one)) for one in inner if isinstance(one, dict)
    )


@cache
def _program(rule: str) -> Any:
    return _CEL.compile(rule)


def _escaped(schema: Schema, value: Any) -> Any:
    """A value with CEL's names for reserved words."""
    if isinstance(value, list):
        return [_escaped(schema.get("items", {}), one) for one in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    return {
        f"__{name}__" if name in _RESERVED and name in properties else name: _escaped(
            properties.get(name, {}), one
        )
        for name, one in value.items()
    }


def _matching(pattern: str, longest: int = 253) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda text: len(text) <= longest and compiled.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Whether a text is a DNS subdomain (RFC 1123)."""
    return _SUBDOMAIN(text)


def _is_qualified(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    return (not slash or _SUBDOMAIN(prefix)) and len(name) <= 63 and _NAME(name)


def _is_port(value: Any) -> bool:
    return 1 <= value <= 65535 if isinstance(value, int | float) else _PORT_NAME(value)


def _quantity(value: Any) -> float:
    try:
        return quantity(value, "") / 1000
    except ManifestError as error:
        raise ValueError(str(error)) from error


def _bytes(held: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in held.items())


def _portion(value: Any) -> int:
    return int(str(value).removesuffix("%"))


_SUBDOMAIN = _matching(rf"{_LABEL}(\.{_LABEL})*")
_NAME = _matching(_WORD)
_PORT_NAME = _matching(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?", 15)
_KEY = _matching(r"[-._a-zA-Z0-9]+")
_CONTEXT: Callable[..., Any] = _CEL.Context
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "isLabel": _matching(_LABEL, 63),
    "isSubdomain": is_subdomain,
    "isQualified": _is_qualified,
    "isLabelValue": _matching(f"({_WORD})?", 63),
    "isKey": lambda text: _KEY(text) and text != "." and not text.startswith(".."),
    "isEnvironment": _matching(r"[ -<>-~]+", 1 << 20),
    "isQuotedField": _matching(r"metadata\.(labels|annotations)\['[^']+'\]", 400),
    "isPort": _is_port,
    "isPortName": _PORT_NAME,
    "isPercent": lambda value: not isinstance(value, str) or bool(re.fullmatch(r"[0-9]+%", value)),
    "isOrdered": lambda values: all(a < b for a, b in pairwise(values)),
    "backsteps": lambda path: ".." in path.split("/"),
    "bytes": _bytes,
    "duplicates": lambda values: len(set(values)) < len(values),
    "portion": _portion,
    "quantity": _quantity,
}
