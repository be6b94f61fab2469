"""The platform's own /metrics: what kube-state-metrics tells of Deployments in a cluster."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controlplane.local.envoy import LOOPBACK


@dataclass(frozen=True, slots=True)
class DeploymentCounts:
    """A Deployment's numbers."""

    namespace: str
    name: str
    wanted: int
    """spec.replicas."""
    replicas: int
    """Pods that exist and do not end."""
    ready: int


class Exporter(Collector):
    """Serves /metrics on a loopback port; what it says is replaced as a whole."""

    def __init__(self) -> None:
        self._deployments: tuple[DeploymentCounts, ...] = ()
        registry = CollectorRegistry()
        registry.register(self)
        self._server, self._thread = start_http_server(0, LOOPBACK, registry)
        self.port: int = self._server.server_port

    def publish(self, deployments: Iterable[DeploymentCounts]) -> None:
        """Say this from now on."""
        self._deployments = tuple(deployments)

    def collect(self) -> Iterator[Metric]:
        """The metrics, under kube-state-metrics' names."""
        numbers = {
            "spec_replicas": ("Number of desired pods for a deployment.", "wanted"),
            "status_replicas": ("The number of replicas per deployment.", "replicas"),
            "status_replicas_ready": ("The number of ready replicas per deployment.", "ready"),
        }
        deployments = self._deployments
        for name, (text, field) in numbers.items():
            family = GaugeMetricFamily(
                f"kube_deployment_{name}", text, labels=["namespace", "deployment"]
            )
            for one in deployments:
                family.add_metric([one.namespace, one.name], getattr(one, field))
            yield family

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
