"""Envoy refuses a file of clusters: that is said, and the routes of others go on changing."""

import asyncio
from dataclasses import replace
from pathlib import Path

from controlplane.errors import SerinError
from controlplane.local.controllers.plan import Backend, Plan, Route
from controlplane.local.gateway.process import Gateway
from controlplane.statefolder import Home

SECONDS = 60
SOUND = Route(
    service="a",
    hosts=("a.localhost",),
    backends=(Backend("a-predictor", 1),),
    timeout_seconds=60,
    ready_path="/v2/models/a/ready",
)
BROKEN = replace(
    SOUND,
    service="b",
    hosts=("b.localhost",),
    backends=(Backend("b-predictor", 1),),
    ready_path="/\n",
)


async def refusal(gateway: Gateway) -> str:
    """What is said of the clusters once Envoy has spoken; empty once it has them."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await gateway.check_clusters()
            except SerinError as error:
                return str(error)
            if gateway._clusters_had == gateway._clusters_told:
                return ""
            await asyncio.sleep(0.02)


async def taken(gateway: Gateway, *routes: Route) -> None:
    """Wait until Envoy has these routes."""
    gateway.apply(Plan((), routes), {})
    async with asyncio.timeout(SECONDS):
        while gateway.routing().pending:  # noqa: ASYNC110  Envoy is asked, it tells nobody
            await asyncio.sleep(0.02)


def test_refused_clusters_are_said_and_routes_go_on(tmp_path: Path) -> None:
    """The API admits no name that Envoy refuses; should one come, weights follow all the same."""
    home = Home(tmp_path / "state")
    home.prepare()

    async def scenario() -> None:
        gateway = Gateway(home, 0, lambda: None)
        gateway.start()
        try:
            await gateway.wait()
            await taken(gateway, SOUND)
            assert await refusal(gateway) == ""

            await taken(gateway, SOUND, BROKEN)
            assert "new Deployments get no requests: the gateway" in await refusal(gateway)
            changed = replace(SOUND, backends=(Backend("a-predictor", 7), Backend("c", 3)))
            await taken(gateway, changed, BROKEN)
            assert gateway.routing().refused == {}

            async with asyncio.timeout(SECONDS):
                while await refusal(gateway):  # its cluster stays until no route names it
                    await taken(gateway, changed)
        finally:
            await asyncio.to_thread(gateway.stop)

    asyncio.run(scenario())
