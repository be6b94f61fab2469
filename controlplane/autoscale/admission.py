"""What KEDA's admission webhook refuses, as a function of the manifests.

apis/keda/v1alpha1/scaledobject_webhook.go. In a cluster the webhook fails open
(failurePolicy: Ignore), so what it would have refused may still be there; here it never is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Tree = Mapping[str, Any]

_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?!\w|\s*\()")
_WORDS = {"and", "or", "not", "in", "true", "false", "nil", "matches", "contains", "let"}
"""Of the formulas' language (expr), which are no names."""

RESOURCES = frozenset({"cpu", "memory"})
MAX_NAME = 63
_TRANSFER = "scaledobject.keda.sh/transfer-hpa-ownership"
_IGNORE = "validations.keda.sh/hpa-ownership"


def refusals(
    document: Tree,
    others: Iterable[Tree],
    requests: Sequence[Mapping[str, object]] | None = None,
    hpas: Iterable[Tree] = (),
) -> list[str]:
    """Say why a ScaledObject would be refused; an empty list admits it.

    Args:
        document: The ScaledObject, valid by its CRD's schema.
        others: The other ScaledObjects of its namespace.
        requests: The resource requests of the target's containers, one mapping a container, with
            its `name`; None where the target does not exist yet.
        hpas: The HorizontalPodAutoscalers of its namespace.
    """
    spec = document.get("spec") or {}
    return [
        *_requests(spec, requests),
        *_sole_scaled_object(document, spec, others),
        *_modifiers(spec),
        *_sole_hpa(document, spec, hpas),
        *_names(document, spec),
        *_counts(spec),
        *_fallback(spec),
        *_triggers(spec),
    ]


def _names(document: Tree, spec: Tree) -> Iterable[str]:
    name = document["metadata"]["name"]
    if len(name) > MAX_NAME:
        yield f"the ScaledObject's name {name} is longer than {MAX_NAME} characters"
    if len(_hpa_name(document, spec)) > MAX_NAME:
        yield f"the HPA's name {_hpa_name(document, spec)} is longer than {MAX_NAME} characters"


def _counts(spec: Tree) -> Iterable[str]:
    least, most = _least(spec), spec.get("maxReplicaCount", 100)
    idle = spec.get("idleReplicaCount")
    if least > most:
        yield f"MinReplicaCount={least} must be less than MaxReplicaCount={most}"
    if idle is not None and idle >= least:
        yield f"IdleReplicaCount={idle} must be less than MinReplicaCount={least}"


def _triggers(spec: Tree) -> Iterable[str]:
    triggers = spec.get("triggers") or ()
    kinds = [trigger.get("type") for trigger in triggers]
    names = [name for trigger in triggers if (name := trigger.get("name"))]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield (
            f"triggerName {name} is defined multiple times in the ScaledObject, but it must be "
            "unique"
        )
    if kinds and set(kinds) <= RESOURCES and _least(spec) == 0:
        yield (
            "scaledobject has only cpu/memory triggers AND minReplica is 0 (scale to zero doesn't "
            "work in this case)"
        )
    for trigger in triggers:
        if trigger.get("useCachedMetrics") and trigger.get("type") in {*RESOURCES, "cron"}:
            yield f"property useCachedMetrics is not supported for {trigger['type']} scaler"


def _requests(spec: Tree, requests: Sequence[Mapping[str, object]] | None) -> Iterable[str]:
    """A utilization is of what the containers request."""
    for trigger in spec.get("triggers") or () if requests is not None else ():
        kind = trigger.get("type")
        if kind not in RESOURCES or not _utilization(trigger):
            continue
        only = (trigger.get("metadata") or {}).get("containerName")
        asked = [found for found in requests or () if only in {None, found.get("name")}]
        if not asked or not all(kind in found for found in asked):
            yield (
                f"the scaledobject has a {kind} trigger but the container "
                f"{only or 'of the target'} doesn't have the {kind} request defined"
            )


