"""OpenAPI v3 documents of the served kinds: what `kubectl explain` reads. Pure.

One document a group and version, as the API server publishes them. Of each path there is as much
as kubectl looks at: which kind it is about and which query parameters it takes.
"""

import hashlib
from functools import cache
from typing import Any

import orjson

from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.kinds import Kind
from controlplane.local.api.kubectl.discovery import groups
from controlplane.local.api.schemas import META, Schema, builtin, schema_of

_PREFIX = "#/components/schemas/"


@cache
def index() -> dict[str, Any]:
    """GET /openapi/v3."""
    paths = {}
    for group, versions in groups().items():
        for version in versions:
            name = f"apis/{group}/{version}" if group else f"api/{version}"
            digest = hashlib.sha256(document(group, version)).hexdigest().upper()
            paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
    return {"paths": paths}


@cache
def document(group: str, version: str) -> bytes:
    """One group and version's document, as JSON."""
    kinds = groups()[group][version]
    schemas: dict[str, Schema] = {}
    paths: dict[str, Any] = {}
    for kind in kinds:
        paths |= _paths(kind)
        if kind.is_custom:
            schemas[_name(kind)] = _custom(kind)
        elif kind.schema == "none":
            named = {"x-kubernetes-group-version-kind": [_gvk(kind)]}
            schemas[_name(kind)] = {**schema_of(kind), **named}
    wanted = [_name(kind) for kind in kinds if not kind.is_custom]
    wanted += [META] if any(kind.is_custom for kind in kinds) else []
    while wanted:
        name = wanted.pop()
        if name not in schemas:
            schemas[name] = builtin()[name]
            wanted += _references(schemas[name])
    return orjson.dumps(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.33.0+serin"},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def _custom(kind: Kind) -> Schema:
    schema = dict(schema_of(kind))
    reference = {"allOf": [{"$ref": _PREFIX + META}]}
    schema["properties"] = {**schema["properties"], "metadata": reference}
    schema["x-kubernetes-group-version-kind"] = [_gvk(kind)]
    return schema


def _paths(kind: Kind) -> dict[str, Any]:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    scope = f"{root}/namespaces/{{namespace}}" if kind.namespaced else root
    many = {"list": "get", "create": "post", "deletecollection": "delete"}
    one = {"get": "get", "update": "put", "patch": "patch", "delete": "delete"}
    found = {
        f"{scope}/{kind.plural}": _operations(kind, many),
        f"{scope}/{kind.plural}/{{name}}": _operations(kind, one),
    }
    if kind.namespaced:
        found[f"{root}/{kind.plural}"] = _operations(kind, {"list": "get"})
    return found


def _operations(kind: Kind, verbs: dict[str, str]) -> dict[str, Any]:
    return {method: _operation(kind, verb) for verb, method in verbs.items() if verb in kind.verbs}


def _operation(kind: Kind, verb: str) -> dict[str, Any]:
    parameters = ["pretty"]
    if verb in {"create", "update", "patch"}:
        parameters += ["dryRun", "fieldManager", "fieldValidation"]
    if verb == "patch":
        parameters.append("force")
    found: dict[str, Any] = {
        "operationId": f"{verb}{kind.name}",
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string"}} for name in parameters
        ],
        "responses": {
            "200": {
                "description": "OK",
                "content": {"application/json": {"schema": {"$ref": _PREFIX + _name(kind)}}},
            }
        },
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": _gvk(kind),
    }
    if verb == "patch":
        types = [patchtypes.APPLY, patchtypes.JSON, patchtypes.MERGE]
        types += [] if kind.is_custom else [patchtypes.STRATEGIC]
        found["requestBody"] = {"content": {name: {"schema": {}} for name in types}}
    return found


def _gvk(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "kind": kind.name, "version": kind.version}


def _name(kind: Kind) -> str:
    if kind.is_custom:
        return ".".join([*reversed(kind.group.split(".")), kind.version, kind.name])
    package = kind.group.partition(".")[0] or "core"
    return f"io.k8s.api.{package}.{kind.version}.{kind.name}"


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for one in schema for name in _references(one)]
    if not isinstance(schema, dict):
        return []
    found = [name for value in schema.values() for name in _references(value)]
    if isinstance(reference := schema.get("$ref"), str):
        found.append(reference.removeprefix(_PREFIX))
    return found
