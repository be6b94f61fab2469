"""What every Kubernetes object has: its key, its system fields, and what an update may change.

Pure, apart from the clock.
"""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

Object = dict[str, Any]
Key = tuple[str, str, str]
"""Kind, namespace (empty for kinds without one), name."""
_TIMES_AND_IDS = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")


def key_of(one: Object) -> Key:
    """An object's kind, namespace and name."""
    metadata = one["metadata"]
    return one["kind"], metadata.get("namespace", ""), metadata["name"]


def now() -> str:
    """The time as metav1.Time: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def owner_reference(owner: Object) -> Object:
    """What makes an object the owner's: it is removed with it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned(objects: Iterable[Object], uid: str) -> list[Object]:
    """Those of the objects whose owner has this uid."""
    return [one for one in objects if any(owner["uid"] == uid for owner in owners(one))]


def by_owner(objects: Iterable[Object]) -> dict[str, list[Object]]:
    """An owner's uid → what it owns of the objects, in their order."""
    groups: dict[str, list[Object]] = {}
    for one in objects:
        for uid in dict.fromkeys(owner["uid"] for owner in owners(one)):
            groups.setdefault(uid, []).append(one)
    return groups


def owners(one: Object) -> list[Object]:
    """An object's owner references; what is none of a file's is left out."""
    found = one["metadata"].get("ownerReferences")
    return [owner for owner in found if isinstance(owner, dict)] if isinstance(found, list) else []


def sound(one: Object) -> Object:
    """An object of a file with metadata of the form that the API keeps; its spec may be anything.

    Every controller looks at every object's labels and owners: what is no such thing is left out.
    """
    written = {"generation": int, **dict.fromkeys(_TIMES_AND_IDS, str)}
    metadata = {
        name: value
        for name, value in one["metadata"].items()
        if isinstance(value, written.get(name, object))
    }
    metadata.setdefault("uid", str(uuid.uuid4()))
    metadata.setdefault("creationTimestamp", now())
    for name in ("labels", "annotations"):
        found = metadata.pop(name, None)
        if isinstance(found, dict) and found:
            metadata[name] = {key: text for key, text in found.items() if isinstance(text, str)}
    kept = [
        owner
        for owner in owners(one)
        if all(isinstance(owner.get(name), str) for name in ("uid", "kind", "name"))
    ]
    metadata.pop("ownerReferences", None)
    if kept:
        metadata["ownerReferences"] = kept
    return {**one, "metadata": metadata}


def is_of_a_controller(one: Object) -> bool:
    """Whether a controller made the object, and puts back what others change in it."""
    return any(owner.get("controller") for owner in owners(one))


def with_status_of(wanted: Object, old: Object) -> Object:
    """The old object with the wanted one's status."""
    new = {**old, "metadata": {**old["metadata"]}, "status": wanted.get("status", {})}
    if "managedFields" in wanted["metadata"]:
        new["metadata"]["managedFields"] = wanted["metadata"]["managedFields"]
    return new


def with_spec_of(wanted: Object, old: Object) -> Object:
    """The wanted object with the old one's status and system fields.

    What changes outside of metadata and status makes a new generation.
    """
    new: Object = orjson.loads(orjson.dumps(wanted))
    new.pop("status", None)
    if "status" in old:
        new["status"] = old["status"]
    for name in ("uid", "creationTimestamp", "generation", "resourceVersion"):
        new["metadata"].pop(name, None)
        if name in old["metadata"]:
            new["metadata"][name] = old["metadata"][name]
    if "generation" in old["metadata"] and _content(new) != _content(old):
        new["metadata"]["generation"] += 1
    return new


def _content(one: Object) -> Object:
    return {name: value for name, value in one.items() if name not in {"metadata", "status"}}
