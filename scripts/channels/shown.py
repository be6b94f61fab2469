"""A channel in words."""

import json
import textwrap
import time
from datetime import UTC, datetime
from typing import Any

from controlplane.channels.writer import Done
from controlplane.kubernetes.client import Object
from controlplane.kubernetes.conditions import is_true
from controlplane.store.channels import Document
from controlplane.store.followed import Channel

REPLICAS = ("REPLICA", "READY", "GEN", "VERSION", "NEXT", "SWITCHED")
HISTORY = ("GENERATION", "VERSION", "COMMITTED", "BY", "WHY")


def as_json(document: Document, reports: dict[str, Document], found: list[Object]) -> str:
    """Everything that is known."""
    replicas: list[dict[str, Any]] = [
        {"replica": name, "ready": is_ready, **report}
        for name, is_ready, report in _each(reports, found)
    ]
    return json.dumps({**document, "replicas": replicas}, indent=1)


def description(channel: Channel, document: Document) -> str:
    """Some lines; `replicas` has a row for each replica."""
    lines = [
        f"{channel.uri}  generation {document['generation']}  {document['version']}",
        f"since     {_time(document['activate_at'])}, by {document['by']}"
        + (f": {document['why']}" if document["why"] else ""),
        f"before    {document['previous'] or 'nothing'}",
        f"mode      {document['mode']}, keeps an engine for {document['keep_seconds']:g} s",
    ]
    if coming := document["next"]:
        shadow = f", --shadow {coming['shadow']}" if coming.get("shadow") else ""
        state = f"being prepared{shadow}" if time.time() < coming["expires_at"] else "expired"
        lines.append(f"proposed  {coming['version']}, generation {coming['generation']}: {state}")
    if refused := document.get("refused"):
        said = f"refused   {refused['version']}, generation {refused['generation']}: "
        indent = " " * 10
        lines += textwrap.wrap(
            said + refused["why"], 80, subsequent_indent=indent, break_on_hyphens=False
        )
    return "\n".join(lines) + "\n"


def replicas(reports: dict[str, Document], found: list[Object]) -> list[tuple[str, ...]]:
    """A row for each pod that follows: 80 columns, with a cluster's names of pods."""
    rows: list[tuple[str, ...]] = []
    for name, is_ready, report in _each(reports, found):
        if not report:
            rows.append((name, _word(is_ready), "-", "-", "-", "-"))
            continue
        rows.append(
            (
                name,
                _word(is_ready),
                str(report["generation"]),
                report["version"],
                str(report["prepared"]),
                f"+{report['switched_late_seconds'] * 1000:.0f} ms",
            )
        )
    return rows


def notes(reports: dict[str, Document], found: list[Object]) -> list[str]:
    """What replicas say beside their row, one line each."""
    lines = []
    for name, _, report in _each(reports, found):
        if not report:
            lines.append(f"{name}: no report yet")
        elif said := report["trouble"] or "; ".join(report["failures"].values()):
            lines.append(f"{name}: {said}")
        elif report["kept"]:
            lines.append(f"{name}: keeps {report['kept']}")
    return lines


def done(channel: Channel, done: Done) -> tuple[str, str]:
    """What a commit was, and how far apart replicas switched or that none follows."""
    document = done.document
    said = f"{channel.uri} is {document['version']}, generation {document['generation']}."
    if not done.replicas:
        return said, nobody(channel)
    if done.replicas == 1:
        return said, f"1 replica switched, {done.seconds:.1f} s after the commit."
    return said, (
        f"{done.replicas} replicas switched {done.window * 1000:.0f} ms apart, "
        f"{done.seconds:.1f} s after the commit."
    )


def nobody(channel: Channel) -> str:
    """How replicas come to follow a channel."""
    return (
        "No replica follows it yet. In a cluster, add kserve/components/channels to the overlay; "
        f"on a laptop: kubectl patch isvc {channel.model} --type merge -p "
        f'\'{{"spec":{{"predictor":{{"model":{{"storageUri":"{channel.uri}"}}}}}}}}\''
    )


def history(entries: list[Document]) -> list[tuple[str, ...]]:
    """A row for each commit."""
    return [
        (
            str(one["generation"]),
            one["version"],
            _time(one["at"]),
            one["by"],
            one["why"],
        )
        for one in entries
    ]


def _each(reports: dict[str, Document], found: list[Object]) -> list[tuple[str, bool, Document]]:
    return [
        (name, is_true(pod.get("status"), "Ready"), reports.get(name, {}))
        for pod in found
        for name in [str(pod["metadata"]["name"])]
    ]


def _word(is_ready: bool) -> str:
    return "yes" if is_ready else "no"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
