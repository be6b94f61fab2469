"""What is scraped: pods and the platform itself, kept up to date for Prometheus."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence

from controlplane.autoscale.readings import Reading
from controlplane.errors import SerinError
from controlplane.local.api.objects import Objects
from controlplane.local.controllers.plan import Plan
from controlplane.local.metrics.exporter import DeploymentCounts, Exporter
from controlplane.local.node import prometheus_server
from controlplane.local.node.pods import Pod
from controlplane.local.node.prometheus_server import Server, Target
from controlplane.statefolder import Home

NAMESPACE = "models"
RESTART_SECONDS = 5.0
_LOG = logging.getLogger(__name__)


class Monitoring:
    """Prometheus, its targets, and the platform's own metrics."""

    def __init__(self, home: Home) -> None:
        self.prometheus = Server(home)
        self.error = ""
        """Why there is no Prometheus; empty where it runs."""
        self._exporter: Exporter | None = None
        self._retry_at = 0.0

    @property
    def url(self) -> str:
        """Where Prometheus answers; empty where it does not run."""
        child = self.prometheus.child
        return self.prometheus.url if child and child.exit_code() is None else ""

    def start(self) -> None:
        """Start everything without waiting; a missing Prometheus is told and no failure."""
        self._exporter = Exporter()
        own = Target(self._exporter.port, {"namespace": "kube-system"})
        self.prometheus.scrape(prometheus_server.STATE, [own])
        self._start_prometheus()

    def step(
        self,
        pods: Sequence[Pod],
        plan: Plan,
        objects: Objects,
        held: Mapping[str, int],
    ) -> None:
        """Tell Prometheus what there is now, and start it again if it ended."""
        if self._exporter is None:
            return
        self._exporter.publish(
            counts(plan, pods),
            objects.list_of("HorizontalPodAutoscaler"),
            objects.list_of("InferenceService"),
            held,
        )
        listed = [self._target(pod) for pod in pods if pod.child and not pod.leaving]
        self.prometheus.scrape(
            prometheus_server.PREDICTORS, sorted(listed, key=lambda target: target.labels["pod"])
        )
        child = self.prometheus.child
        if child and child.exit_code() is not None and time.monotonic() > self._retry_at:
            _LOG.error("Prometheus ended (%s): starting it again", child.exit_code())
            self._start_prometheus()

    def scaled(self, namespace: str, name: str, readings: Mapping[str, Reading]) -> None:
        """A ScaledObject's triggers were read."""
        if self._exporter:
            self._exporter.scalers.read(namespace, name, readings)

    @property
    def push_url(self) -> str:
        """Where trainings push their metrics, as to a Pushgateway."""
        return self._exporter.push_url if self._exporter else ""

    def state(self) -> dict[str, str]:
        """What `serin status` tells of it."""
        return {
            "prometheus_url": self.url,
            "prometheus_error": self.error,
            "pushgateway_url": self.push_url,
        }

    def stop(self) -> None:
        """Stop everything."""
        self.prometheus.stop()
        if self._exporter:
            self._exporter.stop()
            self._exporter = None

    def _start_prometheus(self) -> None:
        self._retry_at = time.monotonic() + RESTART_SECONDS
        try:
            self.prometheus.start()
        except SerinError as error:
            self.error = str(error)
            _LOG.warning("%s", error)
        else:
            self.error = ""

    def _target(self, pod: Pod) -> Target:
        """The labels that monitoring/podmonitor.yaml gives in a cluster."""
        labels = {
            "namespace": NAMESPACE,
            "pod": pod.name,
            "container": "kserve-container",
            "deployment": pod.deployment.name,
            "inferenceservice": pod.deployment.service,
        }
        return Target(pod.metrics_port, labels)


def counts(plan: Plan, pods: Sequence[Pod]) -> Iterator[DeploymentCounts]:
    """Each planned Deployment's numbers; pods that end do not count."""
    staying = [pod for pod in pods if not pod.leaving]
    for wanted in plan.deployments:
        own = [pod for pod in staying if pod.deployment.name == wanted.name]
        yield DeploymentCounts(
            NAMESPACE,
            wanted.name,
            wanted.service,
            wanted.replicas,
            len(own),
            sum(pod.ready for pod in own),
        )
