"""HorizontalPodAutoscalers that were written by hand: the HPA's part of a cluster's controllers.

Those that KEDA makes of ScaledObjects are scaling.py's.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import httpx

from controlplane.autoscale import horizontal, hpa, parsing
from controlplane.autoscale.decision import Decision
from controlplane.autoscale.hpa import Seen
from controlplane.autoscale.limits import History
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.readings import Reading
from controlplane.autoscale.rule import Controller, Cron, External, Prometheus, Rule
from controlplane.errors import ManifestError
from controlplane.kubernetes.meta import Key, Object, key_of, now, owners
from controlplane.kubernetes.refusals import NotFound
from controlplane.local.api.objects import Objects
from controlplane.local.controllers import events
from controlplane.local.controllers.autoscaling import autoscalers, measures
from controlplane.local.controllers.fence import Fence

KIND = "HorizontalPodAutoscaler"
BY_KEDA = "scaledobject.keda.sh/name"
"""The label by which an HPA asks for a ScaledObject's metric."""


@dataclass(slots=True)
class _Watched:
    """One HPA that is being looked after."""

    uid: str
    due: float
    history: History = field(default_factory=History)
    task: asyncio.Task[None] | None = None


class Horizontal:
    """Looks at each HPA when its time has come."""

    def __init__(
        self, objects: Objects, client: httpx.AsyncClient, fence: Fence, controller: Controller
    ) -> None:
        """Begin with nothing.

        Args:
            objects: The store.
            client: For queries.
            fence: Keeps a fault with one HPA from the others.
            controller: The flags of a cluster's controller manager.
        """
        self._objects = objects
        self._client = client
        self._fence = fence
        self._controller = controller
        self._watched: dict[Key, _Watched] = {}

    def look(self, local: str) -> None:
        """Begin the turns that are due.

        Args:
            local: The address of the Prometheus here; empty where there is none.
        """
        at, there = time.time(), {}
        for one in self._objects.list_of(KIND):
            owned = [owner["uid"] for owner in owners(one) if owner["kind"] == "ScaledObject"]
            if not owned:
                there[key_of(one)] = one
            elif not any(self._is_there(uid) for uid in owned):
                self._objects.delete(*key_of(one))  # its ScaledObject is gone
        for key in self._watched.keys() - there.keys():
            if task := self._watched.pop(key).task:
                task.cancel()
        for key, one in there.items():
            uid = one["metadata"]["uid"]
            watched = self._watched.get(key)
            if watched is None or watched.uid != uid:
                watched = self._watched[key] = _Watched(uid, at)
            busy = watched.task and not watched.task.done()
            if at >= watched.due and not busy and not self._fence.waits("turn", one):
                watched.due = at + self._controller.sync_period_seconds
                watched.task = asyncio.create_task(self._fenced(one, watched, local, at))

    def tasks(self) -> list[asyncio.Task[None]]:
        """The turns that have begun."""
        return [one.task for one in self._watched.values() if one.task]

    def _is_there(self, uid: str) -> bool:
        return any(one["metadata"]["uid"] == uid for one in self._objects.list_of("ScaledObject"))

    async def _fenced(self, one: Object, watched: _Watched, local: str, at: float) -> None:
        try:
            await self._turn(one, watched, local, at)
        except Exception as error:  # noqa: BLE001  the other HPAs go on
            self._fence.failed("turn", one, error)
        else:
            self._fence.succeeded("turn", one)

    async def _turn(self, one: Object, watched: _Watched, local: str, at: float) -> None:
        rule = horizontal.rule(one)
        readings = await self._readings(rule, local, at)
        pods = await measures.pods(self._client, self._objects, rule, local)
        scale = autoscalers.scale(self._objects.find("Deployment", rule.namespace, rule.target))
        found = self._objects.find(*key_of(one))
        if found is None or found["metadata"]["uid"] != watched.uid:
            return
        if scale is None:
            decision, scale = _no_target(rule.target), Scale(0, 0, 0)
        else:
            seen = Seen(scale, readings, pods)
            decision, watched.history = hpa.decide(
                rule, watched.history, seen, at, self._controller
            )
        if decision.changes:
            self._objects.modify(
                *("Deployment", rule.namespace, rule.target),
                lambda deployment: deployment["spec"].update(replicas=decision.desired),
            )
        if decision.event:
            reason = "SuccessfulRescale" if decision.changes else "FailedComputeMetricsReplicas"
            reason = decision.rule if decision.rule == "FailedGetScale" else reason
            kind = "Normal" if decision.changes else "Warning"
            events.record(self._objects, found, kind, reason, decision.event)
        before = found.get("status") or {}
        status = autoscalers.hpa_status(rule, rule.triggers, decision, scale, before, now())
        status["observedGeneration"] = one["metadata"].get("generation", 1)
        if status != before:
            try:
                self._objects.set_status(*key_of(found), status)
            except NotFound:
                return  # it was deleted just now

    async def _readings(self, rule: Rule, local: str, at: float) -> Mapping[str, Reading]:
        found: dict[str, Reading] = {}
        for trigger in rule.triggers:
            if isinstance(trigger, External):
                name = trigger.metric_name
                served, why = self._served(rule.namespace, trigger)
                if served:
                    found |= await measures.readings(self._client, served, local, at)
                else:
                    said = f"unable to get external metric {rule.namespace}/{name}: {why}"
                    found[name] = Reading(name, error=said)
        return found

    def _served(self, namespace: str, trigger: External) -> tuple[Rule | None, str]:
        """The ScaledObject whose metric is asked for, with that trigger alone; or why none is."""
        name = dict(trigger.labels).get(BY_KEDA)
        if name is None:
            return None, f"here KEDA alone serves metrics, by a selector with {BY_KEDA}"
        scaled = self._objects.find("ScaledObject", namespace, name)
        if scaled is None:
            return None, f'scaledobjects.keda.sh "{name}" not found'
        try:
            served = parsing.rule(scaled)
        except ManifestError as error:
            return None, str(error)
        for one in served.triggers:
            if isinstance(one, Prometheus | Cron) and one.metric_name == trigger.metric_name:
                return replace(served, triggers=(one,)), ""
        return None, f"ScaledObject {name} has no metric {trigger.metric_name}"


def _no_target(name: str) -> Decision:
    words = f'deployments.apps "{name}" not found'
    message = f"the HPA controller was unable to get the target's current scale: {words}"
    unknown = (False, "", "")
    return Decision(
        *("HPA", "FailedGetScale", 0, 0, message),
        event=words,
        able_to_scale=(False, "FailedGetScale", message),
        scaling_active=unknown,
    )
