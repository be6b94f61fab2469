"""The Kubernetes objects of this laptop: what etcd and the API server's registry are to a cluster.

Everything is kept in memory and in one file. Objects are plain dictionaries; what is handed out is
a copy, so that nothing changes but through `create`, `update` and `delete`. The store sets what is
the system's to set (uid, resourceVersion, generation, creationTimestamp) and judges nothing else:
schemas and rules are the API's business (controlplane/local/api).
"""

import asyncio
import threading
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from controlplane import statefolder
from controlplane.errors import SerinError
from controlplane.kubernetes.meta import (
    Key,
    Object,
    key_of,
    now,
    sound,
    with_spec_of,
    with_status_of,
)
from controlplane.kubernetes.refusals import AlreadyExists, Conflict, Gone, NotFound

REMEMBERED = 4096
"""Changes that a watch may start behind; older ones answer 410 Gone."""
REMEMBERED_BYTES = 64 * 2**20
"""Of all of them: an object may be 3 MiB, and so may each of its changes."""
GAP = 1000
"""Added to the resource version at each start: what was given out and not saved stays unused."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One step of the history."""

    revision: int
    type: str
    """ADDED, MODIFIED or DELETED."""
    key: Key
    content: bytes
    """The object after it, as JSON; of a deletion, the last one."""

    @property
    def object(self) -> Object:
        """A copy of the object."""
        found: Object = orjson.loads(self.content)
        return found


