"""Bodies in Kubernetes' protobuf: what `kubectl create configmap` and its like send. Pure.

kubectl sends built-in kinds so when it makes them itself; for everything else, and for answers, it
takes JSON. Field numbers are those of the generated.proto files in k8s.io/api and apimachinery.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import BadRequest, UnsupportedMediaType

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

Message = Mapping[int, tuple[str, Any]]
"""Field number → its name, and how it is read: a word, or the message it holds."""

_META: Message = {
    1: ("name", "string"),
    2: ("generateName", "string"),
    3: ("namespace", "string"),
    5: ("uid", "string"),
    6: ("resourceVersion", "string"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
}
_RESOURCE: Message = {
    1: ("namespace", "string"),
    2: ("verb", "string"),
    3: ("group", "string"),
    4: ("version", "string"),
    5: ("resource", "string"),
    6: ("subresource", "string"),
    7: ("name", "string"),
}
_PATH: Message = {1: ("path", "string"), 2: ("verb", "string")}
_KINDS: Mapping[str, Message] = {
    "ConfigMap": {
        1: ("metadata", _META),
        2: ("data", "map"),
        3: ("binaryData", "bytes map"),
        4: ("immutable", "bool"),
    },
    "Secret": {
        1: ("metadata", _META),
        2: ("data", "bytes map"),
        3: ("type", "string"),
        4: ("stringData", "map"),
        5: ("immutable", "bool"),
    },
    "Namespace": {1: ("metadata", _META)},
    "ServiceAccount": {1: ("metadata", _META), 4: ("automountServiceAccountToken", "bool")},
    "SelfSubjectReview": {},
    "SelfSubjectRulesReview": {},
    "SelfSubjectAccessReview": {
        2: ("spec", {1: ("resourceAttributes", _RESOURCE), 2: ("nonResourceAttributes", _PATH)})
    },
    "Scale": {1: ("metadata", _META), 2: ("spec", {1: ("replicas", "int")})},
}


def decoded(content: bytes) -> Object:
    """An object from its protobuf form.

    Raises:
        UnsupportedMediaType: A kind that is not read so; says how to send it.
        BadRequest: It is no Kubernetes protobuf.
    """
    if not content.startswith(_MAGIC):
        raise BadRequest("the body is no Kubernetes protobuf")
    try:
        envelope = dict(fields(content[len(_MAGIC) :]))
        named = dict(fields(envelope[1]))
        version, kind = named[1].decode(), named[2].decode()
        if kind not in _KINDS:
            raise UnsupportedMediaType(
                f"a {kind} is read as JSON or YAML here: make it with `--dry-run=client -o yaml` "
                "and give that to `kubectl apply -f -`"
            )
        found = _message(_KINDS[kind], envelope[2])
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise BadRequest(f"the body is no Kubernetes protobuf: {error}") from error
    return {"apiVersion": version, "kind": kind, **found}


def _message(message: Message, content: bytes) -> Object:
    found: Object = {}
    for number, value in fields(content):
        if number not in message:
            continue
        name, how = message[number]
        if isinstance(how, Mapping):
            found[name] = _message(how, value)
        elif how == "map":
            key, inner = _entry(value)
            found.setdefault(name, {})[key] = inner.decode()
        elif how == "bytes map":
            key, inner = _entry(value)
            found.setdefault(name, {})[key] = base64.b64encode(inner).decode()
        elif how == "string":
            if value:
                found[name] = value.decode()
        else:
            found[name] = bool(value) if how == "bool" else value
    return found


def _entry(content: bytes) -> tuple[str, bytes]:
    entry = dict(fields(content))
    return entry.get(1, b"").decode(), entry.get(2, b"")


def fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Field number and value: bytes, or a number."""
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(content, place)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, place = _varint(content, place)
        elif kind in {1, 5}:
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if place + size > len(content):
            raise ValueError("it ends too early")
        yield tag >> 3, content[place : place + size]
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
