"""Where a cluster's gateway answers, and a request to try there."""

from controlplane.cluster.kubectl import Kubectl, wait_until
from controlplane.kubernetes.conditions import is_true

_NAMESPACE = "envoy-gateway-system"
_SELECTOR = "gateway.envoyproxy.io/owning-gateway-name=kserve-ingress-gateway"
_SECONDS = 120


def gateway(kubectl: Kubectl) -> str:
    """host:port of the gateway: its load balancer, or a node and the Service's port there.

    Raises:
        ClusterError: it has no address.
    """
    found: list[str] = []

    def addressed() -> bool:
        for service in kubectl.items("services", "-n", _NAMESPACE, f"--selector={_SELECTOR}"):
            port = service["spec"]["ports"][0]
            balancers = (service["status"].get("loadBalancer") or {}).get("ingress", ())
            found.extend(f"{one.get('ip') or one['hostname']}:{port['port']}" for one in balancers)
            if service["spec"]["type"] == "NodePort":
                found.append(f"{_node(kubectl)}:{port['nodePort']}")
        return bool(found)

    wait_until(
        "an address of the gateway",
        _SECONDS,
        addressed,
        lambda: "Its Service gets none: without a load balancer, use an overlay with NodePort.",
    )
    return found[0]


def _node(kubectl: Kubectl) -> str:
    for node in kubectl.items("nodes"):
        for one in node["status"]["addresses"]:
            if one["type"] == "InternalIP":
                address: str = one["address"]
                return address
    return "127.0.0.1"


def try_it(kubectl: Kubectl, model: str) -> str:
    """What to type next, once the gateway takes connections.

    Raises:
        ClusterError: it has no address, or no pod of it is ready in time.
    """
    where = gateway(kubectl)
    pods = ("pods", "-n", _NAMESPACE, f"--selector={_SELECTOR}")
    wait_until(
        "a pod of the gateway that is ready",
        _SECONDS,
        lambda: any(is_true(pod.get("status"), "Ready") for pod in kubectl.items(*pods)),
        lambda: f"Look with: kubectl get {' '.join(pods)}",
    )
    service = kubectl.get("inferenceservice", model, "-n", "models") or {}
    host = (service.get("status") or {}).get("url", "").partition("://")[2]
    return (
        f"The gateway answers at http://{where}. Try:\n"
        f"  curl -s -H 'Host: {host}' http://{where}/v2/models/{model}"
    )
