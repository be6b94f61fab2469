"""A channel's documents, as its writer makes them: propose, arm, commit, withdraw. Pure.

    s3://models/<model>/channels/<name>/state.json              what replicas follow
    s3://models/<model>/channels/<name>/history/<generation>.json   every commit, as it was written
    s3://models/<model>/channels/<name>/replicas/<pod>.json     what each replica says of itself

predictors/runtime/channel reads them. Times are Unix seconds.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from controlplane.errors import SerinError
from controlplane.kubernetes.names import SOURCE

Document = dict[str, Any]
FOLDER = "channels"
"""Beside a model's versions; never the name of one."""
UNTRAINED = "untrained"
"""Stands for a version in the overlays' versions.yaml until one is chosen."""
DEFAULT = "stable"
STRICT, AVAILABLE = "strict", "available"
LEASE_SECONDS = 2.0
"""How old an armed replica's knowledge may be, as predictors/runtime/channel/replica.py has it."""
LEAD_SECONDS = 2.5
"""From a commit to its instant: longer than the lease, by more than clocks differ."""
BACK_SECONDS = 0.5
"""The same for going back to a kept engine: some polls of a replica that is armed."""
_ARMED_SECONDS = 15.0
"""How long a writer may take from arming to the commit."""
_KEPT_MARGIN_SECONDS = 2.0
_VARIABLE = "PREDICTOR_CHANNEL"
_CHANNEL = re.compile(r"s3://([^/@]+)/([^/@]+)@([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)")


def parsed(uri: str) -> tuple[str, str, str] | None:
    """Bucket, model and name of s3://models/iris@stable; None of any other URI."""
    match = _CHANNEL.fullmatch(uri.rstrip("/"))
    return (match[1], match[2], match[3]) if match else None


def is_versioned(storage_uri: str) -> bool:
    """Whether a URI says what to serve: s3://models/iris/1f2e… and s3://models/iris@stable do.

    s3://models/iris does not, nor does s3://models/iris/untrained, which the overlays have until
    somebody chooses a version.
    """
    if parsed(storage_uri) is not None:
        return True
    parts = storage_uri.removeprefix("s3://").split("/")
    return len(parts) > 2 and parts[2:] != [UNTRAINED]


def follows(pod: Mapping[str, Any], uri: str) -> bool:
    """Whether a pod follows it: on the laptop by its storageUri, in a cluster by a variable."""
    if (pod["metadata"].get("annotations") or {}).get(SOURCE) == uri:
        return True
    return any(
        entry.get("name") == _VARIABLE and entry.get("value") == uri
        for container in pod["spec"].get("containers") or ()
        for entry in container.get("env") or ()
    )


def first(version: str, by: str, why: str, now: float, *, mode: str, keep: float) -> Document:
    """A new channel: its first generation is committed at once, since nobody serves another."""
    return {
        "generation": 1,
        "version": version,
        "previous": "",
        "activate_at": now,
        "at": now,
        "by": by,
        "why": why,
        "mode": mode,
        "keep_seconds": keep,
        "proposed": 1,
        "next": None,
    }


def proposed(
    document: Document,
    version: str,
    by: str,
    why: str,
    now: float,
    patience: float,
    shadow: int = 0,
) -> Document:
    """Ask replicas to prepare a version; none serves it until it is committed.

    With `shadow`, each compares that many of its answers with those of the version that serves.
    """
    number = max(document["generation"], document["proposed"]) + 1
    coming = {"generation": number, "version": version, "by": by, "why": why, "at": now}
    coming |= {"expires_at": now + patience, "arm": False, "shadow": shadow}
    return document | {"proposed": number, "next": coming}


def armed(document: Document, now: float) -> Document:
    """Say that what is proposed is about to be committed: who reads this must go on reading."""
    coming = document["next"]
    until = min(coming["expires_at"], now + _ARMED_SECONDS)
    return document | {"next": coming | {"arm": True, "expires_at": until}}


def committed(
    document: Document,
    now: float,
    *,
    mode: str | None = None,
    keep: float | None = None,
    lead: float = LEAD_SECONDS,
) -> Document:
    """Commit what was proposed and armed, to be served from `lead` seconds on.

    Raises:
        SerinError: Nothing is, or it has expired: some replicas have forgotten it.
    """
    coming = document["next"]
    if coming is None or not coming["arm"] or now + 1.0 > coming["expires_at"]:
        raise SerinError("The proposed generation has expired: nothing was committed.")
    return document | {
        "generation": coming["generation"],
        "version": coming["version"],
        "previous": document["version"],
        "activate_at": now + lead,
        "at": now,
        "by": coming["by"],
        "why": coming["why"],
        "mode": mode or document["mode"],
        "keep_seconds": document["keep_seconds"] if keep is None else keep,
        "next": None,
        "refused": None,
    }


def withdrawn(document: Document, why: str) -> Document:
    """Take a proposal back and say why; its number is never used again."""
    coming = document["next"]
    refused = {"generation": coming["generation"], "version": coming["version"], "why": why[:500]}
    return document | {"next": None, "refused": refused}


def mark(channel: str, document: Document) -> str:
    """What answers that are compared for the proposal are known by in replicas' logs."""
    coming = document["next"]
    return f"{channel}-{coming['generation']}/{coming['version']}"


def unprepared(
    document: Document, pods: Collection[str], reports: Mapping[str, Document]
) -> dict[str, str]:
    """Ready pods that are not prepared for what is proposed, or not armed, and what each says."""
    number = document["next"]["generation"]
    found = {}
    for pod in sorted(pods):
        report = reports.get(pod)
        if report is None:
            found[pod] = "has reported nothing"
        elif report["prepared"] != number:
            found[pod] = report["failures"].get(str(number)) or (
                "is preparing it" if report["seen"] >= number else "has not seen it"
            )
        elif document["next"]["arm"] and report["armed"] != number:
            found[pod] = "has not seen that it is about to be committed"
    return found


def refusals(document: Document, reports: Mapping[str, Document]) -> dict[str, str]:
    """Pods that cannot prepare what is proposed, and why: waiting would be in vain."""
    number = str(document["next"]["generation"])
    return {
        pod: report["failures"][number]
        for pod, report in reports.items()
        if number in report["failures"]
    }


def without_prepare(
    document: Document, pods: Collection[str], reports: Mapping[str, Document], now: float
) -> str:
    """Why the version before cannot be committed at once; empty where it can."""
    if not document["previous"]:
        return "there is no version before this one"
    left = document["activate_at"] + document["keep_seconds"] - now
    if left < _KEPT_MARGIN_SECONDS:
        return "its engine is kept no longer"
    if now < document["activate_at"]:
        return "the last commit is not served yet"
    for pod in sorted(pods):
        report = reports.get(pod)
        if report is None or report["kept"] != document["previous"]:
            return f"{pod} does not keep it"
        if report["generation"] != document["generation"]:
            return f"{pod} does not serve generation {document['generation']} yet"
    return ""
