"""Kubernetes Events: what happened to an object, counted where it happens again."""

import contextlib
import hashlib
from datetime import UTC, datetime, timedelta

from controlplane.kubernetes.meta import Object, key_of, now
from controlplane.local.api.objects import Objects

KEPT = timedelta(hours=1)
MOST = 400
SLACK = 100
"""Above MOST, before Events are looked through."""
LONGEST = 236
"""Of an object's name, in that of its Event: with the digest it is a name that Kubernetes takes."""
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
    name = f"{metadata['name'][:LONGEST]}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    namespace = metadata.get("namespace", "default")
    time = now()
    if old := objects.find("Event", namespace, name):
        count = old.get("count")  # a client may have taken it out
        count = count + 1 if isinstance(count, int) else 1
        objects.update({**old, "count": count, "lastTimestamp": time})
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
    """Remove Events that are an hour old, as a cluster does, and the oldest past a number.

    Clients write Events too, with any times or none: such a one is as old as its object.
    """
    found = sorted((_time(one), key_of(one)) for one in objects.list_of("Event"))
    oldest = datetime.now(UTC) - KEPT
    for index, (time, key) in enumerate(found):
        if time < oldest or index < len(found) - MOST:
            objects.delete(*key)


def _time(event: Object) -> datetime:
    for time in (event.get("lastTimestamp"), event["metadata"]["creationTimestamp"]):
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(str(time)).astimezone(UTC)
    return datetime.now(UTC)
