"""The one process that holds everything: it makes what runs follow what is wanted.

A loop, as a Kubernetes controller is one: read what is wanted, look at what is, decide with pure
functions (plan, rollout, envoy), act, publish, sleep until something changes. Every step may be
repeated; nothing depends on having seen an event.
"""

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import Any

from controlplane.errors import SerinError
from controlplane.kubernetes.meta import Object, key_of, now
from controlplane.local import seeds
from controlplane.local.api.objects import Objects
from controlplane.local.api.server import ApiServer
from controlplane.local.api.writes.admission import SERVED_NAMESPACE
from controlplane.local.controllers import events
from controlplane.local.controllers.autoscaling.scaling import Scaling
from controlplane.local.controllers.fence import Fence
from controlplane.local.controllers.plan import Plan, plan
from controlplane.local.controllers.reconciler import Controllers
from controlplane.local.controllers.routing import Routing, asked_by
from controlplane.local.gateway import keys, limits, policies
from controlplane.local.gateway.holding import Holding
from controlplane.local.gateway.process import Gateway
from controlplane.local.intake import Intake, versioned
from controlplane.local.metrics.monitoring import Monitoring
from controlplane.local.node import console_server, processes, s3_server
from controlplane.local.node.fleet import Fleet
from controlplane.local.node.jobs import Jobs
from controlplane.local.node.pauses import pause
from controlplane.local.statefile import StateFile
from controlplane.statefolder import Home
from controlplane.store import artifacts, s3

STOP_GRACE_SECONDS = 10.0
TIDY_SECONDS = 10.0
_POLICIES = ("SecurityPolicy", "BackendTrafficPolicy")
REST_LIMIT_SECONDS = 1.0
_LOG = logging.getLogger(__name__)


