"""The laptop's KEDA and HPA controller: every ScaledObject, in the periods of a cluster.

The rules are controlplane/autoscale's; here they get the time, Prometheus' answers and the
Deployment, and what they decide is written into the objects. Each decision with all that led to it
is a line of logs/scaling.log, which `serin simulate --metrics` can be asked about again.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import httpx
import orjson

from controlplane import settings
from controlplane.autoscale import parsing, scaler
from controlplane.autoscale.decision import Decision
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.readings import Reading
from controlplane.autoscale.rule import Controller, Rule
from controlplane.autoscale.scaler import State
from controlplane.errors import ManifestError
from controlplane.kubernetes.meta import Object, key_of, now
from controlplane.kubernetes.refusals import NotFound
from controlplane.local.api.objects import Objects
from controlplane.local.controllers import events
from controlplane.local.controllers.autoscaling import autoscalers, measures
from controlplane.local.controllers.autoscaling.horizontal import Horizontal
from controlplane.local.controllers.fence import Fence, said

TICK_SECONDS = 0.25
EARLY_SECONDS = 1.0
"""Between looks at a Deployment that no scrape has seen yet."""
HELD = "held-request"
"""What an Event says triggered a start, where no metric did."""
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Scaled:
    """One ScaledObject that is being looked after."""

    uid: str
    rule: Rule
    spec: bytes
    state: State
    started_at: float
    next_poll: float
    next_sync: float
    original: int
    polled: Decision | None = None
    causes: Mapping[str, str] = field(default_factory=dict)
    """Why triggers failed at the last poll, by their metrics."""
    scraped: bool = False
    """Whether a pod was scraped since this platform started: from then on failures count."""
    task: asyncio.Task[None] | None = None


class Monitoring(Protocol):
    """What is asked of the metrics beside it."""

    error: str
    """Why there is no Prometheus; empty where it runs."""

    @property
    def url(self) -> str:
        """Where Prometheus answers; empty where it does not run."""

    def scaled(self, namespace: str, name: str, readings: Mapping[str, Reading]) -> None:
        """A ScaledObject's triggers were read."""