def _fallback(spec: Tree) -> Iterable[str]:
    fallback = spec.get("fallback")
    if not fallback:
        return
    if fallback.get("failureThreshold", 0) < 0 or fallback.get("replicas", 0) < 0:
        yield (
            f"FailureThreshold={fallback.get('failureThreshold')} & "
            f"Replicas={fallback.get('replicas')} must both be greater than or equal to 0"
        )
    modifiers = (spec.get("advanced") or {}).get("scalingModifiers") or {}
    if fallback.get("behavior") == "scalingModifiers" and not modifiers.get("formula"):
        yield "fallback behavior 'scalingModifiers' requires a scalingModifiers formula"
    kinds = {trigger.get("type") for trigger in spec.get("triggers") or ()}
    if kinds and kinds <= RESOURCES:
        yield "type is cpu or memory, but fallback it is not supported by the CPU & memory scalers"


def _modifiers(spec: Tree) -> Iterable[str]:
    modifiers = (spec.get("advanced") or {}).get("scalingModifiers") or {}
    formula, target = modifiers.get("formula"), modifiers.get("target")
    if not formula and not target:
        return
    if not formula:
        yield "error ScalingModifiers.Formula is mandatory when ScalingModifiers is used"
    try:
        value = float(target)  # type: ignore[arg-type]  # None is caught below
    except (TypeError, ValueError):
        yield f"error converting target for scalingModifiers to a number: {target}"
    else:
        if value <= 0:
            yield "error ScalingModifiers.Target parameter needs to be a positive number"
    for trigger in spec.get("triggers") or ():
        if trigger.get("type") not in RESOURCES and not trigger.get("name") and formula:
            yield "error ScalingModifiers.Formula uses triggers, and one of them has no name"
            return
    names = {trigger.get("name") for trigger in spec.get("triggers") or ()}
    for found in _NAME.finditer(re.sub(r"\"[^\"]*\"|'[^']*'", "0", str(formula or ""))):
        if found[0] not in names | _WORDS:
            yield (
                f"error validating formula in ScalingModifiers unknown name {found[0]} "
                f"(1:{found.start() + 7})"
            )


def _sole_scaled_object(document: Tree, spec: Tree, others: Iterable[Tree]) -> Iterable[str]:
    mine = document["metadata"]["name"]
    for other in others:
        name = other["metadata"]["name"]
        if name == mine:
            continue
        if _target(other.get("spec") or {}) == _target(spec):
            yield (
                f"the workload '{_target(spec)[2]}' of type "
                f"'{_target(spec)[0]}.{_target(spec)[1]}' is already managed by the "
                f"ScaledObject '{name}'"
            )
        if _hpa_name(other, other.get("spec") or {}) == _hpa_name(document, spec):
            yield (
                f"the HPA '{_hpa_name(document, spec)}' is already managed by the ScaledObject "
                f"'{name}'"
            )


def _sole_hpa(document: Tree, spec: Tree, hpas: Iterable[Tree]) -> Iterable[str]:
    transfers = str(_annotations(document).get(_TRANSFER, "")) == "true"
    for hpa in hpas:
        if str(_annotations(hpa).get(_IGNORE, "")) == "false":
            continue
        name = hpa["metadata"]["name"]
        ours = {"kind": "ScaledObject", "name": document["metadata"]["name"]}
        owners = hpa["metadata"].get("ownerReferences") or ()
        owned = any(ours.items() <= owner.items() for owner in owners)
        if owned or _target(hpa.get("spec") or {}) != _target(spec):
            continue
        if not (transfers and name == _hpa_name(document, spec)):
            yield (
                f"the workload '{_target(spec)[2]}' of type "
                f"'{_target(spec)[0]}.{_target(spec)[1]}' is already managed by the hpa '{name}'"
            )


def _target(spec: Tree) -> tuple[str, str, str]:
    """The API version, kind and name of what is scaled."""
    found = spec.get("scaleTargetRef") or {}
    version, kind = found.get("apiVersion") or "apps/v1", found.get("kind") or "Deployment"
    return version, kind, found.get("name", "")


def _hpa_name(document: Tree, spec: Tree) -> str:
    advanced = (spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}
    return advanced.get("name") or f"keda-hpa-{document['metadata']['name']}"


def _least(spec: Tree) -> int:
    return int(spec.get("minReplicaCount") or 0)


def _utilization(trigger: Tree) -> bool:
    return (trigger.get("metricType") or "Utilization") == "Utilization"


def _annotations(document: Tree) -> Tree:
    return (document.get("metadata") or {}).get("annotations") or {}
