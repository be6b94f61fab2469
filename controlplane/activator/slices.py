"""What sleeps, and the EndpointSlice that stands in for it, from the API's objects. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
MANAGER = "serin-activator"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE = "kubernetes.io/service-name"
MODEL = "serving.kserve.io/inferenceservice"
_HTTP2 = ("grpc", "h2c")


@dataclass(frozen=True, slots=True)
class Me:
    """The Pod that this runs in."""

    name: str
    uid: str
    address: str


@dataclass(frozen=True, slots=True)
class Target:
    """A Deployment that may sleep, with the Service of the same name, as KServe makes them."""

    name: str
    namespace: str
    inferenceservice: str
    ports: Mapping[str, bool]
    """The Service's ports → whether they speak HTTP/1.1."""
    pods: Mapping[str, list[tuple[str, int]]]
    """Port's name → pods that are ready; none where none is wanted."""
    may_sleep: bool

    @property
    def asleep(self) -> bool:
        """Whether nobody answers, or soon nobody will, as it should be."""
        return self.may_sleep and not self.pods


def targets(
    scaled: Iterable[Object],
    deployments: Mapping[str, Object],
    services: Mapping[str, Object],
    slices: Iterable[Object],
    sleeping: Collection[str] = (),
) -> dict[str, Target]:
    """Every Deployment that has a ScaledObject, by name.

    Args:
        scaled: ScaledObjects.
        deployments: By name.
        services: By name.
        slices: EndpointSlices, ours among them.
        sleeping: Deployments that slept when last seen: they do until they are awake, though
            their ScaledObject now asks for a replica.
    """
    real: dict[str, list[Object]] = {}
    for one in slices:
        labels = one["metadata"].get("labels") or {}
        if labels.get(MANAGED_BY) != MANAGER:
            real.setdefault(labels.get(SERVICE, ""), []).append(one)
    found = {}
    for one in scaled:
        name = one["spec"]["scaleTargetRef"]["name"]
        deployment, service = deployments.get(name), services.get(name)
        if not deployment or not service:
            continue
        found[name] = Target(
            name=name,
            namespace=deployment["metadata"]["namespace"],
            inferenceservice=(deployment["metadata"].get("labels") or {}).get(MODEL, ""),
            ports={port.get("name", ""): _words(port) for port in service["spec"]["ports"]},
            # None is wanted: the last one still serves, but not for long.
            pods=_ready(real.get(name, ())) if deployment["spec"].get("replicas", 1) else {},
            may_sleep=one["spec"].get("minReplicaCount", 0) == 0 or name in sleeping,
        )
    return found


def name_of(target: str, me: Me) -> str:
    """Our EndpointSlice's name."""
    return f"{target}-{me.name}"


def document(target: Target, listening: Mapping[str, int], me: Me) -> Object:
    """Describe ourselves as an endpoint of a Service.

    Args:
        target: Whose Service.
        listening: Port's name → the number we listen on for it.
        me: Our Pod, which owns it: a slice outlives nobody.
    """
    pod = {"kind": "Pod", "name": me.name, "uid": me.uid}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name_of(target.name, me),
            "namespace": target.namespace,
            "labels": {
                SERVICE: target.name,
                MANAGED_BY: MANAGER,
                "app.kubernetes.io/name": "activator",
                "app.kubernetes.io/part-of": "serin",
            },
            "ownerReferences": [{"apiVersion": "v1", **pod}],
        },
        "addressType": "IPv6" if ":" in me.address else "IPv4",
        "endpoints": [
            {
                "addresses": [me.address],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "targetRef": {**pod, "namespace": target.namespace},
            }
        ],
        "ports": [
            {"name": name, "port": number, "protocol": "TCP"} for name, number in listening.items()
        ],
    }


def owner(one: Object) -> str | None:
    """The Pod whose stand-in an EndpointSlice is; None for everybody else's."""
    metadata = one["metadata"]
    if (metadata.get("labels") or {}).get(MANAGED_BY) != MANAGER:
        return None
    owners = metadata.get("ownerReferences") or [{}]
    return str(owners[0].get("name", ""))


def _words(port: Object) -> bool:
    """By the Service's word: a gRPC client cannot read an HTTP/1.1 refusal."""
    told = f"{port.get('name', '')} {port.get('appProtocol', '')}".lower()
    return not any(word in told for word in _HTTP2)


def _ready(slices: Iterable[Object]) -> dict[str, list[tuple[str, int]]]:
    pods: dict[str, list[tuple[str, int]]] = {}
    for one in slices:
        addresses = [
            address
            for endpoint in one.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
            for address in endpoint["addresses"]
        ]
        for port in (one.get("ports") or ()) if addresses else ():
            pods.setdefault(port.get("name") or "", []).extend(
                (address, port["port"]) for address in addresses
            )
    return pods