class Scaling:
    """Looks at each ScaledObject when its time has come."""

    def __init__(self, objects: Objects, monitoring: Monitoring, log: Path, fence: Fence) -> None:
        """Begin with nothing.

        Args:
            objects: The store.
            monitoring: Knows where Prometheus is.
            log: Where decisions go, a JSON line each.
            fence: Keeps a fault with one ScaledObject from the others.
        """
        self._objects = objects
        self._monitoring = monitoring
        self._log = log
        self._fence = fence
        # --horizontal-pod-autoscaler-sync-period of a cluster's controller manager.
        period = settings.seconds(settings.HPA_SYNC_PERIOD, 15)
        self.controller = Controller(sync_period_seconds=period)
        self._client = httpx.AsyncClient(trust_env=False)
        self._horizontal = Horizontal(objects, self._client, fence, self.controller)
        self._scaled: dict[tuple[str, str, str], _Scaled] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Decide nothing more."""
        tasks = [self._task, *(one.task for one in self._scaled.values())]
        tasks += self._horizontal.tasks()
        for task in tasks:
            if task:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task), return_exceptions=True)
        await self._client.aclose()

    def wake(self, deployment: str) -> bool:
        """Start a Deployment that sleeps: a request waits for it.

        Returns:
            Whether it starts; False where no ScaledObject may start it.
        """
        for key, one in self._scaled.items():
            if one.rule.target != deployment or one.rule.paused or one.rule.paused_scale_out:
                continue
            scale = self._scale(key[1], one.rule)
            if scale and scale.spec_replicas == 0:
                held = {HELD: Reading(HELD, 1000, active=True)}
                decision, one.state = scaler.wake(one.rule, one.state, held, time.time())
                one.polled = decision
                self._carry_out(key, one, decision, held)
            return True
        return False

    async def _run(self) -> None:
        while True:
            with self._fence.guard("scaling"):
                self._look()
            await asyncio.sleep(TICK_SECONDS)

    def _look(self) -> None:
        self._collect_garbage()
        self._horizontal.look(self._monitoring.url)
        there = self._objects.list_of("ScaledObject")
        for gone in self._scaled.keys() - {key_of(one) for one in there}:
            self._forget(gone)
        at = time.time()
        for scaled in there:
            if not self._fence.waits("turn", scaled):
                self._fence.run("scaling", scaled, partial(self._begin, scaled, at), None)

    def _begin(self, scaled: Object, at: float) -> None:
        one = self._known(scaled, at)
        if one is None or (one.task and not one.task.done()):
            return
        if at >= one.next_poll or at >= one.next_sync:
            one.task = asyncio.create_task(self._fenced(scaled, one, at))

    async def _fenced(self, scaled: Object, one: _Scaled, at: float) -> None:
        try:
            await self._turn(key_of(scaled), one, at)
        except Exception as error:  # noqa: BLE001  the other ScaledObjects go on
            if found := self._objects.find(*key_of(scaled)):
                words = autoscalers.broken(found, "ScaledObjectCheckFailed", said(error))
                self._set_status(found, words)
            self._fence.failed("turn", scaled, error)
        else:
            self._fence.succeeded("turn", scaled)

    def _collect_garbage(self) -> None:
        """Remove ScaledObjects whose owner is gone: a canary's goes with its Deployment."""
        there = {one["metadata"]["uid"] for one in self._objects.list_of("Deployment")}
        for scaled in self._objects.list_of("ScaledObject"):
            owners = scaled["metadata"].get("ownerReferences") or ()
            if owners and not any(one["uid"] in there for one in owners):
                self._objects.delete(*key_of(scaled))

    def _known(self, scaled: Object, at: float) -> _Scaled | None:
        key, metadata = key_of(scaled), scaled["metadata"]
        spec = orjson.dumps([scaled["spec"], metadata.get("annotations")])
        one = self._scaled.get(key)
        if one and one.uid == metadata["uid"] and one.spec == spec:
            return one
        try:
            rule = parsing.rule(scaled)
            scale = self._scale(key[1], rule)
            if scale is None:
                raise ManifestError(f"there is no Deployment {rule.target} to scale yet")
            if self._monitoring.error and measures.asks_here(rule):
                # Failing queries would end in the fallback's replicas, for good.
                raise ManifestError(self._monitoring.error)
        except ManifestError as error:
            reason, words = "ScaledObjectCheckFailed", str(error)
            if words not in str((scaled.get("status") or {}).get("conditions")):
                events.record(self._objects, scaled, "Warning", reason, words)
            self._set_status(scaled, autoscalers.broken(scaled, reason, words))
            self._scaled.pop(key, None)
            return None
        if one and one.uid == metadata["uid"]:
            one.rule, one.spec = rule, spec  # what the controllers remember stays
            return one
        state = State(
            autoscalers.memory(scaled, autoscalers.seconds(metadata["creationTimestamp"]))
        )
        period = self.controller.sync_period_seconds
        one = _Scaled(metadata["uid"], rule, spec, state, at, at, at + period, scale.spec_replicas)
        self._scaled[key] = one
        words = autoscalers.READY
        events.record(self._objects, scaled, "Normal", "ScaledObjectReady", words)
        # Before the first poll, which waits for a scrape: what was wrong before is so no longer.
        self._set_status(
            scaled, autoscalers.status(scaled, rule, state.memory, None, scale.spec_replicas)
        )
        return one

    def _tell_causes(
        self, key: tuple[str, str, str], one: _Scaled, readings: Mapping[str, Reading]
    ) -> None:
        """Write why triggers fail as Events of the ScaledObject, as KEDA does; each once."""
        causes = {name: reading.error for name, reading in readings.items() if reading.error}
        scaled = self._objects.find(*key)
        for name, cause in causes.items():
            if scaled and one.causes.get(name) != cause:
                said = f"{name}: {cause}"
                events.record(self._objects, scaled, "Warning", "KEDAScalerFailed", said[:1024])
        one.causes = causes

    async def _turn(self, key: tuple[str, str, str], one: _Scaled, at: float) -> None:
        """KEDA's poll, the HPA's look, or both, on the same readings."""
        readings = await measures.readings(self._client, one.rule, self._monitoring.url, at)
        scale = self._scale(key[1], one.rule)
        if scale and scale.spec_replicas and await self._is_too_early(one, readings):
            one.next_poll, one.next_sync = (
                max(due, at + EARLY_SECONDS) for due in (one.next_poll, one.next_sync)
            )
            return
        self._monitoring.scaled(key[1], key[2], readings)
        if self._scale(key[1], one.rule) is None:
            self._scaled.pop(key, None)  # until there is a Deployment again
            self._drop_hpa(key[1], one.rule)
            return
        if at >= one.next_poll and (scale := self._scale(key[1], one.rule)):
            one.next_poll = _after(one.next_poll, one.rule.polling_interval_seconds, at)
            decision, one.state = scaler.poll(one.rule, one.state, readings, scale, at)
            one.polled = decision
            self._tell_causes(key, one, readings)
            self._carry_out(key, one, decision, readings, at)
        if at >= one.next_sync and (scale := self._scale(key[1], one.rule)):
            one.next_sync = _after(one.next_sync, self.controller.sync_period_seconds, at)
            pods = await measures.pods(self._client, self._objects, one.rule, self._monitoring.url)
            decision, one.state = scaler.sync(
                one.rule, one.state, readings, scale, at, self.controller, pods
            )
            self._write_hpa(key, one, decision, scale)
            self._carry_out(key, one, decision, readings, at)

    async def _is_too_early(self, one: _Scaled, readings: Mapping[str, Reading]) -> bool:
        """Whether a query fails because nothing was scraped yet, which is no failure.

        A Prometheus of somebody else's has seen the Deployment before, or counts as it is.
        """
        failed = any(reading.error for reading in readings.values())
        if not one.scraped and failed and measures.asks_here(one.rule):
            one.scraped = await measures.is_scraped(
                self._client, one.rule, self._monitoring.url, one.started_at
            )
            return not one.scraped
        one.scraped = True
        return False

    def _carry_out(
        self,
        key: tuple[str, str, str],
        one: _Scaled,
        decision: Decision,
        readings: dict[str, Reading],
        at: float | None = None,
    ) -> None:
        _, namespace, name = key
        scaled = self._objects.find(*key)
        if scaled is None:
            return
        if decision.changes:
            _LOG.info("%s: %s", name, decision.explain())
            self._resize(namespace, one.rule.target, decision.desired)
        if decision.event:
            about: Object | None = scaled
            if decision.by == "HPA":
                about = self._objects.find("HorizontalPodAutoscaler", namespace, one.rule.hpa_name)
            failed = decision.by == "HPA" and not decision.changes
            reason = decision.rule if decision.by == "KEDA" else "SuccessfulRescale"
            reason = "FailedComputeMetricsReplicas" if failed else reason
            kind = "Warning" if failed else "Normal"
            events.record(self._objects, about or scaled, kind, reason, decision.event)
        status = autoscalers.status(scaled, one.rule, one.state.memory, one.polled, one.original)
        self._set_status(scaled, status)
        self._note(name, one, decision, readings, at or time.time())

    def _write_hpa(
        self, key: tuple[str, str, str], one: _Scaled, decision: Decision, scale: Scale
    ) -> None:
        scaled = self._objects.find(*key)
        if scaled is None or one.rule.paused:
            return
        old = self._objects.find("HorizontalPodAutoscaler", key[1], one.rule.hpa_name)
        wanted = autoscalers.hpa(scaled, one.rule, decision, scale, old, now())
        if old is None:
            self._objects.create(wanted)
        else:
            metadata = {**old["metadata"], **wanted["metadata"]}
            self._objects.update({**wanted, "metadata": metadata})
            self._objects.set_status(*key_of(wanted), wanted["status"])

    def _resize(self, namespace: str, name: str, replicas: int) -> None:
        def change(deployment: Object) -> None:
            deployment["spec"]["replicas"] = replicas

        self._objects.modify("Deployment", namespace, name, change)

    def _scale(self, namespace: str, rule: Rule) -> Scale | None:
        return autoscalers.scale(self._objects.find("Deployment", namespace, rule.target))

    def _set_status(self, scaled: Object, status: Object) -> None:
        if scaled.get("status") != status:
            try:
                self._objects.set_status(*key_of(scaled), status)
            except NotFound:
                return  # it was deleted just now

    def _forget(self, key: tuple[str, str, str]) -> None:
        one = self._scaled.pop(key)
        if one.task:
            one.task.cancel()
        self._drop_hpa(key[1], one.rule)

    def _drop_hpa(self, namespace: str, rule: Rule) -> None:
        if self._objects.find("HorizontalPodAutoscaler", namespace, rule.hpa_name):
            self._objects.delete("HorizontalPodAutoscaler", namespace, rule.hpa_name)

    def _note(
        self, name: str, one: _Scaled, decision: Decision, readings: dict[str, Reading], at: float
    ) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "scaledobject": name,
            "seconds": round(at - one.started_at, 2),
            "by": decision.by,
            "rule": decision.rule,
            "current": decision.current,
            "desired": decision.desired,
            "readings": {
                metric: reading.error or reading.value / 1000
                for metric, reading in readings.items()
            },
            "explanation": decision.explain(),
        }
        with self._log.open("ab") as file:
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def _after(due: float, period: float, at: float) -> float:
    """The next time on the same grid; turns that were missed are not made up for."""
    return due + period * (int((at - due) / period) + 1)
