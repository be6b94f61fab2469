"""All predictor pods of this machine: as many as the plan asks for, old ones let go gently."""

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from controlplane.errors import SerinError
from controlplane.kubernetes.meta import Object
from controlplane.local.controllers.fence import Fence
from controlplane.local.controllers.plan import DeploymentPlan, Plan
from controlplane.local.controllers.report import PodReport
from controlplane.local.controllers.rolling import decide
from controlplane.local.node.environment import Find
from controlplane.local.node.pods import Pod, Surroundings
from controlplane.statefolder import Home
from controlplane.store.s3 import Store

MOST_PODS = 110
"""A kubelet's own limit."""
RESERVED = 10
"""Of those, for Deployments that have few: one that asks for thousands takes no other's place."""
Healthy = Callable[[], Awaitable[set[int]]]
"""The ports that the gateway would send a request to now."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod that is ready: its two loopback ports."""

    http_port: int
    grpc_port: int | None


class Fleet:
    """Every pod there is."""

    def __init__(self, fence: Fence, healthy: Healthy, wake: Callable[[], None]) -> None:
        self.pods: list[Pod] = []
        self._fence = fence
        self._healthy = healthy
        self._wake = wake
        self._retiring: set[asyncio.Task[None]] = set()

    def prepare(self, home: Home, store: Store, find: Find) -> None:
        """Say where pods run and find Secrets, before the first one starts."""
        processors = os.cpu_count() or 1
        starts, retries = (asyncio.Semaphore(max(n, 1)) for n in (processors, processors // 2))
        self._around = Surroundings(
            home, store, self._wake, self._alone, find, starts=starts, retries=retries
        )

    def restore(self, older: Iterable[tuple[DeploymentPlan, DeploymentPlan]]) -> None:
        """Start what served before this process: the pods of older templates, too."""
        for target, current in older:
            count = min(target.replicas, max(current.replicas, 1))
            self._start(target, min(count, self._room(0)))

    def poke(self) -> None:
        """Some child ended: let each pod look at its own."""
        for pod in self.pods:
            pod.poke()

    def close(self) -> None:
        """What ends from now on is not started again."""
        for pod in self.pods:
            pod.leaving = True

    async def stop(self, grace_seconds: float) -> None:
        """End every pod; the gateway has ended."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(
            *(
                pod.terminate(min(pod.deployment.grace_seconds, grace_seconds), alone=True)
                for pod in self.pods
            ),
            return_exceptions=True,
        )

    async def look(self) -> None:
        """Ask the gateway about pods that are ready and not known to be served yet."""
        waiting = [pod for pod in self.pods if pod.ready and not pod.serving]
        if waiting:
            healthy = await self._healthy()
            for pod in waiting:
                pod.serving = pod.ready and {pod.http_port, pod.grpc_port} <= healthy

    def follow(self, wanted: Plan) -> None:
        """Start what a plan asks for and is not there, and let go what it does not name."""
        targets = {target.name: target for target in wanted.deployments}
        names = {*targets, *(pod.deployment.name for pod in self.pods)} - wanted.unknown
        # Those with few pods come first, so that they find a place.
        for name in sorted(names, key=lambda name: (len(self._of(name)), name)):
            step = partial(self._follow, name, targets.get(name))
            self._fence.run("pods", _about(name), step, None)

    def evict(self, name: str) -> None:
        """Let a pod go; its Deployment makes another."""
        for pod in self.pods:
            if pod.name == name and not pod.leaving:
                self._let_go(pod)

    def available(self) -> dict[str, int]:
        """Deployment → pods that answer now."""
        found: dict[str, int] = defaultdict(int)
        for pod in self.pods:
            found[pod.deployment.name] += pod.serving and not pod.leaving
        return found

    def endpoints(self) -> dict[str, list[Endpoint]]:
        """Deployment → the ports of its ready pods, for every one that has pods."""
        found: dict[str, list[Endpoint]] = {pod.deployment.name: [] for pod in self.pods}
        for pod in self.pods:
            if pod.ready and not pod.leaving:
                found[pod.deployment.name].append(Endpoint(pod.http_port, pod.grpc_port))
        return found

    def reports(self) -> list[PodReport]:
        """Every pod as people and objects are told of it."""
        return [pod.report() for pod in self.pods]

    @property
    def is_moving(self) -> bool:
        """Whether the gateway is to be asked about some pod; what becomes of others wakes us."""
        return any(pod.leaving or (pod.ready and not pod.serving) for pod in self.pods)

    def _follow(self, name: str, target: DeploymentPlan | None) -> None:
        own = self._of(name)
        template, replicas = (target.template_hash, target.replicas) if target else ("", 0)
        leaving = sum(pod.leaving and pod.deployment.name == name for pod in self.pods)
        strategy = target.strategy if target else {}
        facts = [pod.facts() for pod in own]
        decision = decide(template, replicas, facts, strategy, leaving)
        for pod in own:
            if pod.name in decision.drain:
                self._let_go(pod)
        start = min(decision.start, self._room(len(own)))
        if target:
            self._start(target, start)
        if start < decision.start:
            self._fence.failed("capacity", _about(name), _FullError(decision.start - start))
        else:
            self._fence.succeeded("capacity", _about(name))

    def _of(self, name: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.deployment.name == name and not pod.leaving]

    def _room(self, own: int) -> int:
        kept = RESERVED if own >= RESERVED else 0
        return max(MOST_PODS - kept - len(self.pods), 0)

    def _start(self, target: DeploymentPlan, count: int) -> None:
        self.pods += [Pod(target, self._around) for _ in range(count)]

    def _let_go(self, pod: Pod) -> None:
        pod.leaving = True
        task = asyncio.create_task(self._retire(pod))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, pod: Pod) -> None:
        """Take a pod out of the gateway, and only when that has it out, end it."""
        _LOG.info("%s leaves", pod.name)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            if pod.http_port not in await self._healthy():
                break
        try:
            await pod.terminate(pod.deployment.grace_seconds)
        finally:
            self.pods.remove(pod)
            self._wake()

    def _alone(self, pod: Pod) -> bool:
        uri = pod.deployment.storage_uri
        return not any(
            other.deployment.storage_uri == uri for other in self.pods if other is not pod
        )


def _about(name: str) -> Object:
    return {"kind": "Deployment", "metadata": {"name": name, "namespace": "models"}}


class _FullError(SerinError):
    """A Deployment asks for more pods than this machine runs."""

    def __init__(self, missing: int) -> None:
        super().__init__(
            f"0/1 nodes are available: 1 Too many pods: {missing} wait for a place; a laptop "
            f"runs {MOST_PODS} at most, and keeps some for others"
        )
