"""One model: what served and serves, how the versions compare, its pods, Events and log."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from controlplane.console.pages import alerts, charts, logs, services, words
from controlplane.console.pages.alerts import Alert
from controlplane.console.pages.charts import Chart
from controlplane.console.pages.logs import LogLine
from controlplane.console.pages.services import Pod, Service
from controlplane.console.sources import promql
from controlplane.console.sources.answer import MALFORMED, Answer, answered, each
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.console.sources.metrics import Moments, Series
from controlplane.console.sources.registry import Published
from controlplane.kubernetes.names import REVISION, SERVED, SERVICE_LABEL, SOURCE
from controlplane.rollout.effects.record import HISTORY

EVENTS = 25
VERSIONS = 20
PODS = 50
POINTS = 120
PERIODS = (15, 60, 360)
"""Minutes that charts may show."""


@dataclass(frozen=True, slots=True)
class Version:
    """A published version of the model, and what it has to do with it."""

    version: str
    at: datetime | None
    serving: str
    """stable, canary, served before, or nothing."""
    metrics: list[tuple[str, str]]
    why: str
    """How it came to serve, or did not."""
    code: str


@dataclass(frozen=True, slots=True)
class Event:
    """What a controller said."""

    warning: bool
    reason: str
    about: str
    message: str
    count: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Model:
    """The page."""

    service: Service
    minutes: int
    versions: Answer[list[Version]]
    charts: list[Chart]
    pods: Answer[list[Pod]]
    events: Answer[list[Event]]
    log: Answer[list[LogLine]]
    log_pod: str
    alerts: list[Alert]


async def page(sources: Sources, name: str, minutes: int, pod: str) -> Model | None:
    """Ask everything at once; None where no InferenceService has the name.

    Args:
        sources: Where to ask.
        name: The model.
        minutes: That charts show.
        pod: Whose log; empty for the newest.

    Raises:
        SourceError: The Kubernetes API does not answer.
    """
    document = await sources.cluster.get("inferenceservices", name)
    if document is None:
        return None
    own = f"{SERVICE_LABEL}={name}"
    objects, others = await asyncio.gather(
        asyncio.gather(
            answered(sources.cluster.list("deployments", own), []),
            answered(sources.cluster.list("pods", own), []),
            answered(sources.cluster.list("replicasets", own), []),
            answered(sources.cluster.get("leases", f"rollout-{name}"), None),
            answered(sources.cluster.list("events"), []),
        ),
        asyncio.gather(
            answered(sources.registry.versions(), []),
            alerts.firing(sources),
            _charts(sources, name, minutes),
        ),
    )
    deployments, pods, replica_sets, lease, events = objects
    published, firing, drawn = others
    (service,) = each(
        [document],
        lambda document: services.service(document, deployments.value, pods.value),
        services.unreadable,
    )
    canaries = [part.deployment for part in service.parts if part.role == "canary"]
    replicas = each(
        pods.value[:PODS],
        lambda document: services.pod(document, canaries),
        services.unreadable_pod,
    )
    replicas.sort(key=lambda replica: (replica.role, replica.made), reverse=True)
    chosen = next((replica for replica in replicas if replica.name == pod), None)
    chosen = chosen or next(iter(replicas), None)
    log = Answer("")
    if chosen is not None and chosen.container:
        log = await answered(sources.cluster.log(chosen.name, chosen.container), "")
    history = reasons(lease.value)
    own_versions = [version for version in published.value if version.model == name]
    serves = {part.version or part.target: part.role for part in service.parts}
    before = _served(replica_sets.value)
    return Model(
        service=service,
        minutes=minutes,
        versions=Answer(
            each(
                own_versions[:VERSIONS],
                lambda version: _version(version, serves, before, history),
                lambda version: Version(version.version, None, "", [], "cannot be read", ""),
            ),
            published.error,
        ),
        charts=drawn,
        pods=Answer(replicas, pods.error),
        events=Answer(_events(events.value, name), events.error),
        log=Answer(logs.lines(log.value), log.error),
        log_pod=chosen.name if chosen else "",
        alerts=[alert for alert in firing.value if alert.service == name],
    )


async def _charts(sources: Sources, name: str, minutes: int) -> list[Chart]:
    """Stable and canary on the same axes."""
    moments = Moments.lately(minutes, POINTS)
    selector = promql.chosen(sources.cluster.namespace, name)
    by = "deployment, model_version"
    asked = [
        ("requests", "Requests", "/s", 1.0, promql.requests(selector, by)),
        ("failures", "Failed", "%", 100.0, promql.failures(selector, by)),
        ("flight", "In flight", "", 1.0, promql.in_flight(selector, by)),
        ("p50", "Latency p50", "ms", 1000.0, promql.latency(selector, 0.5, by)),
        ("p95", "Latency p95", "ms", 1000.0, promql.latency(selector, 0.95, by)),
        ("p99", "Latency p99", "ms", 1000.0, promql.latency(selector, 0.99, by)),
    ]
    series = await asyncio.gather(
        *(answered(sources.metrics.series(query, moments), []) for *_, query in asked)
    )
    return [
        charts.chart(
            key, title, unit, answer.value, moments, _name, factor=factor, error=answer.error
        )
        for (key, title, unit, factor, _), answer in zip(asked, series, strict=True)
    ]


def _name(line: Series) -> str:
    deployment = line.labels.get("deployment", "")
    role = "canary" if deployment.endswith("-canary-predictor") else "stable"
    return f"{role} {line.labels.get('model_version', '')}".rstrip()


def reasons(lease: Object | None) -> dict[str, str]:
    """Version → how its last rollout ended, and why."""
    notes = ((lease or {}).get("metadata") or {}).get("annotations") or {}
    try:
        history = json.loads(notes.get(HISTORY, "[]"))
        return {
            words.version_of(state["canary"]): words.short(
                f"{state['outcome']}: {state['reason']}", services.REASON
            )
            for state in history
        }
    except MALFORMED:
        return {}


def _served(replica_sets: Iterable[Object]) -> dict[str, int]:
    """Version → the latest revision in which a pod of it was ready."""
    served: dict[str, int] = {}
    for owner in replica_sets:
        try:
            annotations = owner["metadata"].get("annotations") or {}
            template = owner["spec"]["template"]["metadata"].get("annotations") or {}
            if SERVED in annotations or (owner.get("status") or {}).get("readyReplicas"):
                version = words.version_of(template.get(SOURCE))
                revision = int(annotations.get(REVISION) or 0)
                served[version] = max(served.get(version, 0), revision)
        except MALFORMED:
            continue
    return served


def _version(
    published: Published,
    serves: Mapping[str, str],
    before: Mapping[str, int],
    history: Mapping[str, str],
) -> Version:
    role = serves.get(published.version, "")
    revision = before.get(published.version)
    serving = role or (f"served before, revision {revision}" if revision else "")
    code = published.manifest.get("code")
    digest = str(code.get("sha256", ""))[:12] if isinstance(code, dict) else ""
    return Version(
        version=words.short(published.version, 64),
        at=published.at,
        serving=serving,
        metrics=words.measures(published.metrics, 3),
        why=published.error or history.get(published.version, ""),
        code=digest,
    )


def _events(documents: Iterable[Object], name: str) -> list[Event]:
    """Those about the model or what belongs to it, the newest first."""
    read = []
    for document in documents:
        try:
            about = document.get("involvedObject") or document.get("regarding") or {}
            subject = str(about.get("name", ""))
            if subject != name and not subject.startswith((f"{name}-predictor", f"{name}-canary")):
                continue
            at = document.get("lastTimestamp") or document.get("eventTime")
            read.append(
                Event(
                    warning=document.get("type") == "Warning",
                    reason=words.short(document.get("reason") or "", 60),
                    about=words.short(f"{about.get('kind', '')} {subject}", 120),
                    message=words.short(document.get("message") or "", 600),
                    count=int(document.get("count") or 1),
                    at=words.moment(at or document["metadata"].get("creationTimestamp")),
                )
            )
        except MALFORMED:
            continue
    read.sort(key=lambda event: event.at.timestamp() if event.at else 0.0, reverse=True)
    return read[:EVENTS]
