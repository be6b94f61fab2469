"""The labels and annotations of KServe's that more than one part of the platform reads. Pure."""

from controlplane.kubernetes.meta import Object

AUTOSCALER_CLASS = "serving.kserve.io/autoscalerClass"
SERVICE_LABEL = "serving.kserve.io/inferenceservice"
SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
"""The pod template's annotation that KServe's storage initializer downloads."""
REVISION = "deployment.kubernetes.io/revision"
"""A ReplicaSet's annotation: the latest template of its Deployment has the highest."""
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""The pod template's annotation that `kubectl rollout restart` writes."""
SERVED = "serin/served"
"""A ReplicaSet's annotation: a pod of it was ready once. What never was is no way back."""


def source(owner: Object) -> str:
    """The artifact's URI that an owner's pod template names."""
    found: str = owner["spec"]["template"]["metadata"]["annotations"][SOURCE]
    return found
