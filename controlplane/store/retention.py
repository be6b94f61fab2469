"""Which versions may go: old ones that nobody serves, served before, or names anywhere."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from controlplane import statefolder
from controlplane.statefolder import Home
from controlplane.store import artifacts
from controlplane.store.catalog import MANIFEST, Version
from controlplane.store.channels import FOLDER
from controlplane.store.s3 import BUCKET, Store
from controlplane.store.served import served

_VERSION = re.compile(r"\b[0-9a-f]{12}\b")
UNFINISHED_FOR = timedelta(days=1)
"""What has no manifest after this long is nobody's upload any more."""


def doomed(
    versions: Sequence[Version], keep: int, referenced: AbstractSet[str], now: datetime
) -> list[Version]:
    """What to delete.

    Args:
        versions: Of all models, complete or not, the newest first.
        keep: How many of each model's newest stay in any case; as many smoke versions beside them.
        referenced: Versions that stay however old they are.
        now: With a time zone.
    """
    chosen = []
    seen: Counter[tuple[str, bool]] = Counter()
    for one in versions:
        if not one.complete:
            if now - one.published_at > UNFINISHED_FOR and one.version not in referenced:
                chosen.append(one)
            continue
        seen[one.model, one.smoke] += 1
        if seen[one.model, one.smoke] > keep and one.version not in referenced:
            chosen.append(one)
    return chosen


def on_this_machine(home: Home, root: Path) -> set[str]:
    """Versions that manifests or this platform's objects name, or that it served before the last.

    In a manifest any word that looks like a version counts: keeping one too many is cheap.
    """
    manifests = [path for name in ("kserve", "keda") for path in (root / name).rglob("*.yaml")]
    paths = [*manifests, home.state, home.desired]
    found = {
        word
        for path in paths
        if path.exists()
        for word in _VERSION.findall(path.read_text("utf-8"))
    }
    kept = statefolder.read_json(home.objects).get("objects", [])
    found |= in_cluster(one for one in kept if one["kind"] == "InferenceService")
    replica_sets = [one for one in kept if one["kind"] == "ReplicaSet"]
    for uris in served(replica_sets).values():
        found |= {word for uri in uris[:2] for word in _VERSION.findall(uri)}
    return found


def in_cluster(services: Iterable[dict[str, Any]]) -> set[str]:
    """Versions that InferenceServices of a cluster name."""
    return {word for service in services for word in _VERSION.findall(repr(service))}


def in_channels(store: Store) -> set[str]:
    """Versions that a channel serves, served before, or has proposed."""
    found: set[str] = set()
    for entry in artifacts.objects(store, BUCKET):
        parts = entry["path"].split("/")
        if parts[1:2] == [FOLDER] and parts[-1] == "state.json":
            with artifacts.told(store):
                raw = bytes(artifacts.client(store, BUCKET).get(entry["path"]).bytes())
            found |= set(_VERSION.findall(raw.decode("utf-8", "replace")))
    return found


def delete(store: Store, version: Version) -> None:
    """Delete a version, its manifest first: half deleted, it is no version to anybody.

    Raises:
        StoreError: The store does not answer, or refuses; deleting again goes on.
    """
    client = artifacts.client(store, BUCKET)
    keys = sorted((one.key for one in version.objects), key=lambda key: not key.endswith(MANIFEST))
    with artifacts.told(store):
        for key in keys:
            artifacts.interruptible(partial(client.delete, key))
