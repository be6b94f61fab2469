"""An InferenceService as people ask after it: what serves, in which version, and if not, why."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.console.pages.words import DASH, short, version_of
from controlplane.console.sources.answer import MALFORMED
from controlplane.console.sources.cluster import Object
from controlplane.kubernetes.conditions import is_true
from controlplane.kubernetes.names import SERVICE_LABEL, SOURCE

NAME = 120
REASON = 400
_FAILED = {"BlockedByFailedLoad", "InvalidSpec"}
_WAITING = {"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"}


@dataclass(frozen=True, slots=True)
class Part:
    """What answers a share of a model's requests: the stable version, or a canary."""

    deployment: str
    role: str
    """stable, or canary."""
    version: str
    """That serves."""
    target: str
    """That is to serve; the same, unless it is being rolled."""
    percent: int | None
    ready: int
    replicas: int
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Service:
    """One model."""

    name: str
    state: str
    """Ready, Starting, Failed or Unreadable."""
    reason: str
    parts: tuple[Part, ...] = ()
    uri: str = ""


def unreadable(document: Object) -> Service:
    """The row of an object that is not of its kind's form."""
    return Service(
        short(name_of(document) or "?", NAME),
        "Unreadable",
        "The object does not have an InferenceService's form.",
    )


def service(document: Object, deployments: Iterable[Object], pods: Iterable[Object]) -> Service:
    """A model from its object and what belongs to it."""
    name = str(document["metadata"]["name"])
    spec, status = document["spec"], document.get("status") or {}
    owned = [pod for pod in pods if name_of(pod) and label(pod, SERVICE_LABEL) == name]
    named = {name_of(entry): entry for entry in deployments}
    canaries = [entry for entry in spec.get("canary") or () if isinstance(entry, dict)]
    split = [max(0, min(100, int(entry.get("trafficPercent") or 0))) for entry in canaries]
    asked = [("stable", f"{name}-predictor", spec["predictor"], 100 - min(sum(split), 100))]
    asked += [
        ("canary", f"{name}-{entry['predictor']['name']}-predictor", entry["predictor"], percent)
        for entry, percent in zip(canaries, split, strict=True)
    ]
    parts = tuple(
        _part(role, deployment, predictor, percent, named.get(deployment), owned)
        for role, deployment, predictor, percent in asked
    )
    state, reason = _state(document, status, parts[0])
    uri = (spec["predictor"].get("model") or {}).get("storageUri") or ""
    return Service(short(name, NAME), state, reason, parts, str(uri))


def name_of(document: Object) -> str:
    """An object's name; empty where it has none, and so is no object of Kubernetes'."""
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def is_owned(document: Object, uid: object) -> bool:
    """Whether an object belongs to the one of this uid."""
    try:
        owners = document["metadata"].get("ownerReferences") or ()
        return any(owner.get("uid") == uid for owner in owners)
    except MALFORMED:
        return False


def label(document: Object, name: str) -> str:
    """A label's value; empty where there is none."""
    try:
        return str((document["metadata"].get("labels") or {}).get(name, ""))
    except MALFORMED:
        return ""


def _part(
    role: str,
    deployment: str,
    predictor: Mapping[str, Any],
    percent: int,
    document: Object | None,
    pods: Iterable[Object],
) -> Part:
    target = version_of((predictor.get("model") or {}).get("storageUri"))
    own = [pod for pod in pods if str(pod["metadata"]["name"]).startswith(f"{deployment}-")]
    reason = why(own)
    if document is None:
        return Part(
            *(short(deployment, NAME), role, "", target, percent, 0, 0, "Starting"),
            reason or "its Deployment is yet to be made",
        )
    status = document.get("status") or {}
    ready = int(status.get("readyReplicas") or 0)
    replicas = int(document["spec"].get("replicas") or 0)
    annotations = document["spec"]["template"]["metadata"].get("annotations") or {}
    template = version_of(annotations.get(SOURCE))
    serving = sorted(
        {version_of(_source(pod)) for pod in own if is_true(pod.get("status"), "Ready")} - {""},
        key=lambda version: version == template,
    )
    version = serving[0] if serving else ""
    rolled = template == target or not target
    if ready >= replicas and rolled and int(status.get("updatedReplicas") or 0) >= replicas:
        state = "Ready" if replicas else "Asleep"
    else:
        state = "Failed" if any(_stuck(pod) for pod in own) else "Starting"
    return Part(
        *(short(deployment, NAME), role, version, target or template, percent, ready, replicas),
        state,
        "" if state == "Ready" else reason,
    )


