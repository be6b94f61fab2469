"""The scale subresource of a Deployment: autoscaling/v1 Scale. Pure."""

from collections.abc import Iterable
from typing import Any

from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.kinds import Kind
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Cause, Invalid
from controlplane.local.api.writes import patches

_BOUNDS = {
    "ScaledObject": "minReplicaCount and maxReplicaCount, or ./serin up --replicas",
    "HorizontalPodAutoscaler": "minReplicas and maxReplicas",
}
KIND = Kind("autoscaling", "v1", "Scale", "scales", schema="none")


def of(deployment: Object) -> Object:
    """A Deployment's Scale."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    labels = spec["selector"]["matchLabels"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": spec.get("replicas", 1)},
        "status": {
            "replicas": (deployment.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def patched(deployment: Object, media_type: str, patch: Any) -> Object:
    """A Deployment's Scale after a JSON or merge patch."""
    if media_type == patchtypes.STRATEGIC:  # a Scale has no lists: the two are the same
        media_type = patchtypes.MERGE
    return patches.patched(KIND, media_type, of(deployment), patch)


def taken_back(deployment: Object, scaled: Iterable[Object]) -> list[str]:
    """A warning where a ScaledObject or an HPA sets the number of pods again."""
    name = deployment["metadata"]["name"]
    return [
        f"the autoscaler of {one['kind'].lower()}/{one['metadata']['name']} sets the replicas of "
        f"{name} again: what lasts is its {_BOUNDS[one['kind']]}"
        for one in scaled
        if _target(one) == name and one["kind"] in _BOUNDS
    ]


def _target(scaled: Object) -> Any:
    spec = scaled.get("spec")
    target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
    return target.get("name") if isinstance(target, dict) else None


def replicas(wanted: Any, name: str) -> int:
    """The number that a Scale asks for.

    Raises:
        Invalid: It is no number of pods.
    """
    found = wanted.get("spec", {}).get("replicas", 0) if isinstance(wanted, dict) else None
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= 64:
        said = f"Invalid value: {found!r}: must be a whole number from 0 to 64 on a laptop"
        cause = Cause("FieldValueInvalid", "spec.replicas", said)
        raise Invalid(f'Scale.autoscaling "{name}" is invalid: spec.replicas: {said}', [cause])
    return found
