"""The API's server: uvicorn with TLS on loopback, in the supervisor's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from controlplane.kubernetes.meta import Object
from controlplane.local.api.access import access, port_of, write_kubeconfig
from controlplane.local.api.app import application
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources
from controlplane.local.api.verbs import Verbs
from controlplane.local.api.writes.admission import Resolve
from controlplane.statefolder import Home

LOOPBACK = "127.0.0.1"


class _Uvicorn(uvicorn.Server):
    """Tells when it listens; signals are the supervisor's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ApiServer:
    """Serves the objects; its port stays the same as long as it is free."""

    def __init__(
        self,
        home: Home,
        objects: Objects,
        resolve: Resolve,
        evict: Callable[[str], None],
        record: Callable[[Object, str], None],
    ) -> None:
        self.home = home
        self.port = 0
        self.resources = Resources(objects, resolve, evict, record)
        self._verbs = Verbs(self.resources, home.logs)
        self._server: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and write the kubeconfig."""
        own = access(self.home)
        listener = _listen(port_of(self.home.kubeconfig))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            application(self._verbs, own.token),
            ssl_certfile=own.certificate,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        self._server = _Uvicorn(config)
        self._task = asyncio.create_task(self._server.serve([listener]), name="api")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()
        write_kubeconfig(self.home.kubeconfig, self.port, own)

    async def stop(self) -> None:
        """End watches and the server."""
        self._verbs.closing.set()
        if self._server and self._task:
            self._server.should_exit = True
            await asyncio.wait({self._task}, timeout=5)


def _listen(preferred: int | None) -> socket.socket:
    """A listener on the port of before, or on any that is free."""
    if preferred:
        with contextlib.suppress(OSError):
            return _bound(preferred)
    return _bound(0)


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.close()
        raise
    return listener
