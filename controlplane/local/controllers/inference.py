"""KServe's controller for Standard mode: an InferenceService in, Deployments and HTTPRoutes out.

Pure. Names, labels, annotations and the order of things are KServe's, so that everything that looks
at a Deployment in a cluster (ScaledObjects, dashboards, rollout drills) finds the same one here.
"""

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson

from controlplane.errors import ManifestError
from controlplane.kubernetes.kinds import KINDS
from controlplane.kubernetes.meta import Object, owner_reference
from controlplane.kubernetes.names import AUTOSCALER_CLASS, RESTARTED, SERVICE_LABEL, SOURCE
from controlplane.kubernetes.refusals import Invalid
from controlplane.local.api.schemas import schema_of, strategic, validation

Tree = Mapping[str, Any]

DOMAIN = "localhost"
"""Hosts are <service>-<namespace>.localhost, as KServe's domain template has them."""
GRPC = r"^/inference\.GRPCInferenceService/.*$"
_CONTAINER = "kserve-container"
_NOT_THE_CONTAINERS = {
    *("modelFormat", "runtime", "protocolVersion", "storageUri", "storage", "runtimeVersion"),
    *("args", "name", "confidential"),
}

_NOT_PASSED_ON = {
    *("autoscaling.knative.dev/minScale", "autoscaling.knative.dev/maxScale", SOURCE),
    "kubectl.kubernetes.io/last-applied-configuration",
}
"""Annotations of an InferenceService that KServe keeps from its pods."""


def deployments(service: Object, runtimes: Mapping[str, Object]) -> list[Object]:
    """The Deployments of an InferenceService, canaries first, without their replicas.

    Raises:
        ManifestError: A predictor names no runtime that is there, or asks for what a laptop cannot
            do. Then nothing of the InferenceService changes, as in KServe.
    """
    found = [_deployment(service, predictor, runtimes) for predictor in predictors(service)]
    for deployment in found:
        if reason := _refusal(orjson.dumps(deployment)):
            raise ManifestError(f"asks for a Deployment that is refused: {reason}")
    return found


def predictors(service: Object) -> list[Tree]:
    """The PredictorSpecs: each canary's after the merge, stable's last."""
    stable = service["spec"]["predictor"]
    canaries = service["spec"].get("canary") or ()
    return [*(merged(stable, canary["predictor"]) for canary in canaries), stable]


def merged(stable: Any, canary: Any) -> Any:
    """KServe's merge of a canary over stable: set fields win, lists are replaced whole."""
    if isinstance(stable, Mapping) and isinstance(canary, Mapping):
        return {**stable, **{key: merged(stable.get(key), canary[key]) for key in canary}}
    return stable if canary in (None, "", 0, [], {}) and stable is not None else canary


def deployment_name(service: Object, predictor: Tree) -> str:
    """The Deployment's name as KServe builds it: iris-predictor, iris-canary-predictor."""
    middle = f"-{predictor['name']}" if predictor.get("name") else ""
    return f"{service['metadata']['name']}{middle}-predictor"


def keep_restart(old: Object, wanted: Object) -> None:
    """Leave in a Deployment that is to be written what `kubectl rollout restart` wrote into it."""
    before = old["spec"]["template"]["metadata"].get("annotations") or {}
    if RESTARTED in before:
        wanted["spec"]["template"]["metadata"]["annotations"][RESTARTED] = before[RESTARTED]


def replicas(service: Object, predictor: Tree, ready_canaries: int) -> int:
    """How many pods KServe starts a Deployment with; for class none, how many it keeps.

    Args:
        service: The InferenceService.
        predictor: Stable's, or a canary's after the merge.
        ready_canaries: Available pods of all canaries: stable gives way to them.
    """
    kind = (service["metadata"].get("annotations") or {}).get(AUTOSCALER_CLASS, "hpa")
    if kind == "external":
        return 1  # KServe leaves the number alone, and a Deployment's default is 1
    stable: int = service["spec"]["predictor"].get("minReplicas", 1)
    for canary in service["spec"].get("canary") or ():
        if canary["predictor"]["name"] == predictor.get("name"):
            own: int | None = canary["predictor"].get("minReplicas")
            share = math.ceil(stable * canary["trafficPercent"] / 100)
            return share if own is None else own
    return max(stable - ready_canaries, 1)


