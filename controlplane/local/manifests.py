"""The YAML that a cluster applies, as values this package plans with.

Reads the same files as `kubectl apply -k kserve` does, and knows as much of each kind as a laptop
can honour. What a cluster would do and a laptop cannot is refused with the field's name.
Pure apart from `read`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controlplane.errors import ManifestError

Tree = Mapping[str, Any]

AUTOSCALER_CLASS = "serving.kserve.io/autoscalerClass"
FOLDERS = ("kserve/runtimes", "kserve/services", "keda")


@dataclass(frozen=True, slots=True)
class Probe:
    """An httpGet probe with Kubernetes' defaults; durations in seconds."""

    path: str
    port: int
    period_seconds: float = 10
    timeout_seconds: float = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class Container:
    """The one container of a predictor pod."""

    command: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    http_port: int
    grpc_port: int | None
    readiness: Probe | None
    liveness: Probe | None


@dataclass(frozen=True, slots=True)
class ServingRuntime:
    """How a model format is served: the container, before KServe fills in the service's name."""

    name: str
    container: Tree
    grace_seconds: int = 30


@dataclass(frozen=True, slots=True)
class Predictor:
    """A PredictorSpec: stable's, or a canary's after KServe's merge."""

    runtime: str
    storage_uri: str
    name: str = ""
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    min_replicas: int | None = None
    timeout_seconds: int = 60
    """A request's time limit in seconds; 60 is the timeout KServe writes into its routes."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One entry of spec.canary: a predictor and its share of the requests in percent."""

    predictor: Predictor
    traffic_percent: int


@dataclass(frozen=True, slots=True)
class InferenceService:
    """A served model; its name is the model's name everywhere."""

    name: str
    namespace: str
    predictor: Predictor
    canaries: tuple[Canary, ...] = ()
    autoscaler_class: str = "hpa"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScaledObject:
    """How many replicas a Deployment may have."""

    name: str
    target: str
    min_replicas: int
    max_replicas: int


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything the manifests ask for, by name."""

    services: Mapping[str, InferenceService]
    runtimes: Mapping[str, ServingRuntime]
    scaled_objects: Mapping[str, ScaledObject]
    """By the Deployment they scale."""


def read(root: Path) -> Manifests:
    """Read every manifest of the folders that hold services, runtimes and scaling rules."""
    return parse(_documents(root))


def parse(documents: Iterable[tuple[str, Any]]) -> Manifests:
    """Turn (source, document) pairs into values; kinds that need a cluster are left out."""
    services: dict[str, InferenceService] = {}
    runtimes: dict[str, ServingRuntime] = {}
    scaled_objects: dict[str, ScaledObject] = {}
    for source, document in documents:
        try:
            match document:
                case {"kind": "InferenceService"}:
                    service = inference_service(document)
                    services[service.name] = service
                case {"kind": "ServingRuntime"}:
                    runtime = serving_runtime(document)
                    runtimes[runtime.name] = runtime
                case {"kind": "ScaledObject"}:
                    rule = scaled_object(document)
                    scaled_objects[rule.target] = rule
        except (KeyError, TypeError, ValueError, ManifestError) as error:
            what = f"has no {error}" if isinstance(error, KeyError) else str(error)
            raise ManifestError(f"{source}: {document['kind']} {what}.") from error
    return Manifests(services, runtimes, scaled_objects)


def inference_service(document: Tree) -> InferenceService:
    """Read an InferenceService of Standard mode."""
    metadata, spec = document["metadata"], document["spec"]
    annotations = dict(metadata.get("annotations") or {})
    mode = annotations.get("serving.kserve.io/deploymentMode", "Standard")
    if mode not in {"Standard", "RawDeployment"}:
        raise ManifestError(f"asks for deploymentMode {mode}; only Standard is served")
    canaries = tuple(
        Canary(_predictor(_merged(spec["predictor"], entry["predictor"])), entry["trafficPercent"])
        for entry in spec.get("canary") or ()
    )
    if sum(canary.traffic_percent for canary in canaries) > 100:
        raise ManifestError("gives its canaries more than 100 percent")
    if not all(canary.predictor.name for canary in canaries):
        raise ManifestError("has a canary without a name")
    return InferenceService(
        name=metadata["name"],
        namespace=metadata.get("namespace", "default"),
        predictor=_predictor(spec["predictor"]),
        canaries=canaries,
        autoscaler_class=annotations.get(AUTOSCALER_CLASS, "hpa"),
        labels=dict(metadata.get("labels") or {}),
        annotations=annotations,
    )


def serving_runtime(document: Tree) -> ServingRuntime:
    """Read a ServingRuntime; its container stays a tree until a service's name fills it in."""
    spec = document["spec"]
    for container in spec["containers"]:
        if container["name"] == "kserve-container":
            return ServingRuntime(
                name=document["metadata"]["name"],
                container=container,
                grace_seconds=spec.get("terminationGracePeriodSeconds", 30),
            )
    raise ManifestError("has no container named kserve-container")