class Objects:
    """Every object; safe to use from threads, watched from asyncio."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what a file holds.

        Args:
            path: Where to keep the objects; None keeps nothing.

        Raises:
            SerinError: The file was written by another version of Serin, or is damaged.
        """
        self._path = path
        self._content: dict[str, dict[tuple[str, str], bytes]] = {}
        """Kind → namespace and name → the object as JSON."""
        self._history: deque[Change] = deque()
        self._history_bytes = 0
        self._lock = threading.RLock()
        self._watchers: set[Callable[[], None]] = set()
        self._revision = 1
        self._saving = asyncio.Lock()
        if path is not None and path.exists():
            self._load(path)
        self._saved = self._start = self._revision
        """What a watch may start at: the revision before the oldest change of the history."""

    @property
    def revision(self) -> int:
        """The newest resource version."""
        return self._revision

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """A copy of one object, or None."""
        content = self._content.get(kind, {}).get((namespace, name))
        return None if content is None else orjson.loads(content)

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """A copy of one object.

        Raises:
            NotFound: There is none.
        """
        found = self.find(kind, namespace, name)
        if found is None:
            raise NotFound(f'{kind} "{name}" not found', kind=kind, name=name)
        return found

    def list_of(self, kind: str, namespace: str | None = None) -> list[Object]:
        """Copies of all objects of a kind, by namespace and name."""
        with self._lock:
            found = sorted(
                (key, content)
                for key, content in self._content.get(kind, {}).items()
                if namespace in {None, key[0]}
            )
        return [orjson.loads(content) for _, content in found]

    def count(self, kind: str) -> int:
        """How many objects of a kind there are."""
        return len(self._content.get(kind, {}))

    def create(self, wanted: Object) -> Object:
        """Add an object and return it as it is now. `status` is kept: controllers fill it at once.

        Raises:
            AlreadyExists: One of this kind and name is there.
        """
        with self._lock:
            key = key_of(wanted)
            if self.find(*key):
                raise AlreadyExists(f'{key[0]} "{key[2]}" already exists', kind=key[0], name=key[2])
            made = orjson.loads(orjson.dumps(wanted))
            metadata = made["metadata"]
            metadata.setdefault("uid", str(uuid.uuid4()))
            metadata["creationTimestamp"] = now()
            if "spec" in made:
                metadata["generation"] = 1
            return self._put("ADDED", key, made)

    def update(self, wanted: Object, *, status: bool = False) -> Object:
        """Replace an object and return it as it is now.

        An object that names a resourceVersion must name the newest. What does not change anything
        makes no new resource version. A change outside of metadata and status is a new generation.

        Args:
            wanted: The whole object.
            status: Replace only the status; without, everything but the status.

        Raises:
            NotFound: It is not there.
            Conflict: It was changed since it was read, or is another object of that name.
        """
        with self._lock:
            key = key_of(wanted)
            old = self.get(*key)
            given, kept = wanted["metadata"], old["metadata"]
            for name in ("resourceVersion", "uid"):
                if given.get(name) not in {None, "", kept[name]}:
                    raise Conflict(
                        f'Operation cannot be fulfilled on {key[0]} "{key[2]}": the object has '
                        "been modified; please apply your changes to the latest version and try "
                        "again",
                        kind=key[0],
                        name=key[2],
                    )
            new = with_status_of(wanted, old) if status else with_spec_of(wanted, old)
            if new == old:
                return old
            return self._put("MODIFIED", key, new)

    def modify(
        self, kind: str, namespace: str, name: str, change: Callable[[Object], None]
    ) -> Object:
        """Read, change in place and write, as one step; for everything but the status.

        Raises:
            NotFound: It is not there.
        """
        with self._lock:
            found = self.get(kind, namespace, name)
            change(found)
            return self.update(found)

    def set_status(self, kind: str, namespace: str, name: str, status: Object) -> Object:
        """Replace an object's status.

        Raises:
            NotFound: It is not there.
        """
        with self._lock:
            found = self.get(kind, namespace, name)
            found["status"] = status
            return self.update(found, status=True)

    def delete(self, kind: str, namespace: str, name: str) -> Object:
        """Remove an object and return what it was.

        Raises:
            NotFound: It is not there.
        """
        with self._lock:
            found = self.get(kind, namespace, name)
            last = self._put("DELETED", (kind, namespace, name), found)
            del self._content[kind][namespace, name]
            return last

    async def watch(self, since: int) -> AsyncGenerator[Change]:
        """Every change after a resource version, for as long as it is asked.

        Raises:
            Gone: Changes since then are no longer remembered.
        """
        news = asyncio.Event()
        stop = self.on_change(news.set)
        try:
            while True:
                news.clear()
                for change in self.changes(since):
                    since = change.revision
                    yield change
                await news.wait()
        finally:
            stop()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called in this event loop after every change; returns what ends that."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(listener)

        def stop() -> None:
            with self._lock:
                self._watchers.discard(tell)

        with self._lock:
            self._watchers.add(tell)
        return stop

    def changes(self, since: int) -> list[Change]:
        """Every remembered change after a resource version, oldest first.

        Raises:
            Gone: Changes since then are no longer remembered.
        """
        with self._lock:
            if since < self._start:
                raise Gone(f"too old resource version: {since} ({self._start})")
            found: list[Change] = []
            for change in reversed(self._history):
                if change.revision <= since:
                    break
                found.append(change)
            return found[::-1]

    async def save(self) -> None:
        """Return when everything up to now is on the disk. Those who wait together share a write.

        Raises:
            OSError: The disk is full or read-only; what was changed is in memory only.
        """
        wanted = self._revision
        async with self._saving:
            if self._path is None or self._saved >= wanted:
                return
            with self._lock:
                revision = self._revision
                contents = [text for kind in self._content.values() for text in kind.values()]
            head = b'{"format":%d,"revision":%d,"objects":[\n' % (FORMAT, revision)
            text = head + b",\n".join(contents) + b"\n]}\n"
            await asyncio.to_thread(statefolder.write_bytes, self._path, text, 0o600)
            self._saved = revision

    def _put(self, step: str, key: Key, made: Object) -> Object:
        self._revision += 1
        made["metadata"]["resourceVersion"] = str(self._revision)
        content = orjson.dumps(made)
        self._content.setdefault(key[0], {})[key[1:]] = content
        self._remember(Change(self._revision, step, key, content))
        for tell in self._watchers:
            tell()
        return made

    def _remember(self, change: Change) -> None:
        self._history.append(change)
        self._history_bytes += len(change.content)
        while len(self._history) > REMEMBERED or self._history_bytes > REMEMBERED_BYTES:
            oldest = self._history.popleft()
            self._history_bytes -= len(oldest.content)
            self._start = oldest.revision

    def _load(self, path: Path) -> None:
        try:
            found = orjson.loads(path.read_bytes())
            known = found["format"] == FORMAT
            contents = {key_of(one): orjson.dumps(sound(one)) for one in found["objects"]}
            revision = int(found["revision"])
        except (ValueError, KeyError, TypeError) as error:
            raise SerinError(
                f"{path} is damaged ({error}): move it away and run ./serin up again; it holds "
                "what kubectl applied, not the models."
            ) from error
        if not known:
            raise SerinError(
                f"{path} was written by another version of Serin: move it away, and run again."
            )
        for (kind, namespace, name), text in contents.items():
            self._content.setdefault(kind, {})[namespace, name] = text
        self._revision = revision + GAP