def is_kept_by_kserve(service: Object) -> bool:
    """Whether KServe writes the Deployment's replicas again and again: class none only."""
    annotations = service["metadata"].get("annotations") or {}
    return bool(annotations.get(AUTOSCALER_CLASS) == "none")


def routes(service: Object, available: Mapping[str, int]) -> list[Object]:
    """The two HTTPRoutes of an InferenceService.

    Weights follow readiness: each canary with an available pod has its percentage, stable the rest.

    Args:
        service: The InferenceService.
        available: Deployment → available pods.
    """
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    stable = deployment_name(service, service["spec"]["predictor"])
    shares = {
        backend: canary["trafficPercent"]
        for canary in service["spec"].get("canary") or ()
        if available.get(backend := deployment_name(service, canary["predictor"]), 0) > 0
    }
    weights = {stable: 100 - sum(shares.values()) if shares else 1, **shares}
    seconds = service["spec"]["predictor"].get("timeout", 60)
    rules = [
        _rule(service, GRPC, 8081, weights, seconds),
        _rule(service, "^/.*$", 80, weights, seconds),
    ]
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": _metadata(service, route),
            "spec": {
                "parentRefs": [
                    {
                        "group": "gateway.networking.k8s.io",
                        "kind": "Gateway",
                        "name": "kserve-ingress-gateway",
                        "namespace": "kserve",
                    }
                ],
                "hostnames": [f"{route}-{namespace}.{DOMAIN}"],
                "rules": rules,
            },
        }
        for route in (name, f"{name}-predictor")
    ]


def _deployment(service: Object, predictor: Tree, runtimes: Mapping[str, Object]) -> Object:
    name = deployment_name(service, predictor)
    template = _template(service, predictor, runtimes, name)
    strategy = predictor.get("deploymentStrategy") or {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    metadata = _metadata(service, name)
    metadata["labels"] = dict(template["metadata"]["labels"])
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": {"app": f"isvc.{name}"}},
            "template": template,
            "strategy": strategy,
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
        },
    }


def _template(
    service: Object, predictor: Tree, runtimes: Mapping[str, Object], name: str
) -> Object:
    model = predictor.get("model")
    if model is None:
        raise ManifestError("has a predictor without `model`; custom containers are not served")
    if not model.get("runtime"):
        model = {**model, "runtime": _selected(model, runtimes)}
    runtime = runtimes.get(model["runtime"])
    if runtime is None or runtime["spec"].get("disabled"):
        there = ", ".join(sorted(runtimes)) or "none"
        raise ManifestError(
            f"names the ServingRuntime {model['runtime']}, which is not there; there are: {there}"
        )
    spec = runtime["spec"]
    base = next((one for one in spec["containers"] if one["name"] == _CONTAINER), None)
    if base is None:
        raise ManifestError(f"names {model['runtime']}, which has no container {_CONTAINER}")
    own = {key: value for key, value in _filled_in(model) if key not in _NOT_THE_CONTAINERS}
    schema = schema_of(_POD)["properties"]["spec"]
    container = strategic.merged(schema["properties"]["containers"]["items"], base, own)
    container["args"] = [*base.get("args", ()), *model.get("args", ())]
    of_pods = schema["properties"].keys() - {"containers", "initContainers", "ephemeralContainers"}
    pod = strategic.merged(
        schema,
        {key: value for key, value in spec.items() if key in of_pods},
        {key: value for key, value in _filled_in(predictor) if key in of_pods},
    )
    annotations = service["metadata"].get("annotations") or {}
    return {
        "metadata": {
            "labels": {
                **(service["metadata"].get("labels") or {}),
                **(spec.get("labels") or {}),
                **(predictor.get("labels") or {}),
                "app": f"isvc.{name}",
                "component": "predictor",
                SERVICE_LABEL: service["metadata"]["name"],
            },
            "annotations": {
                **{key: value for key, value in annotations.items() if key not in _NOT_PASSED_ON},
                **(spec.get("annotations") or {}),
                **(predictor.get("annotations") or {}),
                SOURCE: model.get("storageUri", "").rstrip("/"),
            },
        },
        "spec": {
            "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 30,
            **_filled(pod, service),
            "restartPolicy": "Always",
            "containers": [_filled(container, service)],
        },
    }