class Supervisor:
    """Holds the S3 server, Envoy and every pod."""

    def __init__(self, home: Home, port: int) -> None:
        self.home = home
        self._wake = asyncio.Event()
        self.gateway = Gateway(home, port, self.wake)
        external = s3.external()
        self.s3 = None if external else s3_server.Server(home)
        self.store = external or (self.s3.store if self.s3 else None)
        self.monitoring = Monitoring(home)
        self.console = console_server.Server(home)
        self.stopping = asyncio.Event()
        self.objects = Objects(home.objects)
        self.fence = Fence(self.objects)
        self.fleet = Fleet(self.fence, self.gateway.healthy_ports, self.wake)
        self.controllers = Controllers(self.objects, self.gateway.port, self.fence)
        log = home.logs / "scaling.log"
        self.scaling = Scaling(self.objects, self.monitoring, log, self.fence)
        self.holding = Holding(self.scaling.wake)
        self.api = ApiServer(home, self.objects, self._versioned, self._evict, self._said)
        self.jobs = Jobs(home, self.objects, lambda: self.monitoring.push_url, self.fence)
        self.intake = Intake(home, self.api.resources, self._versioned, self.wake)
        self._saving: asyncio.Task[None] | None = None
        self._error = ""
        self._restart_at: dict[str, float] = {}
        self._tidy_at = 0.0
        self._planned = Plan((), ())
        self._verdicts: dict[tuple[str, str], policies.Verdict] = {}
        """A policy's kind and name → what became of it."""
        self.statefile = StateFile(home.state, self.fence)

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
        self.fleet.prepare(self.home, self._store(), self._find)
        self.fleet.restore(self.controllers.older())
        self.jobs.restore()
        self.objects.on_change(self.wake)
        await self.api.start()
        self.scaling.start()

    async def run(self) -> None:
        """Converge until told to stop."""
        while not self.stopping.is_set():
            begun = time.monotonic()
            with self.fence.guard("the platform's loop"):
                await self._lap()
            if not self.stopping.is_set():
                # Half of this thread is the API's and the probes', however much changes.
                await asyncio.sleep(min(time.monotonic() - begun, REST_LIMIT_SECONDS))
                await pause(self._wake, 0.1 if self.fleet.is_moving else 0.5)

    async def _lap(self) -> None:
        """Do once what is to be done now; a part that fails leaves the others alone."""
        guard = self.fence.guard
        with guard("intake"):
            self.intake.step(self.controllers.failures)
        with guard("helpers"):
            self._restart_helpers()
        with guard("gateway"):
            await self.fleet.look()
        if self.stopping.is_set():  # nothing is started any more
            return
        with guard("controllers"):
            self.controllers.carry_out(self.fleet.available())
        await asyncio.sleep(0)  # here and below: the API's turn
        self._planned = wanted = self._plan()
        with guard("pods"):
            # Requests first: what a route no longer names may go in the same step.
            self._tell_gateway(wanted)
            self.fleet.follow(wanted)
            self._tell_gateway(wanted)
        with guard("gateway's clusters"):
            await self.gateway.check_clusters()
        await asyncio.sleep(0)
        with guard("statuses"):
            self.controllers.write(self.fleet.reports(), self._routing())
            self._tell_policies()
        await asyncio.sleep(0)
        with guard("metrics"):
            held = self.holding.held()
            self.monitoring.step(self.fleet.pods, wanted, self.objects, held)
        with guard("jobs"):
            self.jobs.step()
        with guard("console"):
            url = f"http://127.0.0.1:{self.gateway.port}"
            measured, pushed = self.monitoring.url, self.monitoring.push_url
            self.console.step(console_server.Addresses(url, measured, pushed, self._store()))
        with guard("tidying"):
            self._tidy()
        with guard("state"):
            self.statefile.write(self._state(wanted))
        self._keep()

    async def stop(self) -> None:
        """Close the gateway's door, let requests finish, then end everything."""
        self.stopping.set()
        self.fleet.close()
        self.intake.stop()
        await self.scaling.stop()
        await self.api.stop()
        await self.gateway.close_door()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await self.gateway.idle()
        await asyncio.to_thread(self.gateway.stop)
        await self.holding.stop()
        await asyncio.gather(
            self.jobs.stop(),
            self.fleet.stop(STOP_GRACE_SECONDS),
            asyncio.to_thread(self.console.stop),
            asyncio.to_thread(self.monitoring.stop),
        )
        if self.s3:
            await asyncio.to_thread(self.s3.stop)
        await self.objects.save()

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def child_ended(self) -> None:
        """Some child ended: let each pod look at its own."""
        self.fleet.poke()
        self.wake()

    async def _versioned(self, storage_uri: str, kept: str) -> str | None:
        return await versioned(self._store(), storage_uri, kept)

    def _find(self, kind: str, name: str) -> Object | None:
        return self.objects.find(kind, SERVED_NAMESPACE, name)

    def _said(self, about: Object, message: str) -> None:
        events.record(self.objects, about, "Warning", "NotFollowed", message[:1024])

    def _evict(self, name: str) -> None:
        """Let a pod go; its Deployment makes another, its Job may."""
        self.jobs.evict(name)
        self.fleet.evict(name)

    def _keep(self) -> None:
        """Write the objects to the disk beside the loop."""
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save())

    async def _save(self) -> None:
        try:
            await self.objects.save()
        except OSError as error:
            _LOG.error("%s: %s", error.strerror, error.filename)

    def _plan(self) -> Plan:
        """What should run; where that cannot be told, what should have run in the last lap."""
        with self.fence.guard("plan"):
            routes = self.objects.list_of("HTTPRoute")
            wanted = plan(self.objects.list_of("Deployment"), routes, self.fence.each("plan"))
            guards, traffic, secrets = map(self.objects.list_of, (*_POLICIES, "Secret"))
            each = self.fence.each("keys")
            wanted, guarded = keys.guarded(wanted, guards, routes, secrets, each)
            each = self.fence.each("limits")
            wanted, limited = limits.limited(wanted, traffic, routes, each)
            told = zip(_POLICIES, (guarded, limited), strict=True)
            self._verdicts = {(kind, name): v for kind, by in told for name, v in by.items()}
            return wanted
        return self._planned

    def _routing(self) -> Routing:
        """What the gateway made of the routes, and of which no plan could be made."""
        told = self.gateway.routing()
        refused = {
            asked_by(one): reason
            for one in self.objects.list_of("HTTPRoute")
            if (reason := self.fence.reason(one))
        }
        return Routing({**refused, **told.refused}, told.pending)

    def _tell_policies(self) -> None:
        for kind in _POLICIES:
            for one in self.objects.list_of(kind):
                self.fence.run("status", one, partial(self._tell_policy, one), None)

    def _tell_policy(self, one: Object) -> None:
        verdict = self._verdicts.get((one["kind"], one["metadata"]["name"]))
        if verdict is None:
            return
        status, before = policies.status(one, verdict, now()), one.get("status")
        if status == before:
            return
        self.objects.set_status(*key_of(one), status)
        if not verdict.accepted and verdict.message not in str(before):
            events.record(self.objects, one, "Warning", verdict.reason, verdict.message)

    def _tell_gateway(self, wanted: Plan) -> None:
        endpoints = self.fleet.endpoints()
        self.holding.stand_in(wanted, endpoints)
        self.gateway.apply(wanted, endpoints)

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

    def _tidy(self) -> None:
        """Keep what only grows within bounds: Events, and logs."""
        due = time.monotonic() > self._tidy_at
        if due or self.objects.count("Event") > events.MOST + events.SLACK:
            events.forget(self.objects)
        if due:
            self._tidy_at = time.monotonic() + TIDY_SECONDS
            processes.rotate_all(self.home.logs)

    def _state(self, wanted: Plan) -> dict[str, Any]:
        """What the verbs are told."""
        pods = self.fleet.reports()
        services = self.objects.list_of("InferenceService")
        names = {service["metadata"]["name"] for service in services}
        refused = self._routing().refused
        others = {("HTTPRoute", name): said for name, said in refused.items() if name not in names}
        others |= {
            asked: f"{verdict.reason}: {verdict.message}"
            for asked, verdict in self._verdicts.items()
            if not verdict.accepted
        }
        parts = (self.gateway, self.s3, self.monitoring.prometheus, self.console)
        helpers = [part.child for part in parts if part and part.child]
        return {
            "gateway_url": f"http://127.0.0.1:{self.gateway.port}",
            "gateway_port": self.gateway.port,
            "s3_endpoint": self._store().endpoint,
            "observed_generation": self.intake.generation,
            "error": self.intake.error or self._error,
            "models": self.statefile.models(services, wanted, pods, self.controllers.failures),
            "jobs": self.statefile.jobs(self.objects.list_of("Job"), self.objects.list_of("Pod")),
            "faults": self.statefile.faults(others, wanted, self.objects.list_of("ScaledObject")),
            "kubeconfig": str(self.home.kubeconfig),
            **self.monitoring.state(),
            **self.console.state(),
            "processes": [child.pid for child in helpers]
            + [pod.pid for pod in pods if pod.pid is not None]
            + self.jobs.pids,
        }

    def _store(self) -> s3.Store:
        if self.store is None:  # only to narrow the type: one of the two always is there
            raise SerinError("There is no S3 store.")
        return self.store
