"""Kinds to read only, made from other objects when somebody asks: what runbooks look at.

Services and EndpointSlices are those of the models' Deployments, the node is this machine. Nothing
is stored, so there is nothing to watch.
"""

import platform
import uuid
from collections.abc import Callable, Iterator

from controlplane.kubernetes.conditions import condition, is_true
from controlplane.kubernetes.kinds import KINDS
from controlplane.kubernetes.meta import Object, now, owner_reference
from controlplane.kubernetes.names import SERVICE_LABEL
from controlplane.local.api.kubectl import usage
from controlplane.local.api.kubectl.discovery import VERSION
from controlplane.local.api.objects import Objects
from controlplane.local.api.schemas import columns_of

NODE = "laptop"
MOST_PODS = "110"
_PORTS = ({"name": "http", "port": 80}, {"name": "grpc", "port": 8081})
"""Those that HTTPRoutes name."""
_OF_SERVICE = "kubernetes.io/service-name"


def view(kind: str, objects: Objects) -> list[Object] | None:
    """All objects of a kind that is made when it is asked for; None where it is stored."""
    if kind not in _VIEWS:
        return None
    return [*_VIEWS[kind](objects)]


def _services(objects: Objects) -> Iterator[Object]:
    for one in objects.list_of("Deployment"):
        ports = [{**port, "protocol": "TCP", "targetPort": port["name"]} for port in _PORTS]
        yield {
            **_head("v1", "Service", one),
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "None",  # nothing listens for it: the gateway knows the pods
                "clusterIPs": ["None"],
                "ports": ports,
                "selector": one["spec"]["selector"]["matchLabels"],
            },
            "status": {"loadBalancer": {}},
        }


def _slices(objects: Objects) -> Iterator[Object]:
    """One for each pod, without ports: each pod has its own, which the gateway knows."""
    names = {one["metadata"]["name"]: one for one in objects.list_of("Deployment")}
    for pod in objects.list_of("Pod"):
        app = str((pod["metadata"].get("labels") or {}).get("app", ""))
        owner = names.get(app.removeprefix("isvc."))
        if owner is None:
            continue
        slices = _head("discovery.k8s.io/v1", "EndpointSlice", pod)
        labels = {_OF_SERVICE: owner["metadata"]["name"]}
        slices["metadata"]["labels"] = {**slices["metadata"]["labels"], **labels}
        status = pod.get("status") or {}
        ready = is_true(status, "Ready")
        leaving = "deletionTimestamp" in pod["metadata"]
        state = {"ready": ready and not leaving, "serving": ready, "terminating": leaving}
        target = {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": "models"}
        yield {
            **slices,
            "addressType": "IPv4",
            "endpoints": [
                {
                    "addresses": [status.get("podIP", "127.0.0.1")],
                    "conditions": state,
                    "nodeName": NODE,
                    "targetRef": target,
                }
            ],
            "ports": [],
        }


def _endpoints(objects: Objects) -> Iterator[Object]:
    """One for each Service: the addresses of its slices."""
    slices = [*_slices(objects)]
    for one in objects.list_of("Deployment"):
        subset: dict[str, list[Object]] = {}
        for slice_ in slices:
            if slice_["metadata"]["labels"][_OF_SERVICE] == one["metadata"]["name"]:
                (end,) = slice_["endpoints"]
                word = "addresses" if end["conditions"]["ready"] else "notReadyAddresses"
                address = {"ip": end["addresses"][0], "nodeName": NODE}
                subset.setdefault(word, []).append({**address, "targetRef": end["targetRef"]})
        yield {**_head("v1", "Endpoints", one), "subsets": [subset] if subset else []}


def _nodes(objects: Objects) -> Iterator[Object]:
    about = objects.find("Namespace", "", "models") or {"metadata": {}}
    head = _head("v1", "Node", {**about, "metadata": {**about["metadata"], "name": NODE}})
    head["metadata"].pop("ownerReferences", None)
    head["metadata"] |= {"labels": {"kubernetes.io/hostname": NODE}, "annotations": {}}
    made = head["metadata"].get("creationTimestamp")
    ready = condition("Ready", "SerinReady", "the processes of this machine", true=True)
    yield {
        **head,
        "spec": {},
        "status": {
            "conditions": [{**ready, "lastHeartbeatTime": made, "lastTransitionTime": made}],
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": NODE},
            ],
            "capacity": {"pods": MOST_PODS, **usage.capacity()},
            "allocatable": {"pods": MOST_PODS, **usage.capacity()},
            "nodeInfo": {
                "kubeletVersion": VERSION["gitVersion"],
                "kubeProxyVersion": "",
                "osImage": platform.platform(terse=True),
                "operatingSystem": platform.system().lower(),
                "architecture": platform.machine(),
                "kernelVersion": platform.release(),
                "containerRuntimeVersion": "serin://processes",
                **dict.fromkeys(("machineID", "systemUUID", "bootID"), ""),
            },
        },
    }


