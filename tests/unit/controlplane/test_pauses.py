import asyncio

import pytest

from controlplane.local.node.pauses import pause


@pytest.mark.parametrize("steps", range(6))
def test_a_cancellation_ends_a_pause_even_as_its_event_comes(steps: int) -> None:
    """However many turns of the loop lie between the event and the cancellation."""

    async def loops() -> bool:
        event = asyncio.Event()

        async def forever() -> None:
            while True:
                await pause(event, 60)

        task = asyncio.create_task(forever())
        for _ in range(5):
            await asyncio.sleep(0)
        event.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        return task.cancelled()

    assert asyncio.run(loops())