def scaled_object(document: Tree) -> ScaledObject:
    """Read a ScaledObject's bounds; KEDA's defaults are 0 and 100."""
    spec = document["spec"]
    return ScaledObject(
        name=document["metadata"]["name"],
        target=spec["scaleTargetRef"]["name"],
        min_replicas=spec.get("minReplicaCount", 0),
        max_replicas=spec.get("maxReplicaCount", 100),
    )


def container(runtime: ServingRuntime, service: InferenceService) -> Container:
    """Fill a service's name, labels and annotations into a runtime's container, as KServe does."""
    tree = _filled(runtime.container, service)
    ports = {port.get("name", ""): port["containerPort"] for port in tree.get("ports") or ()}
    grpc = next((number for name, number in ports.items() if "grpc" in name or "h2c" in name), None)
    http = next((number for number in ports.values() if number != grpc), 8080)
    return Container(
        command=tuple(tree.get("command") or ()),
        args=tuple(tree.get("args") or ()),
        env=_env(tree.get("env")),
        http_port=http,
        grpc_port=grpc,
        readiness=_probe(tree.get("readinessProbe")),
        liveness=_probe(tree.get("livenessProbe")),
    )


def _documents(root: Path) -> Iterator[tuple[str, Any]]:
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("*.yaml")):
            if path.name == "kustomization.yaml":
                continue
            name = str(path.relative_to(root))
            try:
                documents = list(yaml.safe_load_all(path.read_text("utf-8")))
            except yaml.YAMLError as error:
                raise ManifestError(
                    f"{name} is not YAML: {' '.join(str(error).split())}"
                ) from error
            yield from ((name, document) for document in documents)


def _predictor(tree: Tree) -> Predictor:
    if "model" not in tree:
        raise ManifestError("has a predictor without `model`; custom containers are not served")
    model = tree["model"]
    if "runtime" not in model:
        raise ManifestError("has a predictor that names no runtime")
    return Predictor(
        runtime=model["runtime"],
        storage_uri=model["storageUri"].rstrip("/"),
        name=tree.get("name", ""),
        args=tuple(model.get("args") or ()),
        env=_env(model.get("env")),
        min_replicas=tree.get("minReplicas"),
        timeout_seconds=tree.get("timeout", 60),
    )


def _probe(tree: Tree | None) -> Probe | None:
    if tree is None:
        return None
    if "httpGet" not in tree:
        raise ManifestError("has a probe that is not httpGet; only those run on a laptop")
    return Probe(
        path=tree["httpGet"]["path"],
        port=int(tree["httpGet"]["port"]),
        period_seconds=tree.get("periodSeconds", 10),
        timeout_seconds=tree.get("timeoutSeconds", 1),
        failure_threshold=tree.get("failureThreshold", 3),
    )


def _env(entries: Iterable[Tree] | None) -> tuple[tuple[str, str], ...]:
    for entry in entries or ():
        if "valueFrom" in entry:
            raise ManifestError(f"takes env {entry['name']} from the cluster (valueFrom)")
    return tuple((entry["name"], str(entry.get("value", ""))) for entry in entries or ())


def _merged(stable: Any, canary: Any) -> Any:
    """KServe's merge of a canary over stable: set fields win, lists are replaced whole."""
    if isinstance(stable, Mapping) and isinstance(canary, Mapping):
        return {**stable, **{key: _merged(stable.get(key), canary[key]) for key in canary}}
    return stable if canary in (None, "", 0, [], {}) and stable is not None else canary


def _filled(tree: Any, service: InferenceService) -> Any:
    if isinstance(tree, Mapping):
        return {key: _filled(value, service) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, service) for value in tree]
    if not isinstance(tree, str):
        return tree
    return re.sub(
        r"{{\s*\.(Name|Namespace|Labels\.([\w.-]+)|Annotations\.([\w.-]+))\s*}}",
        lambda found: _field(found, service),
        tree,
    )


def _field(found: re.Match[str], service: InferenceService) -> str:
    if found[2]:
        return service.labels[found[2]]
    if found[3]:
        return service.annotations[found[3]]
    return service.namespace if found[1] == "Namespace" else service.name
