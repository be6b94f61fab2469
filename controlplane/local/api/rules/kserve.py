"""KServe's admission webhook: what it fills in, and what it refuses in which words.

From pkg/apis/serving/v1beta1 of KServe 0.20 and 0.21, as far as a laptop serves it. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Forbidden

Tree = Mapping[str, Any]

MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
STANDARD = "Standard"
_RENAMED = {"RawDeployment": STANDARD, "Serverless": "Knative"}
_CLASSES = {"hpa", "keda", "external", "none"}
_NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"
IMPLEMENTATIONS = (
    "sklearn",
    "xgboost",
    "tensorflow",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
    "model",
)


def default(service: Object) -> None:
    """Fill in what the mutating webhook does on a cluster whose default mode is Standard.

    It comes before the schema is checked, so the object may have any shape.
    """
    annotations = service["metadata"].get("annotations") or {}
    service["metadata"]["annotations"] = annotations
    mode = annotations.setdefault(MODE, STANDARD)
    annotations[MODE] = _RENAMED.get(mode, mode)
    spec = service.get("spec")
    canaries = spec.get("canary") if isinstance(spec, dict) else None
    for canary in canaries if isinstance(canaries, list) else ():
        predictor = canary.get("predictor") if isinstance(canary, dict) else None
        if not isinstance(predictor, dict):
            continue
        for kind in IMPLEMENTATIONS:
            if isinstance(predictor.get(kind), dict):
                # The schema asks for it, and Go writes every Container with its name.
                predictor[kind].setdefault("name", "")


def refuse(service: Object, old: Object | None) -> None:
    """Refuse what the validating webhook refuses.

    Raises:
        Forbidden: With the webhook's message.
    """
    for complaint in _complaints(service, old):
        raise Forbidden(
            'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the '
            f"request: {complaint}"
        )


def _complaints(service: Object, old: Object | None) -> Iterator[str]:
    name, spec = service["metadata"]["name"], service.get("spec") or {"predictor": {}}
    annotations = service["metadata"].get("annotations") or {}
    if old:
        before = (old.get("status") or {}).get("deploymentMode")
        mode = annotations.get(MODE, STANDARD)
        if before and before != mode:
            yield f"update rejected: deploymentMode cannot be changed from '{before}' to '{mode}'"
        yield from _renamed(old["spec"]["predictor"], spec["predictor"])
    if not re.fullmatch(_NAME, name):
        yield (
            f'the InferenceService "{name}" is invalid: a InferenceService name must consist of '
            "lower case alphanumeric characters or '-', and must start with alphabetical "
            'character. (e.g. "my-name" or "abc-123", regex used for validation is '
            f"'{_NAME}')"
        )
    if (found := annotations.get(AUTOSCALER)) is not None and found not in _CLASSES:
        yield f"[{found}] is not a supported autoscaler class type"
    predictor = spec["predictor"]
    for kind in IMPLEMENTATIONS:
        if (predictor.get(kind) or {}).get("name"):
            yield "the 'name' field is not allowed in standard predictor"
    if "model" in predictor and {"storageUri", "storageUris"} <= {*predictor["model"], *predictor}:
        yield "Setting both StorageURI and StorageURIs is not supported."
    yield from _one_implementation(predictor)
    yield from _replicas(predictor)
    if canaries := spec.get("canary"):
        yield from _canaries(canaries, predictor, annotations)


def _canaries(
    canaries: list[dict[str, Any]], stable: Tree, annotations: Mapping[str, str]
) -> Iterator[str]:
    if annotations.get(MODE) != STANDARD:
        yield "canary is only supported in Standard deployment mode"
    if not any(kind in stable for kind in IMPLEMENTATIONS) and not _storage_uri_env(stable):
        yield (
            "canary requires a stable predictor with a model (multi-model serving is not "
            "supported with canary)"
        )
    names = [canary["predictor"].get("name") for canary in canaries]
    for index, canary in enumerate(canaries):
        name = names[index]
        if not name:
            yield f"canary[{index}] predictor.name is required"
        if name == stable.get("name"):
            yield f'canary predictor.name "{name}" conflicts with stable predictor name'
        if name in names[:index]:
            yield f'canary predictor.name "{name}" is duplicated'
        yield from _canary(canary, name, stable)
    if (total := sum(canary["trafficPercent"] for canary in canaries)) > 100:
        yield f"sum of canary trafficPercent values ({total}) must be <= 100"


def _canary(canary: Tree, name: str, stable: Tree) -> Iterator[str]:
    predictor, percent = canary["predictor"], canary["trafficPercent"]
    if not 0 <= percent <= 100:
        yield f'canary "{name}" trafficPercent must be between 0 and 100, got {percent}'
    if "workerSpec" in predictor:
        yield (
            f'canary "{name}" must not set workerSpec (multi-node is not yet supported for canary)'
        )
    for field in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"):
        if predictor.get(field):
            yield f'canary "{name}" must not set {field} (canary uses fixed replicas)'
    least, allowed = predictor.get("minReplicas"), stable.get("minReplicas", 1)
    if least is not None and least > allowed:
        yield (
            f'canary "{name}" minReplicas ({least}) must not exceed stable predictor minReplicas '
            f"({allowed})"
        )
    for complaint in _one_implementation(predictor):
        yield f'canary "{name}" predictor: {complaint}'


def _renamed(old: Tree, new: Tree) -> Iterator[str]:
    if old.get("name", "") != new.get("name", "") and _uri(old) == _uri(new):
        yield "predictor.name change requires a model change (e.g. storageUri)"


def _one_implementation(predictor: Tree) -> Iterator[str]:
    found = [kind for kind in IMPLEMENTATIONS if kind in predictor]
    if len(found) + (not found and bool(predictor.get("containers"))) != 1:
        yield (
            "Exactly one of [SKLearn, XGBoost, Tensorflow, PyTorch, Triton, ONNX, HuggingFace, "
            "PMML, LightGBM, Paddle, Model] must be specified in PredictorSpec"
        )


def _replicas(predictor: Tree) -> Iterator[str]:
    least, most = predictor.get("minReplicas"), predictor.get("maxReplicas", 0)
    if least is not None and least < 0:
        yield "MinReplicas cannot be less than 0"
    if most < 0:
        yield "MaxReplicas cannot be less than 0"
    if least is not None and most and least > most:
        yield "MinReplicas cannot be greater than MaxReplicas"


def _storage_uri_env(predictor: Tree) -> bool:
    return any(
        entry["name"] == "STORAGE_URI"
        for container in predictor.get("containers") or ()
        for entry in container.get("env") or ()
    )


def _uri(predictor: Tree) -> Any:
    for kind in IMPLEMENTATIONS:
        if kind in predictor:
            return predictor[kind].get("storageUri")
    return None
