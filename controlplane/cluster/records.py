"""What setup made, written down in the cluster: ConfigMap `setup` of namespace `serin-system`."""

import hashlib
import json

from controlplane.cluster.kubectl import Document, Kubectl

NAMESPACE, NAME = "serin-system", "setup"
PENDING = "pending"
MODELS = "models"
"""The record's key of the models that were chosen, comma-separated, or ALL."""
ALL = "all"


def digest(documents: list[Document]) -> str:
    """What these objects are; a Secret's values are not kept, only that there is one."""
    plain = [
        {**one, "data": sorted(one["data"])} if one["kind"] == "Secret" and "data" in one else one
        for one in documents
    ]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def record(kubectl: Kubectl) -> dict[str, str]:
    """What is written down: a step's objects' hash or PENDING, and what was chosen."""
    found = kubectl.get("configmap", NAME, "-n", NAMESPACE)
    return dict((found or {}).get("data") or {})


def remember(kubectl: Kubectl, key: str, value: str) -> None:
    """Write something down."""
    metadata = {"name": NAME, "namespace": NAMESPACE}
    written = {**record(kubectl), key: value}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": written}
    kubectl.apply([namespace(NAMESPACE), config])


def forget(kubectl: Kubectl, key: str) -> None:
    """Strike something out: it is ours no more."""
    patch = json.dumps({"data": {key: None}})
    kubectl.run("patch", "configmap", NAME, "-n", NAMESPACE, "-p", patch)


def namespace(name: str) -> Document:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
