"""Which pods follow a channel. On the laptop a storageUri says so, in a cluster a variable."""

from controlplane.kubernetes.names import SOURCE
from controlplane.rollout.effects.kubernetes import Kubernetes, Object
from controlplane.store.followed import Channel

_VARIABLE = "PREDICTOR_CHANNEL"


def following(api: Kubernetes, channel: Channel) -> list[Object]:
    """Pods of the namespace that follow it, ready or not."""
    return [pod for pod in api.list("pods") if _follows(pod, channel.uri)]


def ready(pods: list[Object]) -> list[str]:
    """The names of those that take requests."""
    return [str(pod["metadata"]["name"]) for pod in pods if is_ready(pod)]


def is_ready(pod: Object) -> bool:
    """Whether a pod takes requests, or still would."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _follows(pod: Object, uri: str) -> bool:
    if (pod["metadata"].get("annotations") or {}).get(SOURCE) == uri:
        return True
    return any(
        entry.get("name") == _VARIABLE and entry.get("value") == uri
        for container in pod["spec"].get("containers") or ()
        for entry in container.get("env") or ()
    )
