"""What is published: versions with metrics and size, and where each is served."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from controlplane import differences
from controlplane.console.pages import services, words
from controlplane.console.sources.answer import MALFORMED, Answer, SourceError, answered, each
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.registry import Published

SHOWN = 100
"""Versions on a page."""


@dataclass(frozen=True, slots=True)
class Row:
    """One version."""

    model: str
    version: str
    at: datetime
    size: str
    metrics: list[tuple[str, str]]
    engine: str
    data: str
    serving: str
    error: str


@dataclass(frozen=True, slots=True)
class Registry:
    """The page."""

    rows: Answer[list[Row]]
    models: list[str]
    chosen: str
    count: int
    first: int
    unread: int = 0
    """Older ones, that are not listed."""


async def page(sources: Sources, chosen: str, first: int) -> Registry:
    """Versions of a model or of all, from the `first` on."""
    published, objects, deployments, pods = await asyncio.gather(
        answered(sources.registry.versions(), []),
        answered(sources.cluster.list("inferenceservices"), []),
        answered(sources.cluster.list("deployments"), []),
        answered(sources.cluster.list("pods"), []),
    )
    serving: dict[tuple[str, str], list[str]] = {}
    for service in each(
        objects.value,
        lambda document: services.service(document, deployments.value, pods.value),
        services.unreadable,
    ):
        for part in service.parts:
            model = service.uri.removeprefix("s3://models/").partition("/")[0] or service.name
            where = f"{service.name} {part.role}" + (
                f" {part.percent} %" if part.role == "canary" else ""
            )
            serving.setdefault((model, part.version or part.target), []).append(where)
    models = sorted({version.model for version in published.value})
    listed = [version for version in published.value if not chosen or version.model == chosen]
    rows = each(
        listed[first : first + SHOWN],
        lambda version: _row(version, serving),
        lambda version: Row(
            *(version.model, version.version, version.at, "", [], "", "", "", "cannot be read")
        ),
    )
    return Registry(
        Answer(rows, published.error),
        [words.short(name, 120) for name in models],
        chosen,
        len(listed),
        first,
        sources.registry.unread,
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """Two versions of a model, and the fields of their manifests that differ."""

    model: str
    names: tuple[str, str]
    rows: list[tuple[str, str, str]]


async def difference(sources: Sources, model: str, version: str, other: str) -> Difference:
    """What `serin models diff` says of two versions; their metrics first.

    Raises:
        SourceError: There is no answer, no such version, or a manifest that cannot be compared.
    """
    pair = [await sources.registry.find(model, name) for name in (version, other)]
    if damaged := next((entry for entry in pair if entry.error), None):
        raise SourceError(f"{damaged.version}: {damaged.error}.")
    try:
        rows = words.differences(differences.of_manifests(*(entry.manifest for entry in pair)))
    except MALFORMED as error:
        raise SourceError("These manifests cannot be compared.") from error
    rows.sort(key=lambda row: not row[0].startswith("metrics."))
    return Difference(words.short(model, 120), (pair[0].version, pair[1].version), rows)


def _row(version: Published, serving: dict[tuple[str, str], list[str]]) -> Row:
    data = version.manifest.get("data")
    return Row(
        model=words.short(version.model, 120),
        version=words.short(version.version, 64),
        at=version.at,
        size=words.size(version.size_bytes),
        metrics=words.measures(version.metrics, 4),
        engine=words.short(version.manifest.get("engine") or words.DASH, 40),
        data=words.short(data.get("name", ""), 60) if isinstance(data, dict) else "",
        serving=", ".join(serving.get((version.model, version.version), [])),
        error=version.error,
    )
