"""Scaling: what each trigger reads against its threshold, and the replicas that follow."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.console.pages import charts, services, words
from controlplane.console.pages.charts import Chart
from controlplane.console.sources.answer import MALFORMED, Answer, answered, each
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.console.sources.metrics import Moments, Series
from controlplane.console.sources.promql import quoted

POINTS = 120
_SELECTOR = re.compile(r"\(&LabelSelector\{.*\}\)")
"""What an HPA prints of a metric, after its name."""
DECISIONS = 12
_SCALED = {"SuccessfulRescale", "ScalingReplicaSet", "KEDAScaleTargetActivated"} | {
    "KEDAScaleTargetDeactivated",
    "ScaledObjectCheckFailed",
    "KEDAScalerFailed",
    "FailedGetExternalMetric",
}


@dataclass(frozen=True, slots=True)
class Trigger:
    """A number that is watched."""

    kind: str
    query: str
    threshold: str
    current: str
    """What the HPA read last: of one replica, on average."""
    part: float | None
    """Current over threshold; above 1 it scales out."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and why."""

    at: datetime | None
    text: str
    warning: bool


@dataclass(frozen=True, slots=True)
class Scaled:
    """One ScaledObject with its HPA."""

    name: str
    target: str
    low: int
    high: int
    replicas: int
    desired: int
    triggers: tuple[Trigger, ...]
    conditions: tuple[tuple[str, str], ...]
    """Why the number is what it is: reason and message."""
    problem: str
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Scaling:
    """The page."""

    objects: Answer[list[Scaled]]
    charts: dict[str, Chart]
    minutes: int


async def page(sources: Sources, minutes: int) -> Scaling:
    """Ask everything at once."""
    space = f"namespace={quoted(sources.cluster.namespace)}"
    moments = Moments.lately(minutes, POINTS)
    flight = f"sum by (deployment) (avg_over_time(predictor_requests_in_flight{{{space}}}[1m]))"
    wanted = f"max by (deployment) (kube_deployment_spec_replicas{{{space}}})"
    ready = f"max by (deployment) (kube_deployment_status_replicas_ready{{{space}}})"
    (scaled, hpas, events), series = await asyncio.gather(
        asyncio.gather(
            answered(sources.cluster.list("scaledobjects"), []),
            answered(sources.cluster.list("horizontalpodautoscalers"), []),
            answered(sources.cluster.list("events"), []),
        ),
        asyncio.gather(
            *(
                answered(sources.metrics.series(query, moments), [])
                for query in (wanted, ready, flight)
            )
        ),
    )
    owned = _owned(hpas.value)
    objects = each(
        scaled.value,
        lambda document: _scaled(document, owned, events.value),
        _unreadable,
    )
    objects.sort(key=lambda entry: entry.name)
    drawn = {}
    for entry in objects:
        lines = [
            Series({"name": name}, line.values)
            for name, answer in zip(("wanted", "ready", "in flight"), series, strict=True)
            for line in answer.value
            if line.labels.get("deployment") == entry.target
        ]
        drawn[entry.name] = charts.chart(
            f"scaling-{entry.name}",
            "Replicas and requests in flight",
            "",
            lines,
            moments,
            lambda line: line.labels["name"],
            error=next((answer.error for answer in series if answer.error), ""),
        )
    return Scaling(Answer(objects, scaled.error or hpas.error), drawn, minutes)


def _owned(hpas: Iterable[Object]) -> dict[str, Object]:
    """ScaledObject → its HPA."""
    owned: dict[str, Object] = {}
    for hpa in hpas:
        try:
            for owner in hpa["metadata"].get("ownerReferences") or ():
                owned[str(owner["name"])] = hpa
        except MALFORMED:
            continue
    return owned


def _scaled(document: Object, hpas: Mapping[str, Object], events: Iterable[Object]) -> Scaled:
    name, spec = str(document["metadata"]["name"]), document["spec"]
    target = str(spec["scaleTargetRef"]["name"])
    hpa = hpas.get(name) or {}
    status = hpa.get("status") or {}
    own = document.get("status") or {}
    low = spec.get("minReplicaCount")
    wrong = [
        str(entry.get("message") or entry.get("reason"))
        for entry in own.get("conditions") or ()
        if (entry.get("type"), entry.get("status"))
        in {("Ready", "False"), ("Fallback", "True"), ("Paused", "True")}
    ]
    return Scaled(
        name=words.short(name, 120),
        target=words.short(target, 120),
        low=0 if low is None else int(low),
        high=int(spec.get("maxReplicaCount") or 100),
        replicas=int(status.get("currentReplicas") or 0),
        desired=int(status.get("desiredReplicas") or 0),
        triggers=tuple(
            _trigger(trigger, place, hpa) for place, trigger in enumerate(spec["triggers"])
        ),
        conditions=tuple(
            (
                words.short(entry.get("reason") or "", 60),
                words.short(_SELECTOR.sub("", entry.get("message") or ""), 300),
            )
            for entry in status.get("conditions") or ()
        ),
        problem=words.short(" ".join(wrong), 400),
        decisions=tuple(_decisions(events, {name, target, f"keda-hpa-{name}"})),
    )


def _trigger(trigger: Mapping[str, Any], place: int, hpa: Object) -> Trigger:
    metadata = trigger.get("metadata") or {}
    threshold = str(metadata.get("threshold") or metadata.get("value") or "")
    current: str | None = None
    for entry in (hpa.get("status") or {}).get("currentMetrics") or ():
        external = entry.get("external") or {}
        if str((external.get("metric") or {}).get("name", "")).startswith(f"s{place}-"):
            values = external.get("current") or {}
            current = str(values.get("averageValue") or values.get("value") or "0")
    read, limit = quantity(current), quantity(threshold)
    return Trigger(
        kind=words.short(str(trigger.get("type", "")), 40),
        query=words.short(str(metadata.get("query") or ""), 500),
        threshold=threshold or words.DASH,
        current=words.DASH if read is None else f"{read:.4g}",
        part=read / limit if read is not None and limit else None,
    )


def quantity(text: object) -> float | None:
    """A Kubernetes quantity as an HPA writes it: 4, 3500m, 2k."""
    said = str(text if text is not None else "")
    factors = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9}
    factor = factors.get(said[-1:], 1.0)
    try:
        return float(said[:-1] if said[-1:] in factors else said) * factor
    except ValueError:
        return None


def _decisions(events: Iterable[Object], about: set[str]) -> list[Decision]:
    read = []
    for event in events:
        try:
            subject = event.get("involvedObject") or event.get("regarding") or {}
            if subject.get("name") not in about or event.get("reason") not in _SCALED:
                continue
            at = words.moment(event.get("lastTimestamp") or event.get("eventTime"))
            said = str(event.get("message") or event["reason"])
            text = words.short(_SELECTOR.sub("", said), 300)
            read.append(Decision(at, text, event.get("type") == "Warning"))
        except MALFORMED:
            continue
    read.sort(key=lambda entry: entry.at.timestamp() if entry.at else 0.0, reverse=True)
    return read[:DECISIONS]


def _unreadable(document: Object) -> Scaled:
    name = words.short(services.name_of(document) or "?", 120)
    problem = "The object does not have a ScaledObject's form."
    return Scaled(name, "", 0, 0, 0, 0, (), (), problem, ())
