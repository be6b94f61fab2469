"""What fires, about what, since when, and where is written what to do."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.console.pages.words import short
from controlplane.console.sources import promql
from controlplane.console.sources.answer import Answer, answered, each
from controlplane.console.sources.bundle import Sources

RUNBOOKS = Path(__file__).parents[3] / "docs" / "runbooks"
_ABOUT = ("deployment", "inferenceservice", "scaledObject", "horizontalpodautoscaler", "job_name")
_NAME = re.compile(r"[A-Za-z0-9]{1,80}")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that fires, or is about to."""

    name: str
    severity: str
    firing: bool
    about: str
    service: str
    has_runbook: bool


async def firing(sources: Sources) -> Answer[list[Alert]]:
    """Every alert of the namespace, what fires first."""
    query = promql.firing(sources.cluster.namespace)
    said = await answered(sources.metrics.now(query), [])
    alerts = each(said.value, lambda pair: _alert(pair[0]), lambda _: _alert({}))
    alerts.sort(key=lambda alert: (not alert.firing, alert.severity != "page", alert.name))
    return Answer(alerts, said.error)


def _alert(labels: Mapping[str, str]) -> Alert:
    about = next((labels[name] for name in _ABOUT if labels.get(name)), "")
    name = short(labels.get("alertname", "?"), 80)
    service = labels.get("inferenceservice", "") or re.sub(
        r"(-canary)?-predictor$", "", about.removeprefix("keda-hpa-")
    )
    return Alert(
        name=name,
        severity=short(labels.get("severity", ""), 40),
        firing=labels.get("alertstate") == "firing",
        about=about,
        service=service,
        has_runbook=path_of(name) is not None,
    )


def path_of(name: str) -> Path | None:
    """An alert's runbook; None where there is none."""
    path = RUNBOOKS / f"{name}.md"
    return path if _NAME.fullmatch(name) and path.is_file() else None


def known() -> list[str]:
    """Every alert with a runbook."""
    return sorted(path.stem for path in RUNBOOKS.glob("*.md") if _NAME.fullmatch(path.stem))


async def runbook(name: str) -> str | None:
    """A runbook's text, as it is written."""
    path = path_of(name)
    return None if path is None else await asyncio.to_thread(path.read_text, "utf-8")
