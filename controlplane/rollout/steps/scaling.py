"""A canary's ScaledObject, made while there is a canary: stable's, for the canary's Deployment."""

import json
import re
from typing import Any

from controlplane.rollout.steps.seen import Object

NUDGE = "initialCooldownPeriod"
"""A field of a ScaledObject's spec that means the same absent and 0 where minReplicaCount is 1."""


def of_canary(stable: Object, deployment: Object) -> dict[str, Any]:
    """The canary's ScaledObject, which the cluster removes together with the canary's Deployment.

    Args:
        stable: The ScaledObject of the stable Deployment.
        deployment: The canary's Deployment. Made after it, the ScaledObject finds it at once.
    """
    name: str = deployment["metadata"]["name"]
    target = re.escape(stable["spec"]["scaleTargetRef"]["name"])
    text = json.dumps(stable["spec"])
    spec: dict[str, Any] = json.loads(re.sub(rf"(?<![\w-]){target}(?![\w-])", name, text))
    spec.pop("idleReplicaCount", None)
    spec["minReplicaCount"] = 1  # canaries do not sleep
    (spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig", {}).pop("name", None)
    labels = dict(stable["metadata"].get("labels") or {})
    owner = {key: deployment["metadata"][key] for key in ("name", "uid")}
    return {
        "apiVersion": stable["apiVersion"],
        "kind": "ScaledObject",
        "metadata": {
            "name": name,
            "namespace": stable["metadata"]["namespace"],
            "labels": {**labels, "app.kubernetes.io/component": "canary-scaling"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", **owner}],
        },
        "spec": spec,
    }


def nudged(scaled: Object) -> dict[str, Any]:
    """A patch that changes nothing but the generation: KEDA then looks for the Deployment now.

    It would by itself, ever more seldom, up to every 17 minutes. The end of a pause makes it look,
    too, but leaves the condition Paused at True.
    """
    return {"spec": {NUDGE: None if scaled["spec"].get(NUDGE) == 0 else 0}}
