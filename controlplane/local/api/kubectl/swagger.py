"""GET /openapi/v2: what kubectl falls back to for a kind that no document of v3 has. Pure.

A List is such a kind, and every kind that is not served. kubectl asks of it only which query
parameters a patch takes; all else is read in v3, so there are no schemas in here.
"""

from functools import cache
from typing import Any

import orjson

from controlplane.kubernetes.kinds import SERVED, Kind
from controlplane.local.api.kubectl.discovery import VERSION

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_TITLE = "Kubernetes"
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")

Message = list[tuple[int, "str | Message"]]
"""Fields with their numbers, in gnostic's openapiv2/OpenAPIv2.proto."""


@cache
def document() -> bytes:
    """As JSON."""
    parameters = [{"name": name, "in": "query", "type": "string"} for name in _PARAMETERS]
    paths: dict[str, Any] = {
        _path(kind): {
            "patch": {
                "operationId": f"patch{kind.name}",
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-group-version-kind": _named(kind),
            }
        }
        for kind in _patched()
    }
    info = {"title": _TITLE, "version": VERSION["gitVersion"]}
    return orjson.dumps({"swagger": "2.0", "info": info, "paths": paths, "definitions": {}})


@cache
def protobuf() -> bytes:
    """As protobuf, the only form that kubectl reads."""
    query: Message = [
        (8, [(1, [(2, [(3, [(2, "query"), (4, name), (6, "string")])])])]) for name in _PARAMETERS
    ]
    paths: Message = []
    for kind in _patched():
        named = orjson.dumps(_named(kind)).decode()  # JSON is YAML
        about: Message = [(13, [(1, "x-kubernetes-group-version-kind"), (2, [(2, named)])])]
        paths.append((2, [(1, _path(kind)), (2, [(8, query + about)])]))
    info: Message = [(1, _TITLE), (2, str(VERSION["gitVersion"]))]
    return _encoded([(1, "2.0"), (2, info), (8, paths), (9, [])])


def _patched() -> list[Kind]:
    return [kind for kind in SERVED if "patch" in kind.verbs]


def _path(kind: Kind) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}{'/namespaces/{namespace}' if kind.namespaced else ''}/{kind.plural}/{{name}}"


def _named(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "kind": kind.name, "version": kind.version}


def _encoded(message: Message) -> bytes:
    made = b""
    for number, value in message:
        inner = value.encode() if isinstance(value, str) else _encoded(value)
        made += _varint(number << 3 | 2) + _varint(len(inner)) + inner
    return made


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])
