"""The versions that S3 has: read beside the event loop, within limits, and kept for seconds."""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from controlplane.console.sources.answer import SourceError
from controlplane.store import artifacts, catalog, integrity
from controlplane.store.channels import Document
from controlplane.store.followed import Channel
from controlplane.store.s3 import BUCKET, Store

WHO = "The S3 store"
SECONDS = 6.0
KEPT_SECONDS = 5.0
VERSIONS = 1000
"""Manifests that are read, the newest first."""
MANIFEST_BYTES = 1 << 20
OBJECTS = 50_000
_READERS = 8


@dataclass(frozen=True, slots=True)
class Published:
    """One published version."""

    model: str
    version: str
    at: datetime
    size_bytes: int
    manifest: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    """Why its manifest could not be read."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What training measured."""
        metrics = self.manifest.get("metrics")
        return metrics if isinstance(metrics, dict) else {}


@dataclass(frozen=True, slots=True)
class Followed:
    """A channel as the store has it."""

    state: Document
    reports: Mapping[str, Document]
    """Pod → what it said last."""
    history: list[Document]
    """Commits, the last first."""


class Registry:
    """A store's versions. Manifests never change, so each is read once."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._known: dict[tuple[str, str, datetime], Published] = {}
        self._listed: list[Published] = []
        self._until = 0.0
        self.unread = 0
        """Older versions than those that are read."""
        self._lock, self._hashing = asyncio.Lock(), asyncio.Lock()

    async def versions(self) -> list[Published]:
        """Of all models, the newest first.

        Raises:
            SourceError: There is no answer.
        """
        if self._store is None:
            raise SourceError("No S3 store is known: set SERIN_S3_ENDPOINT and its keys.")
        async with self._lock:
            if time.monotonic() > self._until:
                self._listed = await self._read(self._store)
                self._until = time.monotonic() + KEPT_SECONDS
        return self._listed

    async def find(self, model: str, version: str) -> Published:
        """One version.

        Raises:
            SourceError: There is no answer, or no such version.
        """
        for known in await self.versions():
            if (known.model, known.version) == (model, version):
                return known
        raise SourceError(f"{version[:80]!r} is no published version of {model[:80]}.")

    async def damage(self, model: str, version: str) -> list[str]:
        """What is wrong with a version, a sentence a file: every byte is hashed again.

        Raises:
            SourceError: There is no answer, no such version, or another one is being hashed.
        """
        await self.find(model, version)
        store = self._store
        if store is None or self._hashing.locked():
            raise SourceError("Another version is being verified: try again when that is done.")

        def hashed() -> list[str]:
            listed = artifacts.objects(store, BUCKET, f"{model}/{version}")
            there = (
                catalog.Object(entry["path"], entry["size"], entry["last_modified"])
                for entry in listed
            )
            return integrity.damage(store, catalog.Version(model, version, tuple(there)))

        async with self._hashing:
            return await asyncio.to_thread(hashed)

    async def channel(self, model: str, name: str, bucket: str) -> Followed:
        """A channel with its replicas and commits.

        Raises:
            SourceError: There is no answer, or no such channel.
        """
        store = self._store
        if store is None:
            raise SourceError("No S3 store is known: set SERIN_S3_ENDPOINT and its keys.")

        def read() -> Followed | None:
            channel = Channel(store, model, name, bucket)
            state = channel.read()
            if state is None:
                return None
            return Followed(state, channel.reports(), channel.history())

        try:
            async with asyncio.timeout(SECONDS):
                followed = await asyncio.to_thread(read)
        except TimeoutError as error:
            raise SourceError(f"{WHO} did not answer in {SECONDS:g} s.") from error
        if followed is None:
            raise SourceError(f"Nothing was committed to {model}@{name} yet.")
        return followed

    async def _read(self, store: Store) -> list[Published]:
        client = artifacts.client(store, BUCKET)
        try:
            async with asyncio.timeout(SECONDS):
                listed: list[Any] = []
                async for batch in client.list_async():
                    listed += batch
                    if len(listed) > OBJECTS:
                        raise SourceError(f"{WHO} lists more than {OBJECTS:,} objects.")
                heads = sorted(_heads(listed), key=lambda head: head.at, reverse=True)
                self.unread = max(len(heads) - VERSIONS, 0)
                heads = heads[:VERSIONS]
                turns = asyncio.Semaphore(_READERS)
                found = await asyncio.gather(*(self._whole(client, turns, head) for head in heads))
        except TimeoutError as error:
            raise SourceError(f"{WHO} did not answer in {SECONDS:g} s.") from error
        except SourceError:
            raise
        except Exception as error:  # its client's errors have no common base
            said = str(error).split("\n", 1)[0].rsplit(" - ", 1)[-1]
            raise SourceError(f"{WHO} does not answer: {said[:300]}") from error
        self._known = {(version.model, version.version, version.at): version for version in found}
        return list(found)

    async def _whole(self, client: Any, turns: asyncio.Semaphore, head: "_Head") -> Published:
        """A version with its manifest; of one that cannot be read, why."""
        known = self._known.get((head.model, head.version, head.at))
        if known is not None:
            return known
        version = Published(head.model, head.version, head.at, head.size_bytes)
        if head.manifest_bytes > MANIFEST_BYTES:
            return replace(version, error=f"its manifest has {head.manifest_bytes:,} bytes")
        async with turns:
            key = f"{head.model}/{head.version}/{artifacts.MANIFEST}"
            result = await client.get_async(key)
            raw = bytes(await result.bytes_async())
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            return replace(version, error="its manifest is no JSON")
        if not isinstance(document, dict):
            return replace(version, error="its manifest is no JSON object")
        whole = replace(version, manifest=document)
        # At once: where a look ends before it has read all of them, the next one goes on from here.
        self._known[head.model, head.version, head.at] = whole
        return whole


@dataclass(slots=True)
class _Head:
    """What a listing says of a version."""

    model: str
    version: str
    at: datetime
    size_bytes: int = 0
    manifest_bytes: int = -1
    """Below 0: it has none, and so is not published."""


def _heads(objects: Iterable[Mapping[str, Any]]) -> list[_Head]:
    """Model, version and size of everything that has a manifest."""
    heads: dict[tuple[str, str], _Head] = {}
    for entry in objects:
        parts = PurePosixPath(entry["path"]).parts
        if len(parts) < 3:
            continue
        at = entry["last_modified"]
        head = heads.setdefault((parts[0], parts[1]), _Head(parts[0], parts[1], at))
        head.size_bytes += entry["size"]
        head.at = max(head.at, at)
        if parts[2:] == (artifacts.MANIFEST,):
            head.manifest_bytes = entry["size"]
    return [head for head in heads.values() if head.manifest_bytes >= 0]
