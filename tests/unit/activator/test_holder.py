"""Connections through the activator, on real sockets."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from controlplane.activator import holder as module
from controlplane.activator.holder import Holder

HOST = "127.0.0.1"
REQUEST = b"POST /v2/models/iris/infer HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"
LARGE = b"x" * 1_000_000


def running(scenario: Callable[[Holder], Awaitable[None]]) -> None:
    """Run a scenario against a holder of two ports."""

    async def run() -> None:
        holder = Holder("iris-predictor", {"rest": True, "grpc": False}, HOST)
        try:
            await asyncio.wait_for(scenario(holder), 8)
        finally:
            tasks = list(holder.tasks)
            holder.close()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in ended if isinstance(one, Exception)]  # cancelled, no more

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop turns; the scenario's own limit ends it."""
    while not condition():  # noqa: ASYNC110  no event for a test to wait on
        await asyncio.sleep(0)


async def echo() -> tuple[asyncio.Server, tuple[str, int]]:
    """A pod that says what it hears."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    return server, server.sockets[0].getsockname()[:2]


def test_a_large_request_is_handed_on_whole() -> None:
    """What was taken while it waited, and what stayed in the socket, in order."""

    async def scenario(holder: Holder) -> None:
        server, address = await echo()
        reader, writer = await asyncio.open_connection(HOST, holder.ports["rest"])
        writer.write(LARGE)
        await until(lambda: holder.held == 1)
        holder.hand_on({"rest": [address]})

        assert await reader.readexactly(len(LARGE)) == LARGE
        assert holder.held == 0
        writer.close()
        await until(lambda: holder.connections == 0)
        server.close()

    running(scenario)


def test_a_client_that_goes_away_is_not_held() -> None:
    """Its place is free at once: nobody is woken for it, or kept out."""

    async def scenario(holder: Holder) -> None:
        _, writer = await asyncio.open_connection(HOST, holder.ports["rest"])
        writer.write(REQUEST)
        await until(lambda: holder.held == 1)
        writer.close()

        await until(lambda: holder.held == holder.connections == 0)

    running(scenario)


def test_who_says_nothing_counts_for_nothing() -> None:
    """A connection alone is no request."""

    async def scenario(holder: Holder) -> None:
        _, silent = await asyncio.open_connection(HOST, holder.ports["grpc"])
        _, asking = await asyncio.open_connection(HOST, holder.ports["grpc"])
        asking.write(b"PRI * HTTP/2.0\r\n\r\n")
        await until(lambda: holder.held == 1)

        assert holder.connections == 2
        silent.close()
        asking.close()

    running(scenario)


def test_a_pod_that_is_gone_again_is_passed_over() -> None:
    """The next one is asked; where none answers, REST is told so."""

    async def scenario(holder: Holder) -> None:
        server, address = await echo()
        gone, nowhere = await echo()
        gone.close()
        await gone.wait_closed()
        holder.hand_on({"rest": [nowhere, address]})
        for _ in range(2):  # whoever's turn it is
            reader, writer = await asyncio.open_connection(HOST, holder.ports["rest"])
            writer.write(REQUEST)
            assert await reader.readexactly(len(REQUEST)) == REQUEST
            writer.close()
        server.close()
        holder.hand_on({"rest": [nowhere]})
        reader, writer = await asyncio.open_connection(HOST, holder.ports["rest"])
        writer.write(REQUEST)
        assert b"no pod of iris-predictor answers on its port rest" in await reader.read()
        writer.close()

    running(scenario)


def test_a_pod_that_breaks_off_ends_the_connection() -> None:
    """The client is not left waiting for an answer that will not come."""

    async def scenario(holder: Holder) -> None:
        async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.transport.abort()

        server = await asyncio.start_server(die, HOST, 0)
        holder.hand_on({"grpc": [server.sockets[0].getsockname()[:2]]})
        reader, writer = await asyncio.open_connection(HOST, holder.ports["grpc"])
        writer.write(REQUEST)

        assert await reader.read() == b""
        await until(lambda: holder.connections == 0)
        writer.close()
        server.close()

    running(scenario)


def test_the_deadline_ends_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """REST is told why; gRPC's connection closes, which Envoy calls UNAVAILABLE."""
    monkeypatch.setattr(module, "MOST_HELD", 2)

    async def scenario(holder: Holder) -> None:
        holder.patience_seconds = 0.05

        async def ask(port: str) -> bytes:
            reader, writer = await asyncio.open_connection(HOST, holder.ports[port])
            writer.write(REQUEST)
            answer = await reader.read()
            writer.close()
            return answer

        rest, grpc = await asyncio.gather(ask("rest"), ask("grpc"))

        assert rest.startswith(b"HTTP/1.1 503 ")
        assert b"iris-predictor slept and was not ready in 0 s" in rest
        assert grpc == b""
        assert holder.held == 0

    running(scenario)
