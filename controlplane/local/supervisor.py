"""The one process that holds everything: it makes what runs follow what is wanted.

A loop, as a Kubernetes controller is one: read what is wanted, look at what is, decide with pure
functions (plan, rollout, envoy), act, publish, sleep until something changes. Every step may be
repeated; nothing depends on having seen an event.
"""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from dataclasses import asdict
from typing import Any

from controlplane.errors import SerinError
from controlplane.local import manifests, processes, s3, store
from controlplane.local.gateway import Gateway
from controlplane.local.plan import Plan, plan, unversioned
from controlplane.local.pods import Pod, Surroundings
from controlplane.local.report import PodReport, report
from controlplane.local.rollout import decide
from controlplane.local.state import ROOT, Home, read_json, write_json
from controlplane.local.upstreams import Endpoint

STOP_GRACE_SECONDS = 10.0
ROTATE_SECONDS = 10.0
_LOG = logging.getLogger(__name__)


class Supervisor:
    """Holds the S3 server, Envoy and every pod."""

    def __init__(self, home: Home, port: int) -> None:
        self.home = home
        self.gateway = Gateway(home, port)
        external = s3.external()
        self.s3 = None if external else s3.Server(home)
        self.store = external or (self.s3.store if self.s3 else None)
        self.pods: list[Pod] = []
        self.stopping = asyncio.Event()
        self._manifests = manifests.read(ROOT)
        self._wanted: dict[str, int | None] = {}
        self._versions: dict[str, str] = {}
        self._resolved: dict[str, int] = {}
        self._generation = 0
        self._seen: tuple[int, int] | None = None
        self._error = ""
        self._reloading: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._restart_at: dict[str, float] = {}
        self._rotate_at = 0.0
        self._published: dict[str, Any] = {}

    async def start(self) -> None:
        """Start the S3 server and Envoy, and wait for both.

        Raises:
            SerinError: A port is taken, a binary is missing, or one of them does not come up.
        """
        self.gateway.check_port()
        store.clean(self.home.models)
        if self.s3:
            self.s3.start()
        self.gateway.start()
        if self.s3:
            await asyncio.to_thread(self.s3.wait)
        deadline = time.monotonic() + 20
        while not await self.gateway.is_live():
            child = self.gateway.child
            if child and child.exit_code() is not None:
                last = child.log_text().strip().rsplit("\n", 1)[-1]
                raise SerinError(f"Envoy ended (exit status {child.exit_code()}): {last}")
            if time.monotonic() > deadline:
                raise SerinError(f"Waited 20 s for Envoy to be ready; see {self.gateway.log}.")
            await asyncio.sleep(0.05)

    async def run(self) -> None:
        """Converge until told to stop."""
        while not self.stopping.is_set():
            try:
                self._reload_if_changed()
                self._restart_helpers()
                await self._look()
                self._converge()
                self._publish()
                self._rotate_logs()
            except OSError as error:  # a full disk must not take down what serves
                _LOG.exception("%s", error)
            await self._pause()

    async def stop(self) -> None:
        """Close the gateway's door, let requests finish, then end everything."""
        if self._reloading:
            self._reloading.cancel()
        await self.gateway.close_door()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gateway.idle(), 3)
        await asyncio.to_thread(self.gateway.stop)
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(
            *(
                pod.terminate(min(pod.deployment.grace_seconds, STOP_GRACE_SECONDS))
                for pod in self.pods
            )
        )
        if self.s3:
            await asyncio.to_thread(self.s3.stop)

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def child_ended(self) -> None:
        """Some child ended: let each pod look at its own."""
        for pod in self.pods:
            pod.poke()
        self.wake()

    def _reload_if_changed(self) -> None:
        if self._reloading and not self._reloading.done():
            return
        try:
            status = self.home.desired.stat()
        except FileNotFoundError:
            return
        seen = (status.st_ino, status.st_mtime_ns)
        if seen != self._seen:
            self._seen = seen
            self._reloading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        """Take over what is wanted, and find the newest version of each model that was named."""
        desired = read_json(self.home.desired)
        try:
            read = manifests.read(ROOT)
            versions = dict(self._versions)
            for name, model in desired["models"].items():
                service = read.services.get(name)
                if service is None or self._resolved.get(name) == model["generation"]:
                    continue
                uris = [service.predictor.storage_uri]
                uris += [canary.predictor.storage_uri for canary in service.canaries]
                for uri in filter(unversioned, uris):
                    found = await asyncio.to_thread(store.newest, self._store(), uri)
                    if found:
                        versions[uri] = found
                self._resolved[name] = model["generation"]
            wanted = {name: model["replicas"] for name, model in desired["models"].items()}
            plan(read, wanted, versions, {})  # refuse as a whole, before anything changes
        except SerinError as error:
            self._error = str(error)
        else:
            self._error = ""
            self._manifests, self._wanted, self._versions = read, wanted, versions
        self._generation = desired.get("generation", 0)
        self.wake()

    async def _look(self) -> None:
        """Ask Envoy about pods that are ready and not known to be served yet."""
        waiting = [pod for pod in self.pods if pod.ready and not pod.serving]
        if waiting:
            healthy = await self.gateway.healthy_ports()
            for pod in waiting:
                pod.serving = pod.ready and {pod.http_port, pod.grpc_port} <= healthy

    def _plan(self) -> Plan:
        ready: dict[str, int] = defaultdict(int)
        for pod in self.pods:
            ready[pod.deployment.name] += pod.serving
        return plan(self._manifests, self._wanted, self._versions, ready)

    def _converge(self) -> None:
        wanted = self._plan()
        deployments = {deployment.name: deployment for deployment in wanted.deployments}
        for name in sorted({*deployments, *(pod.deployment.name for pod in self.pods)}):
            pods = [pod for pod in self.pods if pod.deployment.name == name and not pod.leaving]
            target = deployments.get(name)
            template, replicas = (target.template_hash, target.replicas) if target else ("", 0)
            decision = decide(template, replicas, [pod.facts() for pod in pods])
            if target:
                self.pods += [Pod(target, self._surroundings()) for _ in range(decision.start)]
            for pod in pods:
                if pod.name in decision.drain:
                    pod.leaving = True
                    task = asyncio.create_task(self._retire(pod))
                    self._retiring.add(task)
                    task.add_done_callback(self._retiring.discard)
        self._tell_gateway(wanted)

    def _tell_gateway(self, wanted: Plan) -> None:
        endpoints: dict[str, list[Endpoint]] = {pod.deployment.name: [] for pod in self.pods}
        for pod in self.pods:
            if pod.ready and not pod.leaving:
                endpoints[pod.deployment.name].append(Endpoint(pod.http_port, pod.grpc_port))
        self.gateway.apply(wanted, endpoints)

    async def _retire(self, pod: Pod) -> None:
        """Take a pod out of Envoy, and only when Envoy has it out, end it."""
        _LOG.info("%s leaves", pod.name)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            if pod.http_port not in await self.gateway.healthy_ports():
                break
        await pod.terminate(pod.deployment.grace_seconds)
        self.pods.remove(pod)
        self.wake()

    def _restart_helpers(self) -> None:
        """Start Envoy or the S3 server again if it died, at most once a second."""
        for helper in (self.gateway, self.s3):
            if helper is None or helper.child is None or helper.child.exit_code() is None:
                continue
            name = helper.child.name
            if time.monotonic() < self._restart_at.get(name, 0):
                continue
            self._restart_at[name] = time.monotonic() + 1
            _LOG.error("%s ended: starting it again", name)
            try:
                helper.start()
            except SerinError as error:
                self._error = str(error)

    def _rotate_logs(self) -> None:
        if time.monotonic() > self._rotate_at:
            self._rotate_at = time.monotonic() + ROTATE_SECONDS
            for path in self.home.logs.glob("*.log"):
                processes.rotate(path)

    def _publish(self) -> None:
        pods = [
            PodReport(
                name=pod.name,
                deployment=pod.deployment.name,
                template_hash=pod.deployment.template_hash,
                version=pod.deployment.version,
                phase="Terminating" if pod.leaving else pod.phase,
                reason=pod.reason,
                ready=pod.serving and not pod.leaving,
                restarts=pod.restarts,
                failed_starts=pod.failed_starts,
                pid=pod.child.pid if pod.child else None,
                http_port=pod.http_port,
                grpc_port=pod.grpc_port,
                metrics_port=pod.metrics_port,
            )
            for pod in self.pods
        ]
        helpers = [helper.child for helper in (self.gateway, self.s3) if helper and helper.child]
        state = {
            "gateway_url": f"http://127.0.0.1:{self.gateway.port}",
            "gateway_port": self.gateway.port,
            "s3_endpoint": self._store().endpoint,
            "observed_generation": self._generation,
            "error": self._error,
            "models": {model.name: asdict(model) for model in report(self._plan(), pods)},
            "processes": [child.pid for child in helpers]
            + [pod.pid for pod in pods if pod.pid is not None],
        }
        if state != self._published:
            write_json(self.home.state, state)
            self._published = state

    async def _pause(self) -> None:
        moving = any(not pod.serving or pod.leaving for pod in self.pods)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), 0.1 if moving else 0.5)
        self._wake.clear()

    def _store(self) -> s3.Store:
        if self.store is None:  # only to narrow the type: one of the two always is there
            raise SerinError("There is no S3 store.")
        return self.store

    def _surroundings(self) -> Surroundings:
        return Surroundings(self.home, self._store(), self.wake, self._alone)

    def _alone(self, pod: Pod) -> bool:
        uri = pod.deployment.storage_uri
        return not any(
            other.deployment.storage_uri == uri for other in self.pods if other is not pod
        )
