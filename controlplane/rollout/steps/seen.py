"""What the cluster is like now, as far as a rollout cares; read from its objects. Pure."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.kubernetes.names import SOURCE

CANARY = "canary"
"""The canary predictor's name: its Deployment is <model>-canary-predictor, and so is its
ScaledObject."""
HEADER = "serin-shadow"
"""Set on a mirrored request and its copy: <rollout>/<the canary's version>. Predictors that get it
log what they answer (predictors/runtime/dataplane/shadow.py)."""
PARKED = "/serin-shadow-parked"
"""Before the paths of a mirror's HTTPRoute: nobody asks for these, so nothing is mirrored."""
SINCE = "rollout.serin/since"
"""The mirror's annotation: Unix time of its last change."""
MIRROR_SECONDS = 5.0
"""After the HTTPRoute's controller accepted a change, until every gateway acts by it."""
SILENT_SECONDS = 30.0
"""How long a controller may say nothing of a change; then it is taken for one that never does."""
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment and what scales it."""

    uri: str = ""
    """What its pods are to serve; empty where it is not there."""
    wanted: int = 0
    available: int = 0
    rolled: bool = False
    """Every pod is of the newest template, and available."""
    failed: str = ""
    """Why it does not get there; empty while it may."""
    scaled_by: str = ""
    """Its ScaledObject."""
    least: int = 0
    """The ScaledObject's minReplicaCount."""
    most: int = 0
    """The ScaledObject's maxReplicaCount."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """The HTTPRoute that mirrors."""

    mark: str
    """Of the requests that it copies; empty for none."""
    copies: bool = True
    """Whether it has the paths that users ask for."""
    since: float = 0.0
    """Unix time of its last change."""
    accepted: bool = True
    """Whether the gateway's controller knows that change, or tells nobody what it knows."""
    refused: str = ""
    """Why the gateway does not take it; empty where it may."""

    def is_settled(self, now: float) -> bool:
        """Whether every gateway acts by the last change."""
        known = self.accepted or self.refused
        return now - self.since >= (MIRROR_SECONDS if known else SILENT_SECONDS)


@dataclass(frozen=True, slots=True)
class Seen:
    """One look."""

    stable_uri: str
    canary_uri: str
    """Of spec.canary; empty where there is none."""
    percent: int
    """Of spec.canary."""
    spec: str
    """A digest of the rest of the spec."""
    routed: int | None
    """The canary's share in the HTTPRoute, in percent; None where it is not there."""
    mirror: Mirror | None = None
    """A rollout's own; None where there is none."""
    stable: Workload = Workload()
    canary: Workload = Workload()
    external: bool = True
    """Replicas are left to ScaledObjects, or to whoever sets them: autoscalerClass external."""
    others: bool = False
    """spec.canary has other entries than ours."""


def deployment_name(model: str, *, canary: bool) -> str:
    """As KServe names it."""
    return f"{model}-{CANARY}-predictor" if canary else f"{model}-predictor"


def read(
    service: Object,
    route: Object | None,
    deployments: Sequence[Object],
    scaled: Sequence[Object],
    mirror: Object | None = None,
) -> Seen:
    """Read the objects of one InferenceService.

    Args:
        service: The InferenceService.
        route: Its HTTPRoute.
        deployments: Of its namespace.
        scaled: The namespace's ScaledObjects.
        mirror: The HTTPRoute of a rollout that mirrors.
    """
    model, spec = service["metadata"]["name"], service["spec"]
    annotations = service["metadata"].get("annotations") or {}
    entries = spec.get("canary") or []
    ours = [one for one in entries if one["predictor"].get("name") == CANARY]
    stable, canary = (
        _workload(deployment_name(model, canary=which), deployments, scaled)
        for which in (False, True)
    )
    return Seen(
        stable_uri=spec["predictor"].get("model", {}).get("storageUri", ""),
        canary_uri=ours[0]["predictor"].get("model", {}).get("storageUri", "") if ours else "",
        percent=ours[0]["trafficPercent"] if ours else 0,
        spec=digest(spec),
        routed=None if route is None else _share(route, deployment_name(model, canary=True)),
        mirror=None if mirror is None else _mirror(mirror),
        stable=stable,
        canary=canary,
        external=annotations.get("serving.kserve.io/autoscalerClass") == "external",
        others=len(entries) > len(ours[:1]),
    )


