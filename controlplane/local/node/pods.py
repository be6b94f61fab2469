"""A pod of the laptop: one predictor process, restarted with back-off, watched by its probes.

The process is started exactly as its container would be. Two things differ, because all pods share
one machine: /mnt/models is a folder of the state folder, and the ports are whatever is free.
"""

import asyncio
import contextlib
import errno
import logging
import math
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from controlplane.errors import SerinError
from controlplane.kubernetes.meta import now
from controlplane.local.controllers.fence import said
from controlplane.local.controllers.plan import DeploymentPlan, Probe
from controlplane.local.controllers.report import PodReport
from controlplane.local.controllers.rolling import PodFacts
from controlplane.local.controllers.workloads import NODE
from controlplane.local.node import commands, containers, processes
from controlplane.local.node.environment import Find
from controlplane.local.node.pauses import pause
from controlplane.local.node.probes import passes
from controlplane.local.node.processes import LOOPBACK, Child
from controlplane.statefolder import ROOT, Home
from controlplane.store import artifacts, channels, followed
from controlplane.store.s3 import Store

BACKOFF_SECONDS = 1.0
BACKOFF_LIMIT_SECONDS = 30.0
TURN_SECONDS = 15.0
"""A start that takes longer lets the next one begin."""
STEADY_SECONDS = 30.0
"""Ready for so long, a pod's next crash starts the back-off anew."""
STARTING_PERIOD_SECONDS = 0.1
"""Between readiness probes until the first success; a cluster's period would only add waiting."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every pod needs of the platform."""

    home: Home
    store: Store
    changed: Callable[[], None]
    """Called when a pod's state changed."""
    alone: Callable[["Pod"], bool]
    """Whether no other pod uses the same artifact."""
    find: Find
    """Finds the Secrets and ConfigMaps that a pod names."""
    starts: asyncio.Semaphore
    """Taken to start: more at once than there are processors would only take them from others."""
    retries: asyncio.Semaphore
    """Taken instead by what ended before it was ready, so that nothing sound waits for those."""


