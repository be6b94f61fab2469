"""A watch as the API streams it: a line of JSON for each change, bookmarks in between."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import orjson

from controlplane.kubernetes.kinds import Kind
from controlplane.kubernetes.meta import Key, Object
from controlplane.kubernetes.refusals import Gone
from controlplane.local.api.kubectl.answers import one_as, status
from controlplane.local.api.kubectl.selectors import selected
from controlplane.local.api.objects import Change, Objects

BOOKMARK_SECONDS = 30.0
LONGEST_SECONDS = 1800.0
INITIAL_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Query:
    """What is watched, and how it is shown."""

    kind: Kind
    namespace: str | None
    name: str
    labels: str
    fields: str
    since: str
    """resourceVersion: empty or 0 starts with what there is."""
    bookmarks: bool
    initial: bool
    """sendInitialEvents: what there is first, then a bookmark that says so."""
    seconds: float
    form: str
    include: str


async def lines(objects: Objects, query: Query, closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Stream until time is up, the client goes or the server closes."""
    stream = _Stream(objects, query)
    for line in stream.begin():
        yield line
    loop = asyncio.get_running_loop()
    end = loop.time() + min(query.seconds, LONGEST_SECONDS)
    changes = objects.watch(stream.revision)
    closed = asyncio.create_task(closing.wait())
    upcoming: asyncio.Task[Change] | None = None
    try:
        while (left := end - loop.time()) > 0 and not closing.is_set():
            upcoming = upcoming or asyncio.create_task(_next(changes))
            done, _ = await asyncio.wait(
                {upcoming, closed},
                timeout=min(left, BOOKMARK_SECONDS),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if upcoming in done:
                task, upcoming = upcoming, None
                for line in stream.step(task.result()):
                    yield line
            elif not done and query.bookmarks:
                yield stream.bookmark()
    except Gone as gone:
        yield _line("ERROR", status(gone))
    finally:
        closed.cancel()
        if upcoming:
            upcoming.cancel()
            with contextlib.suppress(asyncio.CancelledError, Gone):
                await upcoming
        await changes.aclose()


class _Stream:
    """What a watcher has been told so far."""

    def __init__(self, objects: Objects, query: Query) -> None:
        self.objects = objects
        self.query = query
        self.fits = selected(query.labels, query.fields)
        self.known: set[Key] = set()
        self.revision = objects.revision
        self.columns = True

    def begin(self) -> list[bytes]:
        """What is sent before the first change."""
        query, out = self.query, []
        there = self.objects.list_of(query.kind.name, query.namespace)
        mine = [one for one in there if self._mine(one)]
        self.known = {_key(one) for one in mine}
        if query.initial or query.since in {"", "0"}:
            out = [self._line("ADDED", one) for one in mine]
        else:
            self.revision = int(query.since)
        if query.initial:
            out.append(self.bookmark({INITIAL_END: "true"}))
        return out

    def step(self, change: Change) -> list[bytes]:
        """What one change means to this watcher: it may enter or leave the selection."""
        self.revision = change.revision
        if change.key[0] != self.query.kind.name:
            return []
        if self.query.namespace not in {None, change.key[1]}:
            return []
        one, was = change.object, change.key in self.known
        if change.type == "DELETED" or not self._mine(one):
            self.known.discard(change.key)
            return [self._line("DELETED", one)] if was or self._mine(one) else []
        self.known.add(change.key)
        return [self._line("MODIFIED" if was and change.type != "ADDED" else "ADDED", one)]

    def bookmark(self, annotations: dict[str, str] | None = None) -> bytes:
        """How far the watch has come."""
        metadata: Object = {"resourceVersion": str(self.revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind = self.query.kind
        one = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}
        if self.query.form == "Table":
            rows = [{"cells": [], "object": one}]
            table = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            return _line("BOOKMARK", {**table, "columnDefinitions": [], "rows": rows})
        return _line("BOOKMARK", one)

    def _mine(self, one: Object) -> bool:
        return self.query.name in {"", one["metadata"]["name"]} and self.fits(one)

    def _line(self, step: str, one: Object) -> bytes:
        query, columns = self.query, self.columns
        self.columns = False
        return _line(step, one_as(query.form, query.kind, one, query.include, columns=columns))


async def _next(changes: AsyncGenerator[Change]) -> Change:
    return await anext(changes)


def _key(one: Object) -> Key:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


def _line(step: str, one: Object) -> bytes:
    return orjson.dumps({"type": step, "object": one}) + b"\n"
