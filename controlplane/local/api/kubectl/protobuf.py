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
"""Field number → its name, and how it is read: a word, the message it holds, or a list of one."""

_META: Message = {
    1: ("name", "string"),
    2: ("generateName", "string"),
    3: ("namespace", "string"),
    5: ("uid", "string"),
    6: ("resourceVersion", "string"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
    **dict.fromkeys((4, 7, 8, 17), ("", "the server's own")),
}
_REFERENCE: Message = {1: ("kind", "string"), 2: ("name", "string"), 3: ("apiVersion", "string")}
_TARGET: Message = {
    1: ("type", "string"),
    2: ("value", "quantity"),
    3: ("averageValue", "quantity"),
    4: ("averageUtilization", "int"),
}
_METRIC: Message = {
    1: ("type", "string"),
    4: ("resource", {1: ("name", "string"), 2: ("target", _TARGET)}),
    5: (
        "external",
        {
            1: ("metric", {1: ("name", "string"), 2: ("selector", {1: ("matchLabels", "map")})}),
            2: ("target", _TARGET),
        },
    ),
}
_OLD_AUTOSCALER: Message = {
    1: ("scaleTargetRef", _REFERENCE),
    2: ("minReplicas", "int"),
    3: ("maxReplicas", "int"),
    4: ("targetCPUUtilizationPercentage", "int"),
}
_AUTOSCALER: Message = {**_OLD_AUTOSCALER, 4: ("metrics", [_METRIC])}
_CONTAINER: Message = {
    1: ("name", "string"),
    2: ("image", "string"),
    3: ("command", ["string"]),
    4: ("args", ["string"]),
    5: ("workingDir", "string"),
    7: ("env", [{1: ("name", "string"), 2: ("value", "string")}]),
    14: ("imagePullPolicy", "string"),
}
_POD: Message = {2: ("containers", [_CONTAINER]), 3: ("restartPolicy", "string")}
_JOB: Message = {
    1: ("parallelism", "int"),
    2: ("completions", "int"),
    3: ("activeDeadlineSeconds", "int"),
    6: ("template", {1: ("metadata", _META), 2: ("spec", _POD)}),
    7: ("backoffLimit", "int"),
    8: ("ttlSecondsAfterFinished", "int"),
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
_RULE: Message = {
    1: ("verbs", ["string"]),
    2: ("apiGroups", ["string"]),
    3: ("resources", ["string"]),
    4: ("resourceNames", ["string"]),
    5: ("nonResourceURLs", ["string"]),
}
_SUBJECT: Message = {
    1: ("kind", "string"),
    2: ("apiGroup", "string"),
    3: ("name", "string"),
    4: ("namespace", "string"),
}
_PATH: Message = {1: ("path", "string"), 2: ("verb", "string")}
_UNREAD: Message = dict.fromkeys((1, 2, 3), ("", "not looked at"))
"""metadata, spec and status, where nothing there is asked for."""
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
    "Namespace": {**_UNREAD, 1: ("metadata", _META)},
    "Role": {1: ("metadata", _META), 2: ("rules", [_RULE])},
    "RoleBinding": {
        1: ("metadata", _META),
        2: ("subjects", [_SUBJECT]),
        3: ("roleRef", {1: ("apiGroup", "string"), 2: ("kind", "string"), 3: ("name", "string")}),
    },
    "ServiceAccount": {1: ("metadata", _META), 4: ("automountServiceAccountToken", "bool")},
    "SelfSubjectReview": _UNREAD,
    "SelfSubjectRulesReview": _UNREAD,
    "SelfSubjectAccessReview": {
        **_UNREAD,
        2: ("spec", {1: ("resourceAttributes", _RESOURCE), 2: ("nonResourceAttributes", _PATH)}),
    },
    "Scale": {**_UNREAD, 1: ("metadata", _META), 2: ("spec", {1: ("replicas", "int")})},
    "HorizontalPodAutoscaler": {**_UNREAD, 1: ("metadata", _META), 2: ("spec", _AUTOSCALER)},
    "Job": {**_UNREAD, 1: ("metadata", _META), 2: ("spec", _JOB)},
}
_OLD: Message = {**_KINDS["HorizontalPodAutoscaler"], 2: ("spec", _OLD_AUTOSCALER)}
_WAY = "make it with `--dry-run=client -o yaml` and give that to `kubectl apply -f -`"

_DRAIN = (
    "a deletion's options are read as JSON here, as kubectl delete sends them; kubectl drain does "
    "nothing on a laptop, whose only node is this machine: ./serin down stops all that runs on it"
)


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
        if kind == "DeleteOptions":
            raise UnsupportedMediaType(_DRAIN)
        if kind not in _KINDS:
            raise UnsupportedMediaType(f"a {kind} is read as JSON or YAML here: {_WAY}")
        old = (version, kind) == ("autoscaling/v1", "HorizontalPodAutoscaler")
        found = _message(_OLD if old else _KINDS[kind], envelope[2])
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise BadRequest(f"the body is no Kubernetes protobuf: {error}") from error
    return {"apiVersion": version, "kind": kind, **found}


def _message(message: Message, content: bytes) -> Object:
    found: Object = {}
    for number, value in fields(content):
        name, how = message.get(number, ("", "unread"))
        if how == "unread" and value not in {b"", 0}:  # kubectl writes out what is empty
            raise UnsupportedMediaType(
                f"field {number} of a message is read from JSON or YAML alone here: {_WAY}"
            )
        if how in ("map", "bytes map"):  # a message is no member of a set
            key, inner = _entry(value)
            text = inner if how == "map" else base64.b64encode(inner)
            found.setdefault(name, {})[key] = text.decode()
        elif isinstance(how, list):
            found.setdefault(name, []).append(_value(how[0], value))
        elif name and (value or how != "string"):
            found[name] = _value(how, value)
    return found


def _value(how: Any, value: Any) -> Any:
    if isinstance(how, Mapping):
        return _message(how, value)
    if how == "string":
        return value.decode()
    if how == "quantity":
        return dict(fields(value)).get(1, b"").decode()
    if how == "bool":
        return bool(value)
    return value - 2**64 if value >= 2**63 else value


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
