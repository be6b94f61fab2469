"""An InferenceService's status as KServe ≥ 0.21 writes it in Standard mode. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from controlplane.kubernetes.conditions import condition, is_true, timed
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.names import source
from controlplane.local.controllers.inference import DOMAIN, deployment_name
from controlplane.local.controllers.plan import template_hash
from controlplane.local.controllers.report import PodReport, failed_start

FAILED_LOAD = "ModelLoadFailed"


def status(
    service: Object,
    deployments: Mapping[str, Object],
    pods: Sequence[PodReport],
    failure: str,
    refused: str,
    port: int,
    now: str,
) -> Object:
    """What an InferenceService's status is.

    Args:
        service: The InferenceService.
        deployments: Its Deployments by name, with their status.
        pods: Its pods.
        failure: Why its spec cannot be carried out, or empty. What served goes on serving.
        refused: Why the gateway does not take its routes, or empty.
        port: The gateway's.
        now: metav1.Time.
    """
    metadata = service["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    stable_name = deployment_name(service, service["spec"]["predictor"])
    stable = deployments.get(stable_name)
    canaries = [_canary(canary, service, deployments) for canary in _canaries(service)]
    available = is_true((stable or {}).get("status"), "Available")
    broken = failure or _broken(stable, pods)
    served = available or any(canary["ready"] for canary in canaries)
    conditions = [
        _ingress_condition(served=served, refused=refused),
        _predictor_condition(available=available, broken=broken, failure=failure),
    ]
    if canaries:
        ready = all(canary["ready"] for canary in canaries)
        reason = "AllCanariesReady" if ready else "CanariesNotReady"
        why = next(
            filter(None, (_broken(d, pods) for d in deployments.values() if d != stable)),
            "a canary is not ready yet",
        )
        conditions.append(
            condition("CanaryPredictorReady", reason, "" if ready else why, true=ready)
        )
    ready = available and served and not refused
    why = "" if ready else refused or broken or "the predictor is not ready yet"
    conditions.append(condition("Ready", "" if ready else "PredictorNotReady", why, true=ready))
    conditions.sort(key=lambda one: str(one["type"]))
    found: Object = {
        "observedGeneration": metadata["generation"],
        "deploymentMode": "Standard",
        "conditions": timed(conditions, (service.get("status") or {}).get("conditions"), now),
        "components": {"predictor": {"url": _url(f"{name}-predictor", namespace, port)}},
        "modelStatus": _model_status(stable, available=available, broken=broken, failure=failure),
    }
    if served:
        found["url"] = _url(name, namespace, port)
        found["address"] = {"url": found["components"]["predictor"]["url"]}
    if canaries:
        found["canaryStatuses"] = canaries
    return found


def happened(name: str, before: Object, after: Object) -> Iterator[tuple[str, str, str]]:
    """The Events between two statuses: their type, reason and message.

    A canary's share is what it gets: its trafficPercent while it is ready.

    Args:
        name: The InferenceService's.
        before: Its status until now; empty where it had none.
        after: Its status from now on.
    """
    was, ready = is_true(before, "Ready"), is_true(after, "Ready")
    if ready and not was:
        yield "Normal", "InferenceServiceReady", f"InferenceService [{name}] is Ready"
    elif was and not ready:
        said = f"InferenceService [{name}] is no longer Ready"
        yield "Warning", "InferenceServiceNotReady", said
    broken = after["modelStatus"].get("lastFailureInfo")
    if broken and broken != (before.get("modelStatus") or {}).get("lastFailureInfo"):
        yield "Warning", broken["reason"], broken["message"]
    old, new = _by_name(before), _by_name(after)
    for canary in {**old, **new}:
        was, ready = old.get(canary, _NONE)["ready"], new.get(canary, _NONE)["ready"]
        if ready and not was:
            yield "Normal", "CanaryReady", f"Canary [{canary}] is ready"
        elif was and canary in new and not ready:
            yield "Warning", "CanaryNotReady", f"Canary [{canary}] is no longer ready"
    shares = {canary: (_share(old, canary), _share(new, canary)) for canary in {**old, **new}}
    if any(had != has for had, has in shares.values()):
        told = [f"canary [{canary}] {had} → {has} %" for canary, (had, has) in shares.items()]
        had, has = (100 - sum(side) for side in zip(*shares.values(), strict=True))
        yield "Normal", "TrafficChanged", f"Requests: {', '.join(told)}, stable {had} → {has} %"


_NONE = {"ready": False, "trafficPercent": 0}


def _by_name(status: Object) -> dict[str, Object]:
    return {canary["name"]: canary for canary in status.get("canaryStatuses") or ()}


def _share(canaries: Mapping[str, Object], name: str) -> int:
    canary = canaries.get(name, _NONE)
    return int(canary["trafficPercent"]) if canary["ready"] else 0


def _ingress_condition(*, served: bool, refused: str) -> Object:
    if refused:
        return condition("IngressReady", "HTTPRouteNotAccepted", refused, true=False)
    return condition("IngressReady", "" if served else "NoBackendReady", true=served)


def _predictor_condition(*, available: bool, broken: str, failure: str) -> Object:
    reason = ("InvalidSpec" if failure else FAILED_LOAD) if broken else ""
    if available:
        # As in a cluster: available replicas of an older version keep it True. What is wrong with
        # the newer one is said beside it.
        return condition("PredictorReady", reason, broken, true=True)
    reason = reason or "MinimumReplicasUnavailable"
    why = broken or "the predictor is not ready yet"
    return condition("PredictorReady", reason, why, true=False)


def _model_status(stable: Object | None, *, available: bool, broken: str, failure: str) -> Object:
    status = (stable or {}).get("status") or {}
    done = any(
        one["type"] == "Progressing" and one.get("reason") == "NewReplicaSetAvailable"
        for one in status.get("conditions") or ()
    )
    if failure:
        transition = "InvalidSpec"
    elif broken:
        transition = "BlockedByFailedLoad"
    else:
        transition = "UpToDate" if done else "InProgress"
    target = "Loaded" if done else "FailedToLoad" if broken else "Loading"
    found: Object = {
        "transitionStatus": transition,
        "states": {
            "activeModelState": "Loaded" if available else "",
            "targetModelState": target,
        },
        "copies": {
            "failedCopies": 0,
            "totalCopies": status.get("replicas", 0),
        },
    }
    if broken:
        reason = "InvalidPredictorSpec" if failure else FAILED_LOAD
        found["lastFailureInfo"] = {"reason": reason, "message": broken}
    return found


def _broken(deployment: Object | None, pods: Sequence[PodReport]) -> str:
    """Why a Deployment's template does not start, and what serves instead; empty where it does."""
    if deployment is None:
        return ""
    own = (pod for pod in pods if pod.deployment == deployment["metadata"]["name"])
    version = source(deployment).rsplit("/", 1)[-1]
    return failed_start(version, own, template_hash(deployment["spec"]["template"]))


def _canaries(service: Object) -> Sequence[Object]:
    found: Sequence[Object] = service["spec"].get("canary") or ()
    return found


def _canary(canary: Object, service: Object, deployments: Mapping[str, Object]) -> Object:
    deployment = deployments.get(deployment_name(service, canary["predictor"]))
    return {
        "name": canary["predictor"]["name"],
        "ready": _available(deployment) > 0,
        "trafficPercent": canary["trafficPercent"],
    }


def _available(deployment: Object | None) -> int:
    return int(((deployment or {}).get("status") or {}).get("availableReplicas", 0))


def _url(name: str, namespace: str, port: int) -> str:
    return f"http://{name}-{namespace}.{DOMAIN}:{port}"
