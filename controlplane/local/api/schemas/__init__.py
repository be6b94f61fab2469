"""The schemas of the served kinds, each one whole: references are followed, equal parts shared.

validation   an object against its kind's schema: unknown fields, defaults, every breach
expressions  the CEL rules of the schemas
strategic    strategic merge, whose keys the schemas name

Admission, patches and kubectl's documents come in; it knows the kinds alone.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from controlplane.kubernetes.kinds import Kind

Schema = dict[str, Any]
Column = dict[str, Any]

_FOLDER = Path(__file__).parent
_PREFIX = "#/components/schemas/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@cache
def schema_of(kind: Kind) -> Schema:
    """A kind's structural schema; metadata is ObjectMeta, without which no object is."""
    if kind.schema == "none":
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if kind.is_custom:
        schema = dict(_version(kind)["schema"]["openAPIV3Schema"])
        meta = _inlined({"$ref": _PREFIX + META})
        schema["properties"] = {**schema["properties"], "metadata": meta}
        return schema
    package = kind.group.partition(".")[0] or "core"  # coordination.k8s.io
    found: Schema = _inlined({"$ref": f"{_PREFIX}io.k8s.api.{package}.{kind.version}.{kind.name}"})
    return found


@cache
def columns_of(kind: Kind) -> tuple[Column, ...]:
    """A custom kind's additionalPrinterColumns."""
    return tuple(_version(kind).get("additionalPrinterColumns", ())) if kind.is_custom else ()


@cache
def builtin() -> dict[str, Schema]:
    """Kubernetes' own component schemas, by their names, with references."""
    found: dict[str, Schema] = _read("builtin")["components"]["schemas"]
    return found


def _version(kind: Kind) -> dict[str, Any]:
    versions: list[dict[str, Any]] = _read(kind.schema)["spec"]["versions"]
    return next(one for one in versions if one["name"] == kind.version)


@cache
def _read(name: str) -> Any:
    text = (_FOLDER / f"{name}.yaml").read_bytes()
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  safe ones


@cache
def _component(name: str) -> Any:
    component, rules = _inlined(builtin()[name]), _read("rules").get(name.rpartition(".")[2])
    return {**component, "x-kubernetes-validations": rules} if rules else component


def _inlined(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_inlined(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _component(schema["$ref"].removeprefix(_PREFIX))
    if schema.get("format") == "int-or-string":
        return {"x-kubernetes-int-or-string": True}
    # OpenAPI 3.0 allows nothing beside $ref, so the API server writes allOf with one entry. The
    # defaults there are Go's zero values, not what the server fills in.
    own = {key: _inlined(value) for key, value in schema.items() if key not in {"allOf", "default"}}
    for one in schema.get("allOf", ()):
        own = {**_inlined(one), **own}
    return own