def _filled_in(fields: Tree) -> Iterator[tuple[str, Any]]:
    """What says something. Go writes no empty text or list, so KServe merges none."""
    return ((name, value) for name, value in fields.items() if value not in ("", [], {}))


def _selected(model: Tree, runtimes: Mapping[str, Object]) -> str:
    """The runtime that KServe picks for a model's format, by name where several would do.

    Raises:
        ManifestError: None serves the format.
    """
    wanted = (model.get("modelFormat") or {}).get("name")
    offered = [
        (one["name"], name)
        for name, runtime in sorted(runtimes.items())
        if not runtime["spec"].get("disabled")
        for one in runtime["spec"].get("supportedModelFormats") or ()
        if one.get("autoSelect")
    ]
    for form, name in offered:
        if form == wanted:
            return name
    formats = ", ".join(sorted({form for form, _ in offered})) or "none"
    raise ManifestError(
        f"names no runtime, and none here serves modelFormat {wanted} by itself (these do: "
        f"{formats}): ./serin publish NAME FILE converts a scikit-learn model to onnx"
    )


@lru_cache(maxsize=256)
def _refusal(deployment: bytes) -> str:
    """Why the API server would refuse it, in its words; empty where it would not.

    KServe's webhook lets it through, and then tells of it. A refusal is kept as well: the
    controllers ask in every step, and checking costs hundreds of times what the rest does.
    """
    try:
        validation.check(_DEPLOYMENT, orjson.loads(deployment))
    except Invalid as error:
        return str(error)
    return ""


def _metadata(service: Object, name: str) -> Object:
    own = service["metadata"]
    return {
        "name": name,
        "namespace": own["namespace"],
        "labels": {**(own.get("labels") or {}), SERVICE_LABEL: own["name"]},
        "ownerReferences": [owner_reference(service)],
    }


def _rule(service: Object, path: str, port: int, weights: Mapping[str, int], seconds: int) -> Tree:
    match: dict[str, Any] = {"path": {"type": "RegularExpression", "value": path}}
    if path == GRPC:
        match["headers"] = [
            {"name": "content-type", "type": "RegularExpression", "value": "^application/grpc.*"}
        ]
    namespace = service["metadata"]["namespace"]
    return {
        "matches": [match],
        "backendRefs": [
            {
                "group": "",
                "kind": "Service",
                "name": backend,
                "namespace": namespace,
                "port": port,
                "weight": weight,
            }
            for backend, weight in weights.items()
        ],
        "timeouts": {"request": f"{seconds}s"},
    }


def _filled(tree: Any, service: Object) -> Any:
    if isinstance(tree, Mapping):
        return {key: _filled(value, service) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, service) for value in tree]
    if not isinstance(tree, str):
        return tree
    return re.sub(
        r"{{\s*\.(Name|Namespace|Labels\.([\w./-]+)|Annotations\.([\w./-]+))\s*}}",
        lambda found: _field(found, service["metadata"]),
        tree,
    )


def _field(found: re.Match[str], metadata: Tree) -> str:
    for group, where in ((2, "labels"), (3, "annotations")):
        if key := found[group]:
            values = metadata.get(where) or {}
            if key not in values:
                raise ManifestError(f"has no {where} {key}, which its runtime asks for")
            return str(values[key])
    return str(metadata["namespace" if found[1] == "Namespace" else "name"])


_POD, _DEPLOYMENT = (kind for kind in KINDS if kind.name in {"Pod", "Deployment"})
