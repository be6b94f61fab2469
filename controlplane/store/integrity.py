"""Whether the store still has what was published: every byte hashed again."""

import hashlib
import json

from controlplane.store import artifacts
from controlplane.store.catalog import MANIFEST, Version
from controlplane.store.s3 import BUCKET, Store


def damage(store: Store, version: Version) -> list[str]:
    """What is wrong with a published version, one sentence a file; empty where nothing is.

    Raises:
        StoreError: The store does not answer.
    """
    prefix = f"{version.model}/{version.version}"
    with artifacts.told(store):
        key = f"{prefix}/{MANIFEST}"
        raw = artifacts.interruptible(
            lambda: bytes(artifacts.client(store, BUCKET).get(key).bytes())
        )
    digest = hashlib.sha256(raw).hexdigest()
    if digest[: len(version.version)] != version.version:
        return [f"{MANIFEST}: its sha256 begins with {digest[: len(version.version)]}"]
    files = json.loads(raw)["files"]  # its hash is right, so training wrote it
    there = {one.key.removeprefix(f"{prefix}/"): one for one in version.objects}
    found = []
    for name, entry in sorted(files.items()):
        if name not in there:
            found.append(f"{name}: missing")
        elif there[name].size_bytes != entry["size_bytes"]:
            found.append(
                f"{name}: expected {entry['size_bytes']} bytes, got {there[name].size_bytes}"
            )
        elif (digest := _sha256(store, f"{prefix}/{name}")) != entry["sha256"]:
            found.append(f"{name}: expected sha256 {entry['sha256'][:12]}…, got {digest[:12]}…")
    return found + [
        f"{name}: not in the manifest" for name in sorted({*there} - {*files, MANIFEST})
    ]


def _sha256(store: Store, key: str) -> str:
    def hashed() -> str:
        digest = hashlib.sha256()
        for chunk in artifacts.client(store, BUCKET).get(key):
            digest.update(chunk)
        return digest.hexdigest()

    with artifacts.told(store):
        return artifacts.interruptible(hashed)
