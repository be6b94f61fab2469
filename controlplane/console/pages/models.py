"""The first page: every model on a line, canaries below it."""

import asyncio
from dataclasses import dataclass

from controlplane.console.pages import alerts, charts, services
from controlplane.console.pages.alerts import Alert
from controlplane.console.pages.services import Part, Service
from controlplane.console.sources import promql
from controlplane.console.sources.answer import Answer, answered, each
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.metrics import Labels, Moments

MINUTES = 15.0
_POINTS = 60


@dataclass(frozen=True, slots=True)
class Row:
    """The stable version of a model, or a canary, with the last minute's numbers."""

    service: Service
    part: Part | None
    rate: float | None = None
    failed: float | None = None
    p95: float | None = None
    spark: str = ""
    alerts: tuple[Alert, ...] = ()

    @property
    def is_canary(self) -> bool:
        """Whether it stands below its model."""
        return self.part is not None and self.part.role == "canary"


@dataclass(frozen=True, slots=True)
class Models:
    """The page."""

    rows: list[Row]
    error: str
    """Why there is no list."""
    metrics_error: str

    @property
    def summary(self) -> str:
        """In a few words."""
        states = [row.service.state for row in self.rows if not row.is_canary]
        ready = sum(state in {"Ready", "Asleep"} for state in states)
        return f"{ready} of {len(states)} ready"


async def page(sources: Sources) -> Models:
    """Ask everything at once."""
    selector = promql.chosen(sources.cluster.namespace)
    moments = Moments.lately(MINUTES, _POINTS)
    (objects, deployments, pods), (rates, failed, p95, lines, firing) = await asyncio.gather(
        asyncio.gather(
            answered(sources.cluster.list("inferenceservices"), []),
            answered(sources.cluster.list("deployments"), []),
            answered(sources.cluster.list("pods"), []),
        ),
        asyncio.gather(
            answered(sources.metrics.now(promql.requests(selector)), []),
            answered(sources.metrics.now(promql.failures(selector)), []),
            answered(sources.metrics.now(promql.latency(selector, 0.95)), []),
            answered(sources.metrics.series(promql.requests(selector), moments), []),
            alerts.firing(sources),
        ),
    )
    sparks = {line.labels.get("deployment", ""): charts.spark(line.values) for line in lines.value}
    rate, fails, late = (_by_deployment(answer) for answer in (rates, failed, p95))
    read = each(
        objects.value,
        lambda document: services.service(document, deployments.value, pods.value),
        services.unreadable,
    )
    rows = []
    for service in sorted(read, key=lambda service: service.name):
        about = tuple(
            alert for alert in firing.value if alert.firing and alert.service == service.name
        )
        for part in service.parts or (None,):
            key = part.deployment if part else ""
            own = about if part is None or part.role == "stable" else ()
            rows.append(
                Row(
                    *(service, part, rate.get(key), fails.get(key), late.get(key)),
                    spark=sparks.get(key, ""),
                    alerts=own,
                )
            )
    unread = objects.error or deployments.error or pods.error
    return Models(rows, unread, rates.error or lines.error)


def _by_deployment(answer: Answer[list[tuple[Labels, float]]]) -> dict[str, float]:
    return {labels.get("deployment", ""): value for labels, value in answer.value}