def digest(spec: Object) -> str:
    """A hash of all of a spec but the canary and the version served."""
    predictor = spec["predictor"]
    model = {key: value for key, value in predictor.get("model", {}).items() if key != "storageUri"}
    rest = {key: value for key, value in spec.items() if key != "canary"}
    rest["predictor"] = {**predictor, "model": model}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:12]


def _share(route: Object, canary: str) -> int | None:
    """The canary's percentage; None while the gateway has not accepted the route as it is."""
    if not _accepted(route):
        return None
    shares = set()
    for rule in route["spec"]["rules"]:
        weights = {one["name"]: one.get("weight", 1) for one in rule["backendRefs"]}
        shares.add(round(100 * weights.get(canary, 0) / max(sum(weights.values()), 1)))
    return shares.pop() if len(shares) == 1 else None


def _accepted(route: Object) -> bool:
    """Whether the gateway has accepted a route as it is; one that tells nothing has."""
    generation = route["metadata"].get("generation")
    return all(
        one["status"] == "True" and one.get("observedGeneration", generation) == generation
        for one in _conditions(route)
        if one["type"] == "Accepted"
    )


def _conditions(route: Object) -> Iterator[Object]:
    for parent in (route.get("status") or {}).get("parents") or ():
        yield from parent.get("conditions") or ()


def _mirror(route: Object) -> Mirror:
    paths = [rule["matches"][0]["path"]["value"] for rule in route["spec"]["rules"]]
    since = (route["metadata"].get("annotations") or {}).get(SINCE, "")
    return Mirror(
        mark=_mark(route),
        copies=not all(path.startswith(PARKED) for path in paths),
        since=float(since) if re.fullmatch(r"\d+(\.\d+)?", since) else 0.0,
        accepted=_accepted(route),
        refused=_refused(route),
    )


def _mark(mirror: Object) -> str:
    """What the mirrored requests are marked with; empty for none."""
    for one in mirror["spec"]["rules"][0].get("filters") or ():
        for field in one.get("requestHeaderModifier", {}).get("set", ()):
            if field["name"] == HEADER:
                return str(field["value"])
    return ""


def _refused(mirror: Object) -> str:
    for one in _conditions(mirror):
        if one["type"] in {"Accepted", "ResolvedRefs"} and one["status"] == "False":
            return str(one.get("message") or one.get("reason") or one["type"])
    return ""


def _workload(name: str, deployments: Sequence[Object], scaled: Sequence[Object]) -> Workload:
    staying = (one for one in scaled if "deletionTimestamp" not in one["metadata"])
    by = next((one for one in staying if one["spec"]["scaleTargetRef"]["name"] == name), None)
    bounds: dict[str, Any] = {}
    if by:
        bounds = {
            "scaled_by": by["metadata"]["name"],
            "least": by["spec"].get("minReplicaCount", 0),
            "most": by["spec"].get("maxReplicaCount", 100),
        }
    found = next((one for one in deployments if one["metadata"]["name"] == name), None)
    if found is None:
        return Workload(**bounds)
    spec, status = found["spec"], found.get("status") or {}
    wanted = spec.get("replicas", 1)
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    observed = status.get("observedGeneration", 0) >= found["metadata"].get("generation", 0)
    failed = next(
        (
            one.get("message") or one.get("reason", "it does not start")
            for one in status.get("conditions") or ()
            if one["type"] == "Progressing" and one["status"] == "False"
        ),
        "",
    )
    return Workload(
        uri=_source(found),
        wanted=wanted,
        available=counts[2],
        rolled=observed and counts == [wanted] * 3,
        failed=failed if observed else "",
        **bounds,
    )


def _source(deployment: Object) -> str:
    metadata = deployment["spec"]["template"].get("metadata") or {}
    return str((metadata.get("annotations") or {}).get(SOURCE, ""))
