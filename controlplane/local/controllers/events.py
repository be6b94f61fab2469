"""Kubernetes Events: what happened to an object, counted where it happens again."""

import hashlib
from datetime import UTC, datetime, timedelta

from controlplane.kubernetes.meta import Object, now
from controlplane.local.api.objects import Objects

KEPT = timedelta(hours=1)
MOST = 400
COMPONENT = "serin"


def record(objects: Objects, about: Object, kind: str, reason: str, message: str) -> None:
    """Write an Event, or count the one that says the same.

    Args:
        objects: Where it goes.
        about: The object it is about.
        kind: Normal or Warning.
        reason: One CamelCase word.
        message: A sentence.
    """
    metadata = about["metadata"]
    text = "/".join((metadata.get("uid", ""), kind, reason, message))
    name = f"{metadata['name']}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    namespace = metadata.get("namespace", "default")
    time = now()
    if old := objects.find("Event", namespace, name):
        objects.update({**old, "count": old["count"] + 1, "lastTimestamp": time})
        return
    objects.create(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": metadata["name"],
                "namespace": namespace,
                "uid": metadata.get("uid", ""),
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": "",
            "count": 1,
            "firstTimestamp": time,
            "lastTimestamp": time,
        }
    )


def forget(objects: Objects) -> None:
    """Remove Events that are an hour old, as a cluster does, and the oldest past a number."""
    found = sorted(objects.list_of("Event"), key=lambda one: str(one["lastTimestamp"]))
    oldest = datetime.now(UTC) - KEPT
    for index, one in enumerate(found):
        late = datetime.fromisoformat(one["lastTimestamp"]) < oldest
        if late or index < len(found) - MOST:
            objects.delete("Event", one["metadata"]["namespace"], one["metadata"]["name"])