def _state(document: Object, status: Mapping[str, Any], stable: Part) -> tuple[str, str]:
    conditions = {
        entry["type"]: entry for entry in status.get("conditions") or () if isinstance(entry, dict)
    }
    ready = (conditions.get("Ready") or {}).get("status") == "True"
    current = int(status.get("observedGeneration") or 0) >= int(
        document["metadata"].get("generation") or 0
    )
    if ready and current and stable.state in {"Ready", "Asleep"}:
        return (
            stable.state,
            "scaled to zero; a request wakes it" if stable.state == "Asleep" else "",
        )
    said = [
        entry.get("message") or entry.get("reason")
        for entry in conditions.values()
        if entry.get("status") == "False"
    ]
    model = status.get("modelStatus") or {}
    failure = (model.get("lastFailureInfo") or {}).get("message")
    reason = next((text for text in (stable.reason, failure, *said) if text), "")
    failed = model.get("transitionStatus") in _FAILED or stable.state == "Failed"
    return ("Failed" if failed else "Starting"), short(str(reason), REASON)


def why(pods: Iterable[Object]) -> str:
    """What the newest pods that are not ready say of themselves."""
    for pod in sorted(pods, key=_made, reverse=True):
        if is_true(pod.get("status"), "Ready"):
            continue
        for container in _containers(pod):
            state = container.get("state") or {}
            waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
            last = (container.get("lastState") or {}).get("terminated") or {}
            words = [waiting.get("reason"), waiting.get("message")]
            if not any(words) and ended.get("exitCode"):
                words = [ended.get("reason"), ended.get("message")]
            if last.get("message") and "CrashLoopBackOff" in words:
                words = [last["message"]]
            if said := ": ".join(str(word) for word in words if word):
                return short(said, REASON)
    return ""


def _containers(pod: Object) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]


def _stuck(pod: Object) -> bool:
    return any(
        ((container.get("state") or {}).get("waiting") or {}).get("reason") in _WAITING
        for container in _containers(pod)
    )


def _source(pod: Object) -> object:
    return (pod["metadata"].get("annotations") or {}).get(SOURCE)


def _made(pod: Object) -> str:
    return str(pod["metadata"].get("creationTimestamp") or "")


@dataclass(frozen=True, slots=True)
class Pod:
    """One replica."""

    name: str
    role: str
    version: str
    phase: str
    ready: bool
    restarts: int
    made: str
    """A Kubernetes time."""
    reason: str
    container: str
    """Whose log is the model's."""


def pod(document: Object, canaries: Collection[str] = ()) -> Pod:
    """A replica from its object.

    Args:
        document: The Pod.
        canaries: Deployments of canaries.
    """
    name = str(document["metadata"]["name"])
    statuses = (document.get("status") or {}).get("containerStatuses") or ()
    containers = document["spec"].get("containers") or ()
    deleted = document["metadata"].get("deletionTimestamp")
    phase = "Terminating" if deleted else (document.get("status") or {}).get("phase")
    return Pod(
        name=name,
        role="canary"
        if name.startswith(tuple(f"{deployment}-" for deployment in canaries))
        else "stable",
        version=version_of(_source(document)) or DASH,
        phase=short(str(phase or "Unknown"), 40),
        ready=is_true(document.get("status"), "Ready"),
        restarts=sum(int(status.get("restartCount") or 0) for status in statuses),
        made=_made(document),
        reason=why([document]),
        container=str(containers[0]["name"]) if containers else "",
    )


def unreadable_pod(document: Object) -> Pod:
    """The row of a pod that is not of its kind's form."""
    name = short(name_of(document) or "?", NAME)
    return Pod(
        name, DASH, DASH, "Unreadable", ready=False, restarts=0, made="", reason="", container=""
    )
