"""Connections to a Deployment that sleeps: held until a pod is ready, then handed on to it.

What waited too long, and what comes when too much waits, is refused: REST is told why, a gRPC
client is told UNAVAILABLE by Envoy when its connection closes.
"""

import asyncio
import itertools
import json
import logging
import socket
from collections.abc import Callable, Mapping, Sequence

MOST_HELD = 256
"""Connections that wait for one Deployment; a predictor queues as many requests."""
HEALTH_CHECK = b"envoy/hc"
_READ_BYTES = 65536
_CONNECT_SECONDS = 2
_LOG = logging.getLogger(__name__)

Address = tuple[str, int]
Pods = Mapping[str, Sequence[Address]]
"""Port's name → where pods that are ready listen."""


class Refused(Exception):
    """What is held cannot be handed on; the text is for the client."""


class Holder:
    """One Deployment's listeners, one for each port."""

    def __init__(
        self, name: str, ports: Mapping[str, bool], host: str, wake: Callable[[], str] = str
    ) -> None:
        """Listen, and hold.

        Args:
            name: The Deployment's, for messages.
            ports: Port's name → whether it speaks HTTP/1.1, so that a refusal can have words.
            host: The address to listen on.
            wake: Called for each connection that comes while the Deployment sleeps; says why
                nothing would wake it, or "".
        """
        self.name = name
        self.held = 0
        self.patience_seconds = 55.0
        """Less than the route's timeout: past that Envoy says only that time is up."""
        self.tasks: set[asyncio.Task[None]] = set()
        self._words = ports
        self._wake = wake
        self._pods: Pods = {}
        self._ready = asyncio.Event()
        self._turns = itertools.count()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._sockets = {port: socket.create_server((host, 0), family=family) for port in ports}
        for port in ports:
            self._start(port)

    @property
    def ports(self) -> dict[str, int]:
        """Port's name → the number it listens on."""
        return {port: one.getsockname()[1] for port, one in self._sockets.items()}

    @property
    def connections(self) -> int:
        """How many are held or handed on."""
        return len(self.tasks) - len(self._sockets)

    @property
    def holding(self) -> bool:
        """Whether what comes is held."""
        return not self._ready.is_set()

    def hold(self) -> None:
        """Hold from now on."""
        self._ready.clear()

    def hand_on(self, pods: Pods) -> None:
        """Let go of what is held, and of what still comes: these are ready."""
        self._pods = pods
        self._ready.set()

    def close(self) -> None:
        """Listen no more, and drop what is held or handed on."""
        for task in self.tasks:
            task.cancel()

    def _start(self, port: str) -> None:
        task = asyncio.create_task(self._listen(port))
        # After the loop has let go of it, and even where the task never ran.
        task.add_done_callback(lambda _: self._sockets[port].close())
        self._keep(task)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _listen(self, port: str) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._keep(asyncio.create_task(self._serve(port, reader, writer)))

        async with await asyncio.start_server(accept, sock=self._sockets[port]) as server:
            await server.serve_forever()

    async def _serve(
        self, port: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        words = self._words[port]
        try:
            # Who connects and says nothing wakes nobody.
            async with asyncio.timeout(self.patience_seconds):
                early = await reader.read(_READ_BYTES)
            if words and HEALTH_CHECK in early.lower():
                await _answer(writer, "200 OK")
            elif early:
                if not self._ready.is_set():
                    early += await self._hold(reader)
                await self._hand_on(port, early, reader, writer)
        except Refused as refused:
            _LOG.warning("%s: %s", self.name, refused)
            if words:
                await _answer(writer, "503 Service Unavailable", str(refused))
        except (OSError, TimeoutError) as error:
            _LOG.info("%s: a connection ended: %s", self.name, str(error) or "it said nothing")
        finally:
            writer.close()

    async def _hold(self, reader: asyncio.StreamReader) -> bytes:
        """Wait for a pod; what the client says meanwhile."""
        if self.held >= MOST_HELD:
            raise Refused(f"{MOST_HELD} requests already wait for {self.name} to start")
        if reason := self._wake():
            raise Refused(reason)
        early = bytearray()
        self.held += 1
        ready = asyncio.create_task(self._ready.wait())
        client = asyncio.create_task(self._listen_to(reader, early))
        try:
            waiting = {ready, client}
            await asyncio.wait(
                waiting, timeout=self.patience_seconds, return_when="FIRST_COMPLETED"
            )
        finally:
            self.held -= 1
            ready.cancel()
            client.cancel()
            await asyncio.gather(ready, client, return_exceptions=True)
        if self._ready.is_set():
            return bytes(early)
        if not client.cancelled():
            client.result()  # it went away
        waited = f"{self.patience_seconds:.0f} s"
        raise Refused(f"{self.name} slept and was not ready in {waited}: see what its pods say")

    async def _listen_to(self, reader: asyncio.StreamReader, early: bytearray) -> None:
        """Take what a client says; ends only when it goes away, or a pod is ready."""
        while len(early) < _READ_BYTES:
            chunk = await reader.read(_READ_BYTES)
            if not chunk:
                raise ConnectionResetError("the client went away")
            early += chunk
        await self._ready.wait()

    async def _hand_on(
        self, port: str, early: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        pod_reader, pod_writer = await self._connect(port)
        pod_writer.write(early)
        ways = [
            asyncio.create_task(_pass(reader, pod_writer)),
            asyncio.create_task(_pass(pod_reader, writer)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when="FIRST_COMPLETED")
            for way in done:
                way.result()
        finally:  # where one side ends, so does the other
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            pod_writer.close()

    async def _connect(self, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The next pod in turn; another where that one is gone again."""
        pods = self._pods.get(port, ())
        turn = next(self._turns)
        for place in range(len(pods)):
            address = pods[(turn + place) % len(pods)]
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await asyncio.open_connection(*address)
            except (OSError, TimeoutError) as error:
                _LOG.warning("%s: pod %s:%d: %s", self.name, *address, str(error) or "no answer")
        raise Refused(f"no pod of {self.name} answers on its port {port}")


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand bytes on until one side ends."""
    while chunk := await reader.read(_READ_BYTES):
        writer.write(chunk)
        await writer.drain()


async def _answer(writer: asyncio.StreamWriter, status: str, error: str = "") -> None:
    body = json.dumps({"error": error}).encode() if error else b""
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
