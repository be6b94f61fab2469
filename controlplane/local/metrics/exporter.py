"""The platform's /metrics: what kube-state-metrics, KEDA and a Pushgateway tell in a cluster."""

import secrets
import socketserver
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controlplane.kubernetes.meta import Object
from controlplane.local.metrics import objectmetrics
from controlplane.local.metrics.pushgateway import Pushed, accepting
from controlplane.local.node.processes import LOOPBACK


@dataclass(frozen=True, slots=True)
class DeploymentCounts:
    """A Deployment's numbers."""

    namespace: str
    name: str
    inferenceservice: str
    wanted: int
    """spec.replicas."""
    replicas: int
    """Pods that exist and do not end."""
    ready: int


class Exporter(Collector):
    """Serves /metrics on a loopback port; what it says is replaced as a whole."""

    def __init__(self) -> None:
        self._deployments: tuple[DeploymentCounts, ...] = ()
        self._objects: tuple[tuple[Object, ...], tuple[Object, ...]] = ((), ())
        self._held: Mapping[str, int] = {}
        self.scalers = objectmetrics.Scalers()
        pushed = Pushed()
        registry = CollectorRegistry()
        registry.register(self)
        registry.register(pushed)
        self._token = secrets.token_urlsafe(24)
        application = accepting(pushed, make_wsgi_app(registry), self._token)
        self._server = make_server(
            LOOPBACK, 0, application, server_class=_Server, handler_class=_Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.port: int = self._server.server_port

    @property
    def url(self) -> str:
        """Where it is scraped."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def push_url(self) -> str:
        """Where trainings and rollouts push to: as PUSHGATEWAY_URL, with its token."""
        return f"{self.url}/{self._token}"

    def publish(
        self,
        deployments: Iterable[DeploymentCounts],
        autoscalers: Iterable[Object] = (),
        services: Iterable[Object] = (),
        held: Mapping[str, int] | None = None,
    ) -> None:
        """Say this from now on.

        Args:
            deployments: Their numbers.
            autoscalers: HorizontalPodAutoscalers.
            services: InferenceServices.
            held: Deployments that sleep → how many requests wait for each.
        """
        self._held = held or {}
        self._deployments = tuple(deployments)
        self._objects = (tuple(autoscalers), tuple(services))

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
        held = GaugeMetricFamily(  # a cluster's activator says the same
            "predictor_requests_in_flight",
            "Connections held for a Deployment until a pod is ready.",
            labels=["namespace", "inferenceservice", "deployment"],
        )
        for one in deployments:
            if one.name in self._held:
                labels = [one.namespace, one.inferenceservice, one.name]
                held.add_metric(labels, self._held[one.name])
        yield held
        autoscalers, services = self._objects
        yield from objectmetrics.autoscalers(autoscalers)
        yield from objectmetrics.canaries(services)
        yield from self.scalers.collect()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread for each request, so that one slow client holds up no scrape."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  its name there
        """Log nothing."""
