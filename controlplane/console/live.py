"""Server-sent events: something changed, so look again.

One task looks while anybody listens, whatever the number of pages; it compares the
resourceVersions of what pages show. Numbers change all the time, so there is a tick for them too.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterable

from controlplane.console.sources.answer import SourceError
from controlplane.console.sources.cluster import Cluster, Object

LISTENERS = 32
LOOK_SECONDS = 1.5
TICKS = 4
"""Looks after which numbers are drawn anew."""
KINDS = (
    *("inferenceservices", "deployments", "pods", "jobs", "leases", "events"),
    "horizontalpodautoscalers",
)


class Live:
    """Who listens, and what is to be told."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._listeners: set[asyncio.Queue[str]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether no page more can listen."""
        return len(self._listeners) >= LISTENERS

    async def stream(self) -> AsyncIterator[bytes]:
        """One page's events, until it goes."""
        queue: asyncio.Queue[str] = asyncio.Queue(4)
        self._listeners.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            yield b"retry: 2000\n\n"
            while True:
                yield f"event: {await queue.get()}\ndata: \n\n".encode()
        finally:
            self._listeners.discard(queue)
            if not self._listeners and self._task is not None:
                self._task.cancel()

    def stop(self) -> None:
        """End the looking."""
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        seen, looks = "", 0
        while True:
            looks += 1
            now = await self._digest()
            if now != seen or looks % TICKS == 0:
                if seen:
                    self._tell("changed" if now != seen else "tick")
                seen = now
            await asyncio.sleep(LOOK_SECONDS)

    async def _digest(self) -> str:
        try:
            lists = await asyncio.gather(*(self._cluster.list(kind) for kind in KINDS))
            return _digest_of(item for items in lists for item in items)
        except SourceError as error:
            return str(error)

    def _tell(self, event: str) -> None:
        for queue in self._listeners:
            with contextlib.suppress(asyncio.QueueFull):  # it has not read the last ones yet
                queue.put_nowait(event)


def _digest_of(objects: Iterable[Object]) -> str:
    """Another text for other versions of the objects; of one without a version, its whole text."""
    digest = hashlib.sha256()
    for document in objects:
        metadata = document.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else document
        digest.update(f"{version}\n".encode())
    return digest.hexdigest()
