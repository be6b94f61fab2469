"""Probes of pods, by a process that has other things to do."""

import asyncio
import socket
import time

from controlplane.local.controllers.plan import Probe
from controlplane.local.node.probes import passes


def test_a_late_look_at_an_answer_that_came_in_time_is_a_success() -> None:
    """A busy platform takes no pod that answers out of the gateway."""
    probe = Probe(path="/", port=1, kind="tcpSocket", timeout_seconds=0.1)

    async def scenario(port: int) -> bool:
        asked = asyncio.create_task(passes(probe, port, {}))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251  the event loop is busy with something else
        return await asked

    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert asyncio.run(scenario(listener.getsockname()[1]))


def test_silence_is_a_failure_once_its_time_is_over() -> None:
    """A connection that is taken and not answered is no answer."""
    probe = Probe(path="/", port=1, timeout_seconds=0.1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not asyncio.run(passes(probe, listener.getsockname()[1], {}))
