"""Which pods follow a channel, and which of them are ready."""

from controlplane.kubernetes.client import Kubernetes, Object
from controlplane.kubernetes.conditions import is_true
from controlplane.store.channels import follows
from controlplane.store.followed import Channel


def following(api: Kubernetes, channel: Channel) -> list[Object]:
    """Pods of the namespace that follow it, ready or not."""
    return [pod for pod in api.list("pods") if follows(pod, channel.uri)]


def ready(pods: list[Object]) -> list[str]:
    """The names of those that take requests."""
    return [str(pod["metadata"]["name"]) for pod in pods if is_true(pod.get("status"), "Ready")]
