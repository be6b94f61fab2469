"""Objects as `kubectl get` shows them: meta.k8s.io/v1 Tables, computed by the server. Pure."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from controlplane.kubernetes.autoscalers import served
from controlplane.kubernetes.kinds import Kind
from controlplane.kubernetes.meta import Object
from controlplane.local.api.kubectl import jsonpath
from controlplane.local.api.kubectl.ages import since
from controlplane.local.api.kubectl.cells import BUILTIN, Column
from controlplane.local.api.schemas import columns_of

CANARY = Column("Canary", "string", 1)
"""Ours, shown with -o wide: KServe's own columns say nothing of a canary in Standard mode."""


def table(
    kind: Kind, objects: Iterable[Object], revision: str, *, include: str, columns: bool = True
) -> Object:
    """A Table of objects.

    Args:
        kind: Their kind.
        objects: The rows.
        revision: The list's resource version.
        include: What each row carries: None, Metadata or Object.
        columns: Whether to describe the columns; a watch does so only once.
    """
    shown, cells = _layout(kind)
    rows = [
        {"cells": cells(one), "object": _included(served(kind, one), include)} for one in objects
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": revision},
        "columnDefinitions": [column.definition() for column in shown] if columns else [],
        "rows": rows,
    }


def partial(one: Object) -> Object:
    """Only an object's metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": one["metadata"],
    }


def _included(one: Object, include: str) -> Object | None:
    if include == "None":
        return None
    return one if include == "Object" else partial(one)


def _layout(kind: Kind) -> tuple[list[Column], Callable[[Object], list[Any]]]:
    if kind.name in BUILTIN:
        shown, cells = BUILTIN[kind.name]
        return [Column("Name", "string", format="name"), *shown] if shown[-1].name != "Name" else [
            *shown
        ], cells
    custom = columns_of(kind)
    named = [Column("Name", "string", format="name")]
    named += [Column(one["name"], one["type"], one.get("priority", 0)) for one in custom]
    if kind.name == "InferenceService":
        named.append(CANARY)

    def row(one: Object) -> list[Any]:
        found = [one["metadata"]["name"], *(_cell(column, one) for column in custom)]
        if kind.name == "InferenceService":
            found.append(_canaries(one))
        return found

    return named, row


def _cell(column: dict[str, Any], one: Object) -> Any:
    found = jsonpath.find(column["jsonPath"], one)
    if not found:
        return None
    if column["type"] == "date":
        return since(found[0], datetime.now(UTC))
    if column["type"] == "string":
        values = found if "[*]" in column["jsonPath"] else found[:1]
        return ",".join(_string(value) for value in values)
    return found[0]


def _string(value: Any) -> str:
    if isinstance(value, list):
        return str([*map(str, value)]).replace("'", '"')
    return str(value)


def _canaries(one: Object) -> str:
    return ",".join(
        f"{canary['name']}={canary['trafficPercent'] if canary.get('ready') else 0}%"
        for canary in (one.get("status") or {}).get("canaryStatuses") or ()
    )
