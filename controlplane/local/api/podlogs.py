"""`kubectl logs`: what a pod's process wrote, and what it goes on to write."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

POLL_SECONDS = 0.1
CHUNK_BYTES = 65536


def tail(path: Path, lines: int | None) -> tuple[bytes, int]:
    """The last so many lines of a file, or all of it, and the offset of what follows."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b"", 0
    size = len(content)
    if lines is not None:
        content = b"".join(content.splitlines(keepends=True)[-lines:]) if lines > 0 else b""
    return content, size


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
