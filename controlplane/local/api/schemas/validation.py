"""An object against its kind's schema: unknown fields, defaults, and every breach with its path.

The messages are the API server's (k8s.io/apiextensions-apiserver, pkg/apiserver/validation). Pure.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from controlplane.kubernetes.kinds import Kind
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Cause, Invalid
from controlplane.local.api.schemas import Schema, expressions, schema_of

_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}


def prune(kind: Kind, one: Object) -> list[str]:
    """Remove the fields that a schema does not know, in place, and return their paths.

    A null is an absent field to built-in kinds, and in metadata.
    """
    _drop_nulls(one["metadata"] if kind.is_custom else one)
    return list(_prune(schema_of(kind), one, ""))


def fill_defaults(kind: Kind, one: Object) -> None:
    """Set what a CustomResourceDefinition gives a default for, in place."""
    if kind.is_custom:
        _default(schema_of(kind), one)


def check(kind: Kind, one: Object, *, new: bool = True) -> None:
    """Refuse an object that does not fit its schema, its schema's rules or its kind's name.

    Args:
        kind: Its kind.
        one: The object; one without a name is a template.
        new: Whether it is being created.

    Raises:
        Invalid: Names every field that is wrong, what it holds and what was expected.
    """
    schema = schema_of(kind)
    found = _validator(kind).iter_errors(one)
    causes = list(dict.fromkeys(cause for error in found for cause in _causes(error)))
    if not causes:
        causes = [*_duplicates(schema, one, "")] if kind.is_custom else []
        causes += dict.fromkeys(expressions.breaches(schema, one, new=new))
    if causes:
        raise invalid(kind, one["metadata"].get("name", ""), causes)


def breaches(schema: Schema, value: Any, path: str) -> list[Cause]:
    """What is wrong with a value by a JSON schema; `path` is the value's own."""
    found = Draft202012Validator(schema).iter_errors(value)
    causes = dict.fromkeys(cause for error in found for cause in _causes(error))
    return [
        Cause(one.reason, _join(path, one.field) if one.field != "<nil>" else path, one.message)
        for one in causes
    ]


def invalid(kind: Kind, name: str, causes: list[Cause]) -> Invalid:
    """A 422 as the API server words it."""
    said = [f"{cause.field}: {cause.message}" for cause in causes]
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    return Invalid(
        f'{kind.name}{f".{kind.group}" if kind.group else ""} "{name}" is invalid: {text}',
        causes,
        group=kind.group,
        kind=kind.name,
        name=name,
    )


def _causes(error: ValidationError) -> Iterator[Cause]:
    path = _path(error.absolute_path)
    value, limit = error.instance, cast("Any", error.validator_value)
    match error.validator:
        case "required":
            for name in limit:
                if name not in cast("Object", value):
                    yield Cause("FieldValueRequired", _join(path, name), "Required value")
        case "type":
            got = _TYPES.get(type(value), "number") if value is not None else "null"
            expected = limit if isinstance(limit, str) else " or ".join(limit)
            yield Cause(
                "FieldValueTypeInvalid",
                path,
                f'Invalid value: "{got}": {path} in body must be of type {expected}: "{got}"',
            )
        case "enum":
            allowed = ", ".join(f'"{one}"' for one in limit)
            yield Cause(
                "FieldValueNotSupported",
                path,
                f"Unsupported value: {_shown(value)}: supported values: {allowed}",
            )
        case _:
            yield Cause(
                "FieldValueInvalid",
                path,
                f"Invalid value: {_shown(value)}: {path} in body {_should(error)}",
            )


_LIMITS = {
    "minimum": "should be greater than or equal to {}",
    "maximum": "should be less than or equal to {}",
    "pattern": "should match '{}'",
    "minLength": "should be at least {} chars long",
    "maxLength": "should be at most {} chars long",
    "minItems": "should have at least {} items",
    "maxItems": "should have at most {} items",
}


def _should(error: ValidationError) -> str:
    known = _LIMITS.get(str(error.validator))
    return known.format(error.validator_value) if known else f"does not fit: {error.message}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    return "object" if isinstance(value, dict) else str(value)


def _path(parts: Any) -> str:
    text = ""
    for part in parts:
        text = f"{text}[{part}]" if isinstance(part, int) else _join(text, part)
    return text or "<nil>"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and path != "<nil>" else name


def _prune(schema: Schema, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for index, item in enumerate(value):
                yield from _prune(items, item, f"{path}[{index}]")
        return
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") or "properties" not in schema
    for name in list(value):
        if name in properties:
            yield from _prune(properties[name], value[name], _join(path, name))
        elif isinstance(others, dict):
            yield from _prune(others, value[name], _join(path, name))
        elif not keeps:
            del value[name]
            yield _join(path, name)


def _drop_nulls(value: Any) -> None:
    if isinstance(value, dict):
        for name in [name for name, inner in value.items() if inner is None]:
            del value[name]
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            _drop_nulls(inner)


def _duplicates(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    """Items of a list that is a map, or a set, by its schema and have the same key."""
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            if isinstance(inner := properties.get(name, others), dict):
                yield from _duplicates(inner, item, _join(path, name))
    elif isinstance(value, list):
        kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
        seen: set[str] = set()
        for index, item in enumerate(value):
            yield from _duplicates(schema.get("items", {}), item, f"{path}[{index}]")
            key = {name: item.get(name) for name in keys} if keys else item
            text = json.dumps(key, sort_keys=True, separators=(",", ":"))
            if kind in {"map", "set"} and text in seen:
                said = f"Duplicate value: {text}"
                yield Cause("FieldValueDuplicate", f"{path}[{index}]", said)
            seen.add(text)


def _default(schema: Schema, value: Any) -> None:
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            _default(schema["items"], item)
    if not isinstance(value, dict):
        return
    for name, inner in schema.get("properties", {}).items():
        if "default" in inner and name not in value:
            value[name] = inner["default"]
        if name in value:
            _default(inner, value[name])
    if isinstance(others := schema.get("additionalProperties"), dict):
        for name in value.keys() - schema.get("properties", {}).keys():
            _default(others, value[name])


@cache
def _validator(kind: Kind) -> Draft202012Validator:
    return Draft202012Validator(_json_schema(schema_of(kind), {}))


def _json_schema(schema: Any, seen: dict[int, Any]) -> Any:
    """A structural schema as JSON Schema: int-or-string is both, null is absent."""
    if isinstance(schema, list):
        return [_json_schema(one, seen) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if id(schema) not in seen:
        if schema.get("x-kubernetes-int-or-string"):
            made: Schema = {"type": ["integer", "string"]}
            if "pattern" in schema:
                made["pattern"] = schema["pattern"]
        else:
            made = {key: _json_schema(value, seen) for key, value in schema.items()}
            bits = {"int32": 31, "int64": 63}.get(str(made.pop("format", "")))
            if bits and made.get("type") == "integer":
                made["minimum"] = max(made.get("minimum", -(2**bits)), -(2**bits))
                made["maximum"] = min(made.get("maximum", 2**bits - 1), 2**bits - 1)
        seen[id(schema)] = made
    return seen[id(schema)]
