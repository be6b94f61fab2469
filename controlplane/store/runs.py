"""Records of trainings: who, which flags, what came of it.

s3://models/<model>/runs/<run>.json, as training/publish/records.py writes them.
"""

from collections.abc import Mapping
from typing import Any

from controlplane.store import artifacts
from controlplane.store.s3 import BUCKET, Store

FOLDER = "runs"
"""Beside a model's versions; never the name of one."""
MOST = 200
"""Records that are read, the newest."""
Record = Mapping[str, Any]


def records(store: Store, model: str = "") -> list[Record]:
    """The newest runs of a model, or of all; one that cannot be read is left out.

    Raises:
        StoreError: The store does not answer.
    """
    listed = []
    for entry in artifacts.objects(store, BUCKET, model):
        parts = entry["path"].split("/")
        if len(parts) == 3 and parts[1] == FOLDER and model in {"", parts[0]}:
            listed.append((entry["last_modified"], entry["path"]))
    found = []
    for _, path in sorted(listed, reverse=True)[:MOST]:
        document = artifacts.manifest(store, BUCKET, path)
        if isinstance(document.get("run"), str) and isinstance(document.get("model"), str):
            found.append(document)
    return sorted(found, key=lambda record: str(record.get("beganAt")), reverse=True)


def of_version(store: Store, model: str, version: str) -> list[Record]:
    """The runs that made a version, the newest first."""
    return [
        record
        for record in records(store, model)
        if str(record.get("storageUri")).endswith(f"/{model}/{version}")
    ]
