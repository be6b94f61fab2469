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
from controlplane.kubernetes.meta import Object
from controlplane.local import seeds
from controlplane.local.api.objects import Objects
from controlplane.local.api.server import ApiServer
from controlplane.local.controllers import events
from controlplane.local.controllers.jobreport import job_reports
from controlplane.local.controllers.plan import Plan, plan
from controlplane.local.controllers.reconciler import Controllers
from controlplane.local.controllers.report import PodReport, report
from controlplane.local.controllers.rolling import decide
from controlplane.local.controllers.scaling import Scaling
from controlplane.local.gateway.holding import Holding
from controlplane.local.gateway.process import Gateway
from controlplane.local.gateway.upstreams import Endpoint
from controlplane.local.intake import Intake, versioned
from controlplane.local.metrics.monitoring import Monitoring
from controlplane.local.node import processes, s3_server
from controlplane.local.node.jobs import Jobs
from controlplane.local.node.pauses import pause
from controlplane.local.node.pods import Pod, Surroundings
from controlplane.statefolder import Home, write_json
from controlplane.store import artifacts, s3

STOP_GRACE_SECONDS = 10.0
ROTATE_SECONDS = 10.0
_LOG = logging.getLogger(__name__)


class Supervisor:
    """Holds the S3 server, Envoy and every pod."""

    def __init__(self, home: Home, port: int) -> None:
        self.home = home
        self.gateway = Gateway(home, port)
        external = s3.external()
        self.s3 = None if external else s3_server.Server(home)
        self.store = external or (self.s3.store if self.s3 else None)
        self.monitoring = Monitoring(home)
        self.pods: list[Pod] = []
        self.stopping = asyncio.Event()
        self.objects = Objects(home.objects)
        self.controllers = Controllers(self.objects, self.gateway.port)
        self.scaling = Scaling(self.objects, self.monitoring, home.logs / "scaling.log")
        self.holding = Holding(self.scaling.wake)
        self.api = ApiServer(home, self.objects, self._versioned, self._evict, self._said)
        self.jobs = Jobs(home, self.objects, lambda: self.monitoring.push_url)
        self.intake = Intake(home, self.api.resources, self._versioned, self.wake)
        self._saving: asyncio.Task[None] | None = None
        self._error = ""
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
        artifacts.clean(self.home.models)
        if self.s3:
            self.s3.start()
        self.gateway.start()
        self.monitoring.start()
        if self.s3:
            await asyncio.to_thread(self.s3.wait)
        await self.gateway.wait()
        seeds.seed(self.objects, self._store())
        self._restore()
        self.jobs.restore()
        self.objects.on_change(self.wake)
        await self.api.start()
        self.scaling.start()

    async def run(self) -> None:
        """Converge until told to stop."""
        while not self.stopping.is_set():
            try:
                self.intake.step(self.controllers.failures)
                self._restart_helpers()
                await self._look()
                if self.stopping.is_set():  # nothing is started any more
                    return
                self._converge()
                port, held = self.gateway.admin_port, self.holding.held()
                self.monitoring.step(self.pods, self._plan(), port, self.objects, held)
                self.jobs.step()
                self._publish()
                self._keep()
                self._rotate_logs()
            except OSError as error:  # a full disk must not take down what serves
                _LOG.exception("%s", error)
            await self._pause()

    async def stop(self) -> None:
        """Close the gateway's door, let requests finish, then end everything."""
        self.stopping.set()
        for pod in self.pods:
            pod.leaving = True  # what ends from now on is not started again
        self.intake.stop()
        await self.scaling.stop()
        await self.api.stop()
        await self.gateway.close_door()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await self.gateway.idle()
        await asyncio.to_thread(self.gateway.stop)
        await self.holding.stop()
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(
            self.jobs.stop(),
            *(
                pod.terminate(min(pod.deployment.grace_seconds, STOP_GRACE_SECONDS))
                for pod in self.pods
            ),
        )
        await asyncio.to_thread(self.monitoring.stop)
        if self.s3:
            await asyncio.to_thread(self.s3.stop)
        await self.objects.save()

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def child_ended(self) -> None:
        """Some child ended: let each pod look at its own."""
        for pod in self.pods:
            pod.poke()
        self.wake()

    def _restore(self) -> None:
        """Start what served before this process: the pods of older templates, too."""
        for target, current in self.controllers.older():
            count = min(target.replicas, max(current.replicas, 1))
            self.pods += [Pod(target, self._surroundings()) for _ in range(count)]

    async def _versioned(self, storage_uri: str, kept: str) -> str | None:
        return await versioned(self._store(), storage_uri, kept)

    def _said(self, about: Object, message: str) -> None:
        events.record(self.objects, about, "Warning", "NotFollowed", message[:1024])

    def _evict(self, name: str) -> None:
        """Let a pod go; its Deployment makes another, its Job may."""
        self.jobs.evict(name)
        for pod in self.pods:
            if pod.name == name and not pod.leaving:
                self._let_go(pod)

    def _keep(self) -> None:
        """Write the objects to the disk beside the loop."""
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save())

    async def _save(self) -> None:
        try:
            await self.objects.save()
        except OSError as error:
            _LOG.error("%s: %s", error.strerror, error.filename)

    async def _look(self) -> None:
        """Ask Envoy about pods that are ready and not known to be served yet."""
        waiting = [pod for pod in self.pods if pod.ready and not pod.serving]
        if waiting:
            healthy = await self.gateway.healthy_ports()
            for pod in waiting:
                pod.serving = pod.ready and {pod.http_port, pod.grpc_port} <= healthy

    def _plan(self) -> Plan:
        return plan(self.objects.list_of("Deployment"), self.objects.list_of("HTTPRoute"))

    def _converge(self) -> None:
        available: dict[str, int] = defaultdict(int)
        for pod in self.pods:
            available[pod.deployment.name] += pod.serving and not pod.leaving
        self.controllers.carry_out(available)
        wanted = self._plan()
        deployments = {deployment.name: deployment for deployment in wanted.deployments}
        # Requests first: what a route no longer names may go in the same step.
        self._tell_gateway(wanted)
        for name in sorted({*deployments, *(pod.deployment.name for pod in self.pods)}):
            pods = [pod for pod in self.pods if pod.deployment.name == name and not pod.leaving]
            target = deployments.get(name)
            template, replicas = (target.template_hash, target.replicas) if target else ("", 0)
            decision = decide(template, replicas, [pod.facts() for pod in pods])
            if target:
                self.pods += [Pod(target, self._surroundings()) for _ in range(decision.start)]
            for pod in pods:
                if pod.name in decision.drain:
                    self._let_go(pod)
        self._tell_gateway(wanted)
        self.controllers.write(self._pods())

    def _let_go(self, pod: Pod) -> None:
        pod.leaving = True
        task = asyncio.create_task(self._retire(pod))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _pods(self) -> list[PodReport]:
        return [pod.report() for pod in self.pods]

    def _tell_gateway(self, wanted: Plan) -> None:
        endpoints: dict[str, list[Endpoint]] = {pod.deployment.name: [] for pod in self.pods}
        for pod in self.pods:
            if pod.ready and not pod.leaving:
                endpoints[pod.deployment.name].append(Endpoint(pod.http_port, pod.grpc_port))
        self.holding.stand_in(wanted, endpoints)
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
            if not helper or not helper.child or helper.child.exit_code() is None:
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
            processes.rotate_all(self.home.logs)

    def _publish(self) -> None:
        pods, failures = self._pods(), self.controllers.failures
        services = self.objects.list_of("InferenceService")
        parts = (self.gateway, self.s3, self.monitoring.prometheus)
        helpers = [part.child for part in parts if part and part.child]
        state = {
            "gateway_url": f"http://127.0.0.1:{self.gateway.port}",
            "gateway_port": self.gateway.port,
            "s3_endpoint": self._store().endpoint,
            "observed_generation": self.intake.generation,
            "error": self.intake.error or self._error,
            "models": {
                model.name: asdict(model)
                for model in report(services, self._plan(), pods, failures)
            },
            "jobs": [
                asdict(job)
                for job in job_reports(self.objects.list_of("Job"), self.objects.list_of("Pod"))
            ],
            "kubeconfig": str(self.home.kubeconfig),
            **self.monitoring.state(),
            "processes": [child.pid for child in helpers]
            + [pod.pid for pod in pods if pod.pid is not None]
            + self.jobs.pids,
        }
        if state != self._published:
            write_json(self.home.state, state)
            self._published = state

    async def _pause(self) -> None:
        moving = any(not pod.serving or pod.leaving for pod in self.pods)
        await pause(self._wake, 0.1 if moving else 0.5)

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