class Pod:
    """One replica of a Deployment."""

    def __init__(self, deployment: DeploymentPlan, around: Surroundings) -> None:
        self.deployment = deployment
        self.around = around
        self.name = f"{deployment.name}-{deployment.template_hash}-{commands.suffix()}"
        self.log = around.home.logs / f"{self.name}.log"
        self.made_at = time.monotonic()
        self.created = now()
        self.started_at = ""
        self.ended_at = ""
        self.exit_code: int | None = None
        self.phase = "Pending"
        self.reason = ""
        self.failure = ""
        self.restarts = 0
        self.failed_starts = 0
        """Starts in a row that ended before the pod was ready."""
        self.ready = False
        self.serving = False
        """Ready, and seen healthy by the gateway since."""
        self.leaving = False
        self.http_port = 0
        self.grpc_port = 0
        self.metrics_port = 0
        self.child: Child | None = None
        self._folder: Path | None = None
        self._env: dict[str, str] = {}
        self._poke = asyncio.Event()
        self._crashed = False
        """The last start ended before the pod was ready."""
        self._turn: tuple[asyncio.TimerHandle, asyncio.Semaphore] | None = None
        """What ends its turn to start, while it has one, and whose turn that is."""
        self.task = asyncio.create_task(self._run(), name=self.name)

    def facts(self) -> PodFacts:
        """What a rollout decision needs to know."""
        age = time.monotonic() - self.made_at
        return PodFacts(self.name, self.deployment.template_hash, self.serving, age)

    def report(self) -> PodReport:
        """What people and objects are told of it."""
        return PodReport(
            name=self.name,
            deployment=self.deployment.name,
            template_hash=self.deployment.template_hash,
            version=self.deployment.version,
            phase="Terminating" if self.leaving else self.phase,
            reason=self.reason,
            failure=self.failure,
            ready=self.serving and not self.leaving,
            restarts=self.restarts,
            failed_starts=self.failed_starts,
            pid=self.child.pid if self.child else None,
            http_port=self.http_port,
            grpc_port=self.grpc_port,
            metrics_port=self.metrics_port,
            made_at=self.created,
            started_at=self.started_at,
            ended_at=self.ended_at,
            exit_code=self.exit_code,
        )

    def poke(self) -> None:
        """Look at the process now: some child has ended."""
        self._poke.set()

    async def terminate(self, grace_seconds: float, *, alone: bool = False) -> None:
        """End the process: SIGTERM, so many seconds, SIGKILL. It must be out of the gateway.

        Args:
            grace_seconds: How long it may take.
            alone: There is no gateway any more, so that a predictor need not wait for it.
        """
        self.leaving = True
        self._become("Terminating")
        self.task.cancel()
        await asyncio.wait([self.task])  # however it ended: the process is what matters now
        await self._end(grace_seconds, alone=alone)
        own = containers.own_volumes(self.around.home, self.name)
        shutil.rmtree(own, ignore_errors=True)
        with contextlib.suppress(OSError):  # missing, or other pods have volumes
            own.parent.rmdir()

    async def _end(self, grace_seconds: float, *, alone: bool) -> None:
        if self.child is None:
            return
        self.child.send(signal.SIGTERM)
        if alone and commands.is_ours(self.deployment):  # others may take it for something else
            self.child.send(signal.SIGINT)
        deadline = time.monotonic() + grace_seconds
        while self.child.exit_code() is None and time.monotonic() < deadline:
            await pause(self._poke, 0.1)
        if self.child.exit_code() is None:
            _LOG.warning("%s did not end in %s s: killed", self.name, grace_seconds)
        self.child.kill()

    async def _run(self) -> None:
        while not self.leaving:
            ready_at = None
            try:
                self._become("Downloading")
                self._folder = await asyncio.to_thread(self._fetch)
                await self._take_turn()
                self._start(self._folder)
                self._become("Starting")
                ready_at = await self._watch()
                reason = self._why_it_ended()
            except SerinError as error:
                reason = str(error)
            except OSError as error:
                reason = _os_reason(error)
            except Exception as error:  # noqa: BLE001  a NUL in its environment, whatever it asks
                _LOG.exception("%s", self.name)
                reason = said(error)
            finally:
                self._end_turn()
            self._ended(reason, ready_at)
            # Doubling: 1 s, 2 s, 4 s … as a kubelet does from 10 s on.
            crashes = self.failed_starts or 1
            await asyncio.sleep(min(BACKOFF_SECONDS * 2 ** (crashes - 1), BACKOFF_LIMIT_SECONDS))

    async def _take_turn(self) -> None:
        turns = self.around.retries if self._crashed else self.around.starts
        await turns.acquire()
        late = asyncio.get_running_loop().call_later(TURN_SECONDS, self._end_turn)
        self._turn = late, turns

    def _end_turn(self) -> None:
        if self._turn:
            late, turns = self._turn
            self._turn = None
            late.cancel()
            turns.release()

    def _fetch(self) -> Path:
        store, uri = self.around.store, self.deployment.storage_uri
        return artifacts.fetch(store, followed.served(store, uri), self.around.home.models)

    def _following(self) -> dict[str, str]:
        """What a predictor needs to follow a channel, which in a cluster the manifest says."""
        uri = self.deployment.storage_uri
        if channels.parsed(uri) is None:
            return {}
        own = containers.own_volumes(self.around.home, self.name)
        return {
            **self.around.store.env(),
            "PREDICTOR_CHANNEL": uri,
            "PREDICTOR_CHANNEL_DIR": str(own / "channel"),
            "PREDICTOR_REPLICA": self.name,
        }

    def _ended(self, reason: str, ready_at: float | None) -> None:
        if self.child:
            self.ended_at, self.exit_code = now(), self.child.exit_code()
        self.failure = reason
        _LOG.warning("%s ended: %s", self.name, reason)
        self.restarts += 1
        self._crashed = ready_at is None
        steady = ready_at is not None and time.monotonic() - ready_at > STEADY_SECONDS
        self.failed_starts = 0 if steady else self.failed_starts + 1
        if ready_at is None and self._folder and self.around.alone(self):
            artifacts.discard(self._folder)  # the download may be what is broken
        self.child = None
        if not self.leaving:
            self._become("CrashLoopBackOff", reason)

    def _start(self, folder: Path) -> None:
        """Start the container's command; ports are chosen anew each time, should one be taken."""
        self.http_port, self.grpc_port, self.metrics_port = processes.free_ports(3)
        ready = self._prepared()
        asked = replace(self.deployment.container, command=ready.command, args=ready.args)
        started = replace(self.deployment, container=asked)
        self._env = {
            **commands.inherited(),
            **self._following(),
            **ready.env,
            "PREDICTOR_HOST": LOOPBACK,
            "PREDICTOR_METRICS_PORT": str(self.metrics_port),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        self.child = Child(
            self.name,
            commands.predictor(started, folder, self.http_port, self.grpc_port),
            self.log,
            self._env,
            cwd=ready.folder,
        )
        self.started_at = now()
        _LOG.info("%s started as process %d", self.name, self.child.pid)

    def _prepared(self) -> containers.Prepared:
        """The container's words, variables and volumes, as a kubelet would make them now."""
        template = self.deployment.template
        metadata = {**template["metadata"], "name": self.name, "namespace": "models"}
        pod = {"metadata": metadata, "spec": {**template["spec"], "nodeName": NODE}}
        container = pod["spec"]["containers"][0]
        return containers.prepare(container, pod, self.around.home, self.around.find)

    async def _passes(self, probe: Probe) -> bool:
        container = self.deployment.container
        ports = {
            container.metrics_port: self.metrics_port,
            container.grpc_port: self.grpc_port,
            container.http_port: self.http_port,
        }
        return await passes(probe, ports.get(probe.port, probe.port), self._env)

    async def _watch(self) -> float | None:
        """Probe until the process ends; returns when it first became ready, if it did."""
        container = self.deployment.container
        readiness, liveness = self.deployment.readiness, container.liveness
        startup = container.startup
        ready_at: float | None = None
        failures = successes = dead = 0
        begun = time.monotonic()
        next_startup = begun + (startup.delay_seconds if startup else 0)
        next_readiness = begun + readiness.delay_seconds
        next_liveness = begun + (liveness.delay_seconds if liveness else 0)
        while self.child and self.child.exit_code() is None:
            now = time.monotonic()
            if startup and now >= next_startup:
                dead = 0 if await self._passes(startup) else dead + 1
                next_startup = now + startup.period_seconds
                if dead == 0:
                    startup = None
                elif dead >= startup.failure_threshold:
                    self._kill(f"startup probe failed {dead} times")
            if not startup and now >= next_readiness and not self.leaving:
                passed = await self._passes(readiness)
                failures, successes = (0, successes + 1) if passed else (failures + 1, 0)
                if successes >= readiness.success_threshold:
                    ready_at = ready_at or now
                    self._set_ready(ready=True)
                elif failures >= readiness.failure_threshold:
                    self._set_ready(ready=False)
                next_readiness = now + (
                    readiness.period_seconds if self.ready else STARTING_PERIOD_SECONDS
                )
            if liveness and ready_at and now >= next_liveness:
                dead = 0 if await self._passes(liveness) else dead + 1
                if dead >= liveness.failure_threshold:
                    self._kill(f"liveness probe failed {dead} times")
                next_liveness = now + liveness.period_seconds
            wait = min(
                next_startup if startup else next_readiness,
                next_liveness if liveness and ready_at else math.inf,
            )
            await pause(self._poke, max(min(wait - time.monotonic(), 1), 0.02))
        return ready_at

    def _kill(self, why: str) -> None:
        if self.child and self.child.exit_code() is None:
            _LOG.warning("%s: %s: killed", self.name, why)
            self.child.kill()

    def _set_ready(self, *, ready: bool) -> None:
        if ready and not self.ready:
            self.ready = True
            self._end_turn()
            self._become("Running")
        elif not ready and self.ready:
            self._become("NotReady", "its readiness probe fails")

    def _become(self, phase: str, reason: str = "") -> None:
        self.phase, self.reason = phase, reason
        if phase != "Running":
            self.ready = self.serving = False
        self.around.changed()

    def _why_it_ended(self) -> str:
        code = self.child.exit_code() if self.child else None
        text = self.child.log_text() if self.child else ""
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return commands.last_error(text) or f"exit status {code}"


def _os_reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or 'state folder'}): free some space"
    return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
