"""An open load beside a test that goes on."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.drills.canary import Load

_END_SECONDS = 60


@contextmanager
def sending(load: Load) -> Iterator[Load]:
    """Send while the block runs, then wait for what is under way; `load` counts what was lost."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(load.run())
    thread = threading.Thread(target=lambda: loop.run_until_complete(task))
    thread.start()
    try:
        yield load
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(_END_SECONDS)
        loop.close()
