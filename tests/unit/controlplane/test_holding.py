"""Held connections: handed on whole, bounded in time and number."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from controlplane.activator import holder
from controlplane.local.controllers.plan import Backend, Container, DeploymentPlan, Plan, Route
from controlplane.local.gateway import holding
from controlplane.local.gateway.holding import Holding
from controlplane.local.node.fleet import Endpoint

REQUEST = b"POST /v2/models/iris/infer HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"
NAME = "iris-predictor"
CONTAINER = Container((), (), 8080, 8081, 8082, None, None)
DEPLOYMENT = DeploymentPlan(NAME, "iris", "s3://models/iris/1", 0, CONTAINER, 5, "h")
ROUTE = Route("iris", ("iris-models.localhost",), (Backend(NAME, 1),), 10, "/ready")
ASLEEP = Plan((DEPLOYMENT,), (ROUTE,))


async def asked(port: int | None, request: bytes = REQUEST) -> bytes:
    """Everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


def held(
    scenario: Callable[[Holding, Endpoint, asyncio.Queue[str]], Awaitable[None]],
    *,
    wakes: bool = True,
) -> None:
    """Run a scenario against the listener of a sleeping Deployment."""

    async def run() -> None:
        woken: asyncio.Queue[str] = asyncio.Queue()

        def wake(name: str) -> bool:
            woken.put_nowait(name)
            return wakes

        holder = Holding(wake)
        endpoints: dict[str, list[Endpoint]] = {}
        holder.stand_in(ASLEEP, endpoints)
        try:
            await asyncio.wait_for(scenario(holder, endpoints[NAME][0], woken), 8)
        finally:
            await holder.stop()

    asyncio.run(run())


def test_a_request_is_handed_on_whole() -> None:
    """The pod gets every byte, early ones too, and its answer comes back."""

    async def scenario(holder: Holding, here: Endpoint, woken: asyncio.Queue[str]) -> None:
        async def pod(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got = await reader.readexactly(len(REQUEST))
            writer.write(b"echo " + got)
            writer.close()

        server = await asyncio.start_server(pod, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = [asyncio.create_task(asked(one)) for one in (here.http_port, here.grpc_port)]
        assert [await woken.get(), await woken.get()] == [NAME] * 2
        awake = Plan((replace(DEPLOYMENT, replicas=1),), (ROUTE,))
        endpoints = {NAME: [Endpoint(port, port)]}
        holder.stand_in(awake, endpoints)

        assert await asyncio.gather(*answers) == [b"echo " + REQUEST] * 2
        assert endpoints == {NAME: [Endpoint(port, port)]}
        server.close()

    held(scenario)


def test_health_checks_wake_nobody() -> None:
    """Envoy's own question is answered at once."""

    async def scenario(holder: Holding, here: Endpoint, woken: asyncio.Queue[str]) -> None:
        answer = await asked(here.http_port, b"GET /ready HTTP/1.1\r\nuser-agent: Envoy/HC\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert woken.empty()

    held(scenario)


def test_what_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound: a 503 that says what was waited for, and gRPC's connection is closed."""
    monkeypatch.setattr(holding, "PATIENCE", 0.02)

    async def scenario(holder: Holding, here: Endpoint, woken: asyncio.Queue[str]) -> None:
        rest, grpc = await asyncio.gather(asked(here.http_port), asked(here.grpc_port))

        assert rest.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in rest
        assert b"iris-predictor slept and was not ready in 0 s" in rest
        assert grpc == b""

    held(scenario)


def test_too_many_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than may wait is told so."""
    monkeypatch.setattr(holder, "MOST_HELD", 1)

    async def scenario(holder: Holding, here: Endpoint, woken: asyncio.Queue[str]) -> None:
        first = asyncio.create_task(asked(here.http_port))
        await woken.get()
        second = await asked(here.http_port)

        assert b"1 requests already wait for iris-predictor to start" in second
        assert not first.done()
        first.cancel()
        await asyncio.wait({first})

    held(scenario)


def test_what_nobody_wakes_is_refused() -> None:
    """No ScaledObject, no waiting."""

    async def scenario(holder: Holding, here: Endpoint, woken: asyncio.Queue[str]) -> None:
        assert b"no ScaledObject starts any" in await asked(here.http_port)

    held(scenario, wakes=False)
