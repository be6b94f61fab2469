"""The published versions of all models, as the store has them.

Published means that MANIFEST.json, which is written last, is there. training/publish/registry.py
writes.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from controlplane.errors import SerinError
from controlplane.store import artifacts, runs
from controlplane.store.channels import FOLDER
from controlplane.store.s3 import BUCKET, Store

MANIFEST = artifacts.MANIFEST
_READERS = 8  # a manifest is small, and a store may be far


@dataclass(frozen=True, slots=True)
class Object:
    """One stored file of a version."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """One published version, or what was left of one."""

    model: str
    version: str
    objects: tuple[Object, ...]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """Empty where there is none, or none that can be read."""

    @property
    def uri(self) -> str:
        """As an InferenceService's storageUri names it."""
        return f"s3://{BUCKET}/{self.model}/{self.version}"

    @property
    def published_at(self) -> datetime:
        """When its last object was written, which is the manifest; by the store's clock."""
        return max(one.modified_at for one in self.objects)

    @property
    def size_bytes(self) -> int:
        """Of all its objects."""
        return sum(one.size_bytes for one in self.objects)

    @property
    def complete(self) -> bool:
        """Whether its manifest is there."""
        return any(one.key.endswith(f"/{self.version}/{MANIFEST}") for one in self.objects)

    @property
    def smoke(self) -> bool:
        """Whether it only proves the pipeline; served only where it is named."""
        return artifacts.is_smoke(self.manifest)

    @property
    def metrics(self) -> dict[str, Any]:
        """What training measured."""
        found = self.manifest.get("metrics")
        return found if isinstance(found, dict) else {}


class Catalog:
    """A store's versions, read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        found: dict[tuple[str, str], list[Object]] = {}
        for entry in artifacts.objects(store, BUCKET):
            parts = PurePosixPath(entry["path"]).parts
            if len(parts) > 2 and parts[1] not in {FOLDER, runs.FOLDER}:
                one = Object(entry["path"], entry["size"], entry["last_modified"])
                found.setdefault((parts[0], parts[1]), []).append(one)
        with ThreadPoolExecutor(_READERS) as pool:
            self.all = list(pool.map(self._read, found.items()))
        self.all.sort(key=lambda one: (one.published_at, one.version), reverse=True)

    def models(self) -> list[str]:
        """Those with a published version."""
        return sorted({one.model for one in self.all if one.complete})

    def versions(self, model: str | None = None) -> list[Version]:
        """Published versions, models by name and of each the newest first.

        Raises:
            SerinError: `model` has none.
        """
        names = self.models()
        if model is not None and model not in names:
            raise SerinError(
                f"No version of {model} is published in {self.store.endpoint}. Publish one with: "
                f"./serin train {model}"
            )
        chosen = names if model is None else [model]
        return [one for name in chosen for one in self.all if one.complete and one.model == name]

    def find(self, model: str, prefix: str) -> Version:
        """The one version whose name begins so.

        Raises:
            SerinError: None does, or several do; names them.
        """
        known = self.versions(model)
        found = [one for one in known if one.version.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(one.version for one in found or known)
        if found:
            raise SerinError(f"{prefix!r} begins several versions of {model}: {listed}.")
        raise SerinError(f"No version of {model} begins with {prefix!r}. There are: {listed}.")

    def _read(self, item: tuple[tuple[str, str], list[Object]]) -> Version:
        (model, version), objects = item
        found = Version(model, version, tuple(objects))
        if not found.complete:
            return found
        manifest = artifacts.manifest(self.store, BUCKET, f"{model}/{version}/{MANIFEST}")
        return Version(model, version, tuple(objects), manifest)
