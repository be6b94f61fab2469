"""Requests for a Deployment that sleeps: held until a pod is ready, then handed on to it.

While a Deployment has no replicas, Envoy's endpoint is a listener here. A connection that comes
wakes the Deployment and waits; when a pod is ready its bytes are passed on as they are, so HTTP/1.1
and gRPC are the same. What waited too long, and what comes when too much waits, is refused.
"""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controlplane.local.envoy import LOOPBACK
from controlplane.local.plan import Plan
from controlplane.local.upstreams import Endpoint

MOST_HELD = 256
"""Connections that wait for one Deployment; a predictor queues as many requests."""
PATIENCE = 0.9
"""Of the route's timeout: past it Envoy would say only that time is up."""
HEALTH_CHECK = b"envoy/hc"
_HEAD_BYTES = 65536
_LOG = logging.getLogger(__name__)


class Holding:
    """The listeners of all Deployments that sleep."""

    def __init__(self, wake: Callable[[str], bool]) -> None:
        """Hold nothing yet.

        Args:
            wake: Starts a Deployment; False where nothing scales it.
        """
        self._wake = wake
        self._listeners: dict[str, _Listener] = {}

    def stand_in(self, plan: Plan, endpoints: dict[str, list[Endpoint]]) -> None:
        """Put a listener where a sleeping Deployment has no pod; hand on where one is ready.

        Args:
            plan: Which Deployments there are, and how long their routes wait.
            endpoints: Deployment → ready pods; changed in place.
        """
        patience = {
            backend.deployment: route.timeout_seconds * PATIENCE
            for route in plan.routes
            for backend in route.backends
        }
        planned = {deployment.name: deployment for deployment in plan.deployments}
        for name, deployment in planned.items():
            pods = endpoints.get(name)
            listener = self._listeners.get(name)
            if pods:
                if listener:
                    listener.hand_on(pods)
            elif deployment.replicas == 0 or listener:
                if listener is None:
                    listener = _Listener(name, self._wake)
                    self._listeners[name] = listener
                listener.patience_seconds = patience.get(name, 60 * PATIENCE)
                listener.sleep()
                endpoints[name] = [listener.endpoint]
        for name in self._listeners.keys() - planned.keys():
            self._listeners.pop(name).close()

    async def stop(self) -> None:
        """Drop what is held."""
        for listener in self._listeners.values():
            listener.close()
        tasks = [task for listener in self._listeners.values() for task in listener.tasks]
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class _Listener:
    """One Deployment's two ports, REST and gRPC."""

    name: str
    wake: Callable[[str], bool]
    patience_seconds: float = 60.0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _sockets: Mapping[str, socket.socket] = field(init=False)
    _pods: list[Endpoint] = field(default_factory=list)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _held: int = 0

    def __post_init__(self) -> None:
        self._sockets = {kind: socket.create_server((LOOPBACK, 0)) for kind in ("http", "grpc")}
        for kind, listening in self._sockets.items():
            self._keep(asyncio.create_task(self._listen(kind, listening)))

    @property
    def endpoint(self) -> Endpoint:
        """The ports, as a pod's."""
        ports = {kind: one.getsockname()[1] for kind, one in self._sockets.items()}
        return Endpoint(ports["http"], ports["grpc"])

    def sleep(self) -> None:
        """Hold from now on."""
        self._pods = []
        self._ready.clear()

    def hand_on(self, pods: list[Endpoint]) -> None:
        """Let go of what is held: these are ready."""
        self._pods = pods
        self._ready.set()

    def close(self) -> None:
        """Listen no more, and drop what is held."""
        for task in self.tasks:
            task.cancel()
        for listening in self._sockets.values():
            listening.close()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _listen(self, kind: str, listening: socket.socket) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._keep(asyncio.create_task(self._serve(kind, reader, writer)))

        async with await asyncio.start_server(accept, sock=listening) as server:
            await server.serve_forever()

    async def _serve(
        self, kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            first = await reader.read(_HEAD_BYTES)
            if kind == "http" and HEALTH_CHECK in first.lower():
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                await writer.drain()
            elif first:
                await self._hold(kind, first, reader, writer)
        except OSError as error:
            _LOG.info("%s: a held connection ended: %s", self.name, error)
        finally:
            writer.close()

    async def _hold(
        self, kind: str, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        reason = ""
        if self._held >= MOST_HELD:
            reason = f"{MOST_HELD} requests already wait for {self.name} to start"
        elif not self._ready.is_set() and not self.wake(self.name):
            reason = f"{self.name} has no replicas, and no ScaledObject starts any"
        if not reason:
            self._held += 1
            try:
                await asyncio.wait_for(self._ready.wait(), self.patience_seconds)
            except TimeoutError:
                waited = f"{self.patience_seconds:.0f} s"
                reason = f"{self.name} slept and was not ready in {waited}; see ./serin status"
            finally:
                self._held -= 1
        if reason:
            if kind == "http":  # a gRPC client is told UNAVAILABLE by Envoy when this closes
                writer.write(_refusal(reason))
                await writer.drain()
            return
        pod = self._pods[self._held % len(self._pods)]
        port = pod.http_port if kind == "http" else pod.grpc_port
        pod_reader, pod_writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            pod_writer.write(first)
            await asyncio.gather(_pass(reader, pod_writer), _pass(pod_reader, writer))
        finally:
            pod_writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand bytes on until one side ends."""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_HEAD_BYTES):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def _refusal(reason: str) -> bytes:
    body = json.dumps({"error": reason}).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
