"""Waiting that a cancellation always ends.

`asyncio.wait_for` of Python 3.11 loses a cancellation that comes as what it waits for is done. A
pod's task went on for ever by it: Envoy's end wakes all pods in the moment in which they are ended.
"""

import asyncio
import contextlib


async def pause(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most so long, and clear it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()
