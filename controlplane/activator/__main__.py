"""Stands in for the Deployments of this namespace that sleep."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator

import httpx
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controlplane.activator import api, slices
from controlplane.activator.api import Api
from controlplane.activator.holder import Holder
from controlplane.activator.slices import Me, Object, Target

METRICS_PORT = 8082  # as the predictors'
_SUCCESSOR_SECONDS = 20
_PROXY_SECONDS = 5  # until every proxy has taken us out, as the predictors' preStop
_LAST_SECONDS = 60  # what is held or handed on then; the Pod's grace is longer than all three
_LOOP_SECONDS = 2
_LOG = logging.getLogger("controlplane.activator")


class Activator(Collector):
    """Holders and EndpointSlices, one for each Deployment that may sleep."""

    def __init__(self, kubernetes: Api, me: Me) -> None:
        self._api = kubernetes
        self._me = me
        self._loop = asyncio.get_running_loop()
        self._objects: dict[api.Kind, dict[str, Object]] = {
            kind: {} for kind in (api.SCALED_OBJECTS, api.DEPLOYMENTS, api.SERVICES, api.SLICES)
        }
        self._targets: dict[str, Target] = {}
        self._holders: dict[str, Holder] = {}
        self._leaving = False

    async def run(self, ending: asyncio.Event) -> None:
        """Work until told to end, then until a successor has what is ours."""
        listed = {kind: asyncio.Event() for kind in self._objects}
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(self._api.watch(kind, objects, listed[kind]))
                for kind, objects in self._objects.items()
            ]
            for one in listed.values():
                await one.wait()
            await self._reconcile()
            registry = CollectorRegistry()
            registry.register(self)
            start_http_server(METRICS_PORT, registry=registry)  # now it is ready
            working.append(tasks.create_task(self._work()))
            await ending.wait()
            await self._leave()
            for task in working:
                task.cancel()

    async def _work(self) -> None:
        while True:
            await self._api.changed.wait()
            self._api.changed.clear()
            try:
                await self._reconcile()
            except httpx.HTTPError as error:
                _LOG.warning("%s; again in 1 s", str(error) or type(error).__name__)
                await asyncio.sleep(1)
                self._api.changed.set()

    async def _reconcile(self) -> None:
        self._targets = slices.targets(
            self._objects[api.SCALED_OBJECTS].values(),
            self._objects[api.DEPLOYMENTS],
            self._objects[api.SERVICES],
            self._objects[api.SLICES].values(),
            {name for name, target in self._targets.items() if target.asleep},
        )
        wanted = {}
        for name, target in self._targets.items():
            holder = self._holders.get(name)
            if holder and holder.ports.keys() != target.ports.keys():
                holder.close()
                holder = None
            if holder is None and not target.may_sleep:
                continue
            if holder is None:
                holder = Holder(name, target.ports, self._me.address)
                self._holders[name] = holder
            if target.asleep:
                holder.hold()
                document = slices.document(target, holder.ports, self._me)
                wanted[document["metadata"]["name"]] = document
            elif target.pods:  # also once it may not sleep any more: proxies learn that late
                holder.hand_on(target.pods)
        await self._publish({} if self._leaving else wanted)
        for name in self._holders.keys() - self._targets.keys():
            if not self._holders[name].connections:  # what is handed on is finished first
                self._holders.pop(name).close()

    async def _publish(self, wanted: dict[str, Object]) -> None:
        """Make our slices be these, starting from what is there."""
        there = {
            name: one
            for name, one in self._objects[api.SLICES].items()
            if slices.owner(one) == self._me.name
        }
        for name, document in wanted.items():
            if name not in there or there[name]["ports"] != document["ports"]:
                _LOG.info("%s: standing in", document["metadata"]["labels"][slices.SERVICE])
                self._objects[api.SLICES][name] = await self._api.apply(api.SLICES, document)
        for name in there.keys() - wanted.keys():
            _LOG.info("%s: its endpoint is taken away", name)
            await self._api.delete(api.SLICES, name)
            self._objects[api.SLICES].pop(name, None)

    async def _leave(self) -> None:
        """Go when somebody else stands in, and when nobody is served through here any more."""
        _LOG.info("told to end: waiting for a successor")
        await _until(self._succeeded, _SUCCESSOR_SECONDS)
        self._leaving = True
        self._api.changed.set()
        await asyncio.sleep(_PROXY_SECONDS)
        await _until(
            lambda: not any(one.connections for one in self._holders.values()), _LAST_SECONDS
        )

    def _succeeded(self) -> bool:
        others = {
            one["metadata"]["labels"][slices.SERVICE]
            for one in self._objects[api.SLICES].values()
            if slices.owner(one) not in {None, self._me.name}
        }
        return all(name in others for name, target in self._targets.items() if target.asleep)

    def collect(self) -> Iterator[Metric]:
        """What waits for each Deployment that sleeps: no sample of one that is awake."""
        # Asked by Prometheus and by the kubelet's probes: no answer where the loop hangs.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result(_LOOP_SECONDS)
        held = GaugeMetricFamily(
            "predictor_requests_in_flight",
            "Connections held for a Deployment until a pod is ready.",
            labels=["inferenceservice", "deployment"],
        )
        through = GaugeMetricFamily(
            "activator_connections",
            "Connections held for a Deployment, or handed on to it and still open.",
            labels=["inferenceservice", "deployment"],
        )
        for name, target in tuple(self._targets.items()):
            if holder := self._holders.get(name):
                labels = [target.inferenceservice, name]
                through.add_metric(labels, holder.connections)
                if target.asleep:
                    held.add_metric(labels, holder.held)
        yield from (held, through)


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  what is waited for sets no event
                await asyncio.sleep(0.1)


async def main() -> None:
    """Run until SIGTERM."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    me = Me(os.environ["POD_NAME"], os.environ["POD_UID"], os.environ["POD_IP"])
    await Activator(Api(), me).run(ending)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request
    asyncio.run(main())
