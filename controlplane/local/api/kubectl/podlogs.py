"""`kubectl logs`: what a pod's process wrote, and what it goes on to write."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from controlplane.kubernetes.refusals import BadRequest

POLL_SECONDS = 0.1
CHUNK_BYTES = 65536
_NUMBERS = {"tailLines": 0, "sinceSeconds": 1, "limitBytes": 1}
"""Parameters that are numbers, and the least that each may be."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a log: all of it, unless something is given."""

    lines: int | None = None
    """The last so many (tailLines)."""
    since: float | None = None
    """Unix time (sinceTime, sinceSeconds)."""
    size: int | None = None
    """The first so many bytes (limitBytes)."""


def wanted(query: Mapping[str, str], now: float) -> Wanted:
    """Read the query of a request for a log.

    Raises:
        BadRequest: A value is no number or no time, or there are two times.
    """
    numbers = {name: query[name] for name in _NUMBERS if query.get(name)}
    for name, text in numbers.items():
        if not text.isdecimal() or len(text) > 18 or int(text) < _NUMBERS[name]:
            said = f"must be a number of at least {_NUMBERS[name]} and at most 18 digits"
            raise BadRequest(f"{name}: Invalid value: {text[:40]!r}: {said}")
    since = now - int(numbers["sinceSeconds"]) if "sinceSeconds" in numbers else None
    if text := query.get("sinceTime", ""):
        if since is not None:
            raise BadRequest("at most one of sinceTime or sinceSeconds may be specified")
        try:
            since = datetime.fromisoformat(text).timestamp()
        except ValueError:
            raise BadRequest(f"sinceTime: Invalid value: {text!r}: no RFC 3339 time") from None
    lines, size = numbers.get("tailLines"), numbers.get("limitBytes")
    return Wanted(int(lines) if lines else None, since, int(size) if size else None)


def read(path: Path, part: Wanted) -> tuple[bytes, int]:
    """A part of a file, and the offset of what follows the file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b"", 0
    size = len(content)
    if part.since is not None:
        content = _since(content, part.since)
    if part.lines is not None:
        lines = content.splitlines(keepends=True)
        content = b"".join(lines[-part.lines :]) if part.lines > 0 else b""
    return content[: part.size], size


def _since(content: bytes, since: float) -> bytes:
    """The lines from the first one on that says it is not older.

    A kubelet knows when it got a line. Here a line says so itself; one that does not, as those of a
    traceback, belongs to the one before it.
    """
    start = len(content)
    end = start
    while end > 0:
        begin = content.rfind(b"\n", 0, end - 1) + 1
        at = _time_of(content[begin:end])
        if at is not None:
            if at < since:
                break
            start = begin
        end = begin
    return content[start if end else 0 :]


def _time_of(line: bytes) -> float | None:
    try:
        return datetime.fromisoformat(orjson.loads(line)["time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None


async def follow(
    path: Path, offset: int, ended: Callable[[], bool], closing: asyncio.Event
) -> AsyncIterator[bytes]:
    """What is appended from an offset on, until the process has ended and all was sent."""
    while not closing.is_set():
        over = ended()  # asked before reading: what it wrote last is still sent
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                offset = 0 if offset > size else offset  # it was rotated
                file.seek(offset)
                content = file.read(CHUNK_BYTES)
        except FileNotFoundError:
            content = b""
        if content:
            offset += len(content)
            yield content
        elif over:
            return
        else:
            await asyncio.sleep(POLL_SECONDS)
