"""A Deployment's rolling update, as a decision on facts: which pods to start, which to stop.

Pure. The rule is the Deployment's strategy; by default maxSurge is 25 % rounded up, maxUnavailable
25 % rounded down: with fewer than four replicas no pod goes before its successor answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.local.controllers.plan import bounds


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What a decision needs to know of a pod."""

    name: str
    template_hash: str
    serving: bool
    """Ready, and the gateway sends it requests."""
    age: float
    """Seconds since it was made."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Pods to make of the wanted template, and pods to drain."""

    start: int = 0
    drain: tuple[str, ...] = ()


def decide(
    template_hash: str,
    replicas: int,
    pods: Sequence[PodFacts],
    strategy: Mapping[str, Any] | None = None,
    leaving: int = 0,
) -> Decision:
    """Decide the next step towards `replicas` pods of a template.

    Args:
        template_hash: The wanted template; empty where nothing can run yet.
        replicas: How many pods are wanted.
        pods: Every pod that is not already being drained.
        strategy: The Deployment's.
        leaving: Pods that are being drained: Recreate waits for them.

    Returns:
        One step; deciding again on the facts it leads to ends with an empty Decision.
    """
    if not template_hash and replicas:
        return Decision()
    new = [pod for pod in pods if pod.template_hash == template_hash]
    old = [pod for pod in pods if pod.template_hash != template_hash]

    # Scaled in: those that do not answer go first, then the youngest, as a ReplicaSet does it.
    by_worth = sorted(new, key=lambda pod: (pod.serving, pod.age))
    drain = by_worth[: max(len(new) - replicas, 0)]
    new = [pod for pod in new if pod not in drain]

    if (strategy or {}).get("type") == "Recreate" and (old or (leaving and not new)):
        return Decision(0, tuple(pod.name for pod in (*drain, *old)))
    surge, missing_allowed = bounds(strategy or {}, replicas)
    room = replicas + (surge if old else 0) - len(old) - len(new)
    start = max(min(replicas - len(new), room), 0)

    # The Deployment controller's arithmetic: cleanupUnhealthyReplicas, then
    # scaleDownOldReplicaSetsForRollingUpdate (pkg/controller/deployment/rolling.go).
    least = replicas - missing_allowed
    missing = sum(not pod.serving for pod in new)
    broken = [pod for pod in old if not pod.serving]
    gone = broken[: max(len(old) + len(new) - least - missing, 0)]
    answering = sorted((pod for pod in old if pod.serving), key=lambda pod: -pod.age)
    spare = len(answering) + len(new) - missing - least
    drain += gone + answering[: max(spare, 0)]
    return Decision(start, tuple(pod.name for pod in drain))
