"""What the activator does as objects change: real connections, its view of the API in hand."""

import asyncio
from typing import Any

from controlplane.activator import api
from controlplane.activator.__main__ import Activator
from controlplane.activator.slices import Me, Object

HOST = "127.0.0.1"
NAME = "iris-predictor"
OURS = f"{NAME}-activator-x"


class Written:
    """Stands for the API server: what is written is there at once."""

    def __init__(self) -> None:
        self.slices: dict[str, Object] = {}

    async def apply(self, kind: api.Kind, document: Object) -> Object:
        self.slices[document["metadata"]["name"]] = document
        return document

    async def delete(self, kind: api.Kind, name: str) -> None:
        self.slices.pop(name, None)


async def asked(port: int) -> bytes:
    """What comes back for a word."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(b"word")
        return await reader.readexactly(4)
    finally:
        writer.close()


def test_a_sleeper_that_is_told_to_stay_awake_loses_nobody() -> None:
    """As in a rollout: held until a pod is ready, and let through while proxies still come here."""

    async def scenario() -> None:
        async def pod(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(4))
            writer.close()

        server = await asyncio.start_server(pod, HOST, 0)
        written = Written()
        activator = Activator(written, Me("activator-x", "u", HOST))  # type: ignore[arg-type]  # a recorder
        scaled: dict[str, Any] = {"scaleTargetRef": {"name": NAME}, "minReplicaCount": 0}
        deployment: dict[str, Any] = {"replicas": 0}
        metadata = {"namespace": "models"}
        activator._objects = {
            api.SCALED_OBJECTS: {NAME: {"spec": scaled}},
            api.DEPLOYMENTS: {NAME: {"metadata": metadata, "spec": deployment}},
            api.SERVICES: {NAME: {"spec": {"ports": [{"name": "h2c", "port": 80}]}}},
            api.SLICES: {},
        }
        await activator._reconcile()
        (port,) = (one["port"] for one in written.slices[OURS]["ports"])
        waiting = asyncio.create_task(asked(port))
        while activator._holders[NAME].held == 0:  # noqa: ASYNC110  no event to wait on
            await asyncio.sleep(0)

        scaled["minReplicaCount"] = deployment["replicas"] = 1
        await activator._reconcile()
        assert written.slices.keys() == {OURS}  # no pod is ready

        address, at = server.sockets[0].getsockname()
        activator._objects[api.SLICES]["pod"] = {
            "metadata": {"labels": {"kubernetes.io/service-name": NAME}},
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "h2c", "port": at}],
        }
        await activator._reconcile()
        assert await waiting == b"word"
        assert written.slices == {}

        while activator._holders[NAME].connections:  # noqa: ASYNC110  no event to wait on
            await asyncio.sleep(0)
        await activator._reconcile()
        assert await asked(port) == b"word"  # Envoy has not heard of it yet
        activator._objects[api.DEPLOYMENTS].clear()
        while activator._holders:
            await activator._reconcile()
            await asyncio.sleep(0)
        server.close()

    asyncio.run(asyncio.wait_for(scenario(), 8))
