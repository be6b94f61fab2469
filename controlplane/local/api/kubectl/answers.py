"""How answers are written: negotiation of Tables, lists, Status objects. Pure."""

import json
import re
from collections.abc import Iterable, Sequence

import orjson
from starlette.responses import Response

from controlplane.kubernetes.autoscalers import served
from controlplane.kubernetes.kinds import Kind
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Refusal
from controlplane.local.api.kubectl import tables

_MOST_WARNINGS = 50
_LONGEST_WARNING = 400


def wanted(accept: str) -> str:
    """The first form of an Accept header that is served: Table, PartialObjectMetadata or plain."""
    for part in accept.split(","):
        found = re.search(r"as=(\w+)", part)
        if not found:
            return ""
        if found[1] in {"Table", "PartialObjectMetadata", "PartialObjectMetadataList"} and (
            "v=v1beta1" not in part
        ):
            return found[1].removesuffix("List")
    return ""


def one_as(form: str, kind: Kind, one: Object, include: str, *, columns: bool = True) -> Object:
    """One object in a form."""
    if form == "Table":
        revision = one["metadata"].get("resourceVersion", "")
        return tables.table(kind, [one], revision, include=include, columns=columns)
    return tables.partial(one) if form else served(kind, one)


def many_as(
    form: str, kind: Kind, objects: Iterable[Object], revision: int, include: str
) -> Object:
    """A list of objects in a form."""
    if form == "Table":
        return tables.table(kind, objects, str(revision), include=include)
    metadata = {"resourceVersion": str(revision)}
    if form:
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": [tables.partial(one) for one in objects],
        }
    return {
        "kind": f"{kind.name}List",
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": [served(kind, one) for one in objects],
    }


def answer(content: Object | bytes, code: int = 200, warnings: Sequence[str] = ()) -> Response:
    """JSON, with a Warning header for each warning."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    response = Response(body, code, media_type="application/json")
    for warning in warnings[:_MOST_WARNINGS]:
        # In ASCII, and without what would end the header: fields have any name.
        response.headers.append("Warning", f"299 - {json.dumps(warning[:_LONGEST_WARNING])}")
    return response


def status(refusal: Refusal) -> Object:
    """A refusal as metav1.Status."""
    details = {name: value for name, value in refusal.details.items() if value}
    if refusal.causes:
        details["causes"] = [
            {"reason": cause.reason, "message": cause.message, "field": cause.field}
            for cause in refusal.causes
        ]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": str(refusal),
        "reason": refusal.reason,
        "details": details,
        "code": refusal.code,
    }


def deleted(kind: Kind, gone: Object) -> Object:
    """What a deletion answers."""
    metadata = gone["metadata"]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": metadata["name"],
            "group": kind.group,
            "kind": kind.plural,
            "uid": metadata["uid"],
        },
    }
