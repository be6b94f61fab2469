"""Channels: what each stands for now, how its replicas follow, and every commit."""

import asyncio
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from controlplane.console.pages import services, words
from controlplane.console.sources.answer import MALFORMED, Answer, answered, each
from controlplane.console.sources.bundle import Sources
from controlplane.console.sources.cluster import Object
from controlplane.console.sources.registry import Followed
from controlplane.kubernetes.conditions import is_true
from controlplane.store.channels import DEFAULT, Document, follows, parsed

CHANNELS = 50
ENTRIES = 20


@dataclass(frozen=True, slots=True)
class Replica:
    """A pod that follows."""

    name: str
    state: str
    generation: str
    version: str
    kept: str
    late: str
    """After the instant of the switch."""
    trouble: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A version that the channel stood for."""

    generation: int
    version: str
    at: datetime | None
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel."""

    uri: str
    services: tuple[str, ...]
    """The InferenceServices that follow it."""
    error: str = ""
    generation: int = 0
    version: str = ""
    previous: str = ""
    mode: str = ""
    coming: str = ""
    """The version that is being prepared; empty: none."""
    at: datetime | None = None
    by: str = ""
    why: str = ""
    window: str = ""
    """From the first replica's last switch to the last one's."""
    replicas: tuple[Replica, ...] = ()
    history: tuple[Commit, ...] = ()
    line: str = ""
    back: str = ""
    """The command lines that set it, and that go back."""
    refused: str = ""
    """The version that was proposed last and not committed, and why."""
    model: str = ""
    versions: tuple[str, ...] = ()
    """What it could stand for instead, the newest first."""


async def page(sources: Sources, command: str) -> Answer[list[Channel]]:
    """Every channel that an InferenceService follows."""
    objects, pods = await asyncio.gather(
        answered(sources.cluster.list("inferenceservices"), []),
        answered(sources.cluster.list("pods"), []),
    )
    followers: dict[str, list[str]] = {}
    for service in objects.value:
        uri = _uri(service)
        if parsed(uri):
            followers.setdefault(uri, []).append(services.name_of(service))
    channels = await asyncio.gather(
        *(
            _channel(sources, uri, tuple(names), pods.value, command)
            for uri, names in sorted(followers.items())[:CHANNELS]
        )
    )
    return Answer(channels, objects.error or pods.error)


def _uri(service: Object) -> str:
    try:
        return str(service["spec"]["predictor"]["model"]["storageUri"])
    except MALFORMED:
        return ""


async def _channel(
    sources: Sources, uri: str, names: tuple[str, ...], pods: Iterable[Object], command: str
) -> Channel:
    bucket, model, name = parsed(uri) or ("", "", "")
    read = await answered(sources.registry.channel(model, name, bucket), None)
    head = Channel(words.short(uri, 200), names, read.error)
    if read.value is None:
        return head
    (channel,) = each(
        [read.value],
        lambda followed: _read(followed, head, [pod for pod in pods if _follows(pod, uri)]),
        lambda _: Channel(head.uri, names, "The channel's state has an unexpected form."),
    )
    published = await answered(sources.registry.versions(), [])
    others = (entry.version for entry in published.value if entry.model == model)
    return replace(
        channel,
        model=model,
        versions=tuple(version for version in others if version != channel.version)[:ENTRIES],
        line=line(command, "set", model, name, "VERSION"),
        back=line(command, "rollback", model, name),
    )


def line(command: str, word: str, model: str, name: str, *more: str) -> str:
    """The command line of an action on a channel."""
    option = [] if name == DEFAULT else ["--channel", name]
    return shlex.join([command, "channel", word, model, *more, *option])


def _read(followed: Followed, head: Channel, pods: Iterable[Object]) -> Channel:
    state, late = followed.state, []
    replicas = []
    for pod in pods:
        name = services.name_of(pod)
        report = followed.reports.get(name)
        ready = "Ready" if is_true(pod.get("status"), "Ready") else "Starting"
        if report is None:
            replicas.append(Replica(name, ready, "–", "–", "–", "–", "no report yet"))
            continue
        if report["generation"] == state["generation"]:
            late.append(float(report["switched_late_seconds"]))
        replicas.append(_replica(name, ready, report, state["generation"]))
    coming, refused = state["next"] or {}, state.get("refused")
    return Channel(
        uri=head.uri,
        services=head.services,
        generation=int(state["generation"]),
        version=words.short(state["version"], 64),
        previous=words.short(state["previous"], 64),
        mode=words.short(state["mode"], 40),
        coming=words.short(coming.get("version", ""), 64),
        refused=words.short(f"{refused['version']}: {refused['why']}", 600) if refused else "",
        at=words.instant(state["activate_at"]),
        by=words.short(state["by"], 60),
        why=words.short(state["why"], 300),
        window=words.latency(max(late) - min(late)) if len(late) > 1 else "",
        replicas=tuple(replicas),
        history=tuple(_commit(entry) for entry in followed.history[:ENTRIES]),
    )


def _replica(name: str, ready: str, report: Document, generation: int) -> Replica:
    said = report["trouble"] or "; ".join(str(reason) for reason in report["failures"].values())
    behind = report["generation"] != generation
    return Replica(
        name=name,
        state="Behind" if behind and ready == "Ready" else ready,
        generation=str(report["generation"]),
        version=words.short(report["version"], 64),
        kept=words.short(report["kept"], 64) or words.DASH,
        late=f"{1000 * report['switched_late_seconds']:.1f} ms",
        trouble=words.short(said, 300),
    )


def _commit(entry: Document) -> Commit:
    return Commit(
        int(entry["generation"]),
        words.short(entry["version"], 64),
        words.instant(entry["at"]),
        words.short(entry["by"], 60),
        words.short(entry["why"], 300),
    )


def _follows(pod: Object, uri: str) -> bool:
    try:
        return follows(pod, uri)
    except MALFORMED:
        return False
