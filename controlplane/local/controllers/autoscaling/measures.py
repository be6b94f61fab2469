"""What triggers read: Prometheus' answers, the time of day, the pods' processor time and memory."""

import asyncio
from collections.abc import Iterable, Mapping

import httpx

from controlplane import prometheus
from controlplane.autoscale import fields
from controlplane.autoscale import readings as keda
from controlplane.autoscale.readings import PodUsage, Reading
from controlplane.autoscale.rule import Cron, Prometheus, Resource, Rule
from controlplane.kubernetes.meta import Object
from controlplane.local.api.objects import Objects
from controlplane.local.controllers.autoscaling.autoscalers import seconds

CPU_SECONDS = 30
"""The window of processor time; the metrics server of a cluster looks at 15 to 30 s."""


def asks_here(rule: Rule) -> bool:
    """Whether some trigger asks the Prometheus of this machine."""
    return any(
        prometheus.address(trigger.server_address, "") == ""
        for trigger in rule.triggers
        if isinstance(trigger, Prometheus)
    )


async def readings(
    client: httpx.AsyncClient, rule: Rule, local: str, now: float
) -> dict[str, Reading]:
    """Read every trigger but cpu and memory, all at once.

    Args:
        client: For queries.
        rule: Whose triggers.
        local: The address of the Prometheus here; empty where there is none.
        now: Seconds since 1970.
    """

    async def one(trigger: Prometheus | Cron) -> Reading:
        if isinstance(trigger, Cron):
            return keda.cron(trigger, now)
        address = prometheus.address(trigger.server_address, local)
        answer = await prometheus.ask(
            *(client, address, trigger.query, trigger.timeout_seconds),
            headers=trigger.headers,
            parameters=trigger.parameters,
        )
        return keda.prometheus(trigger, answer.values, answer.error)

    triggers = [trigger for trigger in rule.triggers if isinstance(trigger, Prometheus | Cron)]
    found = await asyncio.gather(*(one(trigger) for trigger in triggers))
    return {reading.metric_name: reading for reading in found}


async def is_scraped(client: httpx.AsyncClient, rule: Rule, local: str, since: float) -> bool:
    """Whether a pod of a Deployment has answered the Prometheus here since a time.

    A pod that starts is a target already, and does not answer.
    """
    labels = f'namespace="{rule.namespace}",deployment="{rule.target}"'
    query = f"timestamp(up{{{labels}}}) and up{{{labels}}} == 1"
    answer = await prometheus.ask(client, local, query, 3)
    return max(answer.values, default=0.0) > since


async def pods(
    client: httpx.AsyncClient, objects: Objects, rule: Rule, local: str
) -> Mapping[str, tuple[PodUsage, ...]]:
    """A Deployment's pods with what they use, for each resource that a trigger asks for."""
    labels = f'namespace="{rule.namespace}",deployment="{rule.target}"'
    queries = {
        "cpu": f"rate(process_cpu_seconds_total{{{labels}}}[{CPU_SECONDS}s])",
        "memory": f"process_resident_memory_bytes{{{labels}}}",
    }
    kinds = {one.metric_name for one in rule.triggers if isinstance(one, Resource)}
    found = {}
    for kind in sorted(kinds):
        answer = await prometheus.ask(client, local, queries[kind], 3)
        usage = {labels["pod"]: int(value * 1000) for labels, value in answer.elements}
        found[kind] = tuple(_usages(_own(objects, rule), kind, usage))
    return found


def _own(objects: Objects, rule: Rule) -> Iterable[Object]:
    return (
        pod
        for pod in objects.list_of("Pod", rule.namespace)
        if (pod["metadata"].get("labels") or {}).get("app") == f"isvc.{rule.target}"
    )


def _usages(pods: Iterable[Object], kind: str, usage: Mapping[str, int]) -> Iterable[PodUsage]:
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        conditions = {one["type"]: one for one in status.get("conditions", ())}
        ready: Object = conditions.get("Ready", {})
        changed = ready.get("lastTransitionTime")
        requests = [
            fields.quantity((one.get("resources") or {}).get("requests", {}).get(kind, 0), kind)
            for one in pod["spec"]["containers"]
        ]
        yield PodUsage(
            name=name,
            request=sum(requests) if all(requests) else 0,
            usage=usage.get(name),
            phase=status.get("phase", "Pending"),
            ready=ready.get("status") == "True",
            deleting="deletionTimestamp" in pod["metadata"],
            started_at=seconds(status["startTime"]) if "startTime" in status else None,
            ready_changed_at=seconds(changed) if changed else 0.0,
        )