def _definitions(objects: Objects) -> Iterator[Object]:
    about = objects.find("Namespace", "", "models") or {"metadata": {}}
    for kind in KINDS:
        if not kind.is_custom:
            continue
        named = {**about, "metadata": {**about["metadata"], "name": kind.resource}}
        head = _head("apiextensions.k8s.io/v1", "CustomResourceDefinition", named)
        for name in ("labels", "ownerReferences"):
            head["metadata"].pop(name, None)
        names = {
            "kind": kind.name,
            "listKind": f"{kind.name}List",
            "plural": kind.plural,
            "singular": kind.singular,
            "shortNames": list(kind.short),
        }
        yield {
            **head,
            "spec": {
                "group": kind.group,
                "names": names,
                "scope": "Namespaced" if kind.namespaced else "Cluster",
                "versions": [
                    {
                        "name": kind.version,
                        "served": True,
                        "storage": True,
                        "additionalPrinterColumns": list(columns_of(kind)),
                    }
                ],
            },
            "status": {
                "acceptedNames": names,
                "storedVersions": [kind.version],
                "conditions": [
                    condition("NamesAccepted", "NoConflicts", true=True),
                    condition("Established", "InitialNamesAccepted", true=True),
                ],
            },
        }


def _pod_metrics(objects: Objects) -> Iterator[Object]:
    yield from usage.pods(objects.list_of("Pod"))


def _node_metrics(objects: Objects) -> Iterator[Object]:
    """All pods together: what else the machine does is not Serin's to tell."""
    used = [one["containers"][0]["usage"] for one in _pod_metrics(objects)]
    if used:
        cpu = sum(int(one["cpu"].removesuffix("n")) for one in used)
        memory = sum(int(one["memory"].removesuffix("Ki")) for one in used)
        yield {
            "kind": "NodeMetrics",
            "apiVersion": usage.VERSION,
            "metadata": {"name": NODE},
            "timestamp": now(),
            "window": "1s",
            "usage": {"cpu": f"{cpu}n", "memory": f"{memory}Ki"},
        }


def _none(objects: Objects) -> Iterator[Object]:  # noqa: ARG001  asked as the others are
    yield from ()


def _head(version: str, kind: str, about: Object) -> Object:
    """An object's kind and metadata, from those of the object that it is made from."""
    own = about["metadata"]
    metadata: Object = {
        "name": own["name"],
        "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {own.get('uid')} {own['name']}")),
        "resourceVersion": own.get("resourceVersion", "1"),
        "labels": dict(own.get("labels") or {}),
    }
    for name in ("namespace", "creationTimestamp"):
        if name in own:
            metadata[name] = own[name]
    if SERVICE_LABEL in metadata["labels"]:
        metadata["ownerReferences"] = [owner_reference(about)]
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


_VIEWS: dict[str, Callable[[Objects], Iterator[Object]]] = {
    "Service": _services,
    "Endpoints": _endpoints,
    "EndpointSlice": _slices,
    "Node": _nodes,
    "CustomResourceDefinition": _definitions,
    "PodMetrics": _pod_metrics,
    "NodeMetrics": _node_metrics,
    "PersistentVolumeClaim": _none,
    "PersistentVolume": _none,
    "StorageClass": _none,
}
