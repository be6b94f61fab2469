"""/metrics of several workers: the sum of what each counts, and of what their processes use."""

import logging
import os
import socket
import socketserver
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from predictors.runtime.observe.metrics import ModelMetrics

_CLIENT_SECONDS = 2.0  # for a scrape; nobody else is answered meanwhile
_CPU = "process_cpu_seconds_total"
_SUMMED = {
    _CPU,
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
}
logger = logging.getLogger("serin.workers")


class WorkersMetrics(Collector):
    """Adds up at each scrape."""

    def __init__(
        self,
        new: Callable[[], ModelMetrics],
        parts: Sequence[ModelMetrics],
        pids: Collection[int],
    ) -> None:
        self.restarts = 0
        self._new = new  # with nothing counted yet
        self._parts = parts
        self._pids = pids  # of the workers that run now
        self._ended_cpu_seconds = 0.0

    def ended(self, cpu_seconds: float) -> None:
        """Keep what an ended worker used, so that the total never falls."""
        self._ended_cpu_seconds += cpu_seconds

    def collect(self) -> Iterator[Metric]:
        """Render every series, for prometheus_client."""
        total = self._new()
        for part in self._parts:
            total.add(part)
        yield from total.collect()
        labels, values = list(total.labels), list(total.labels.values())
        workers = GaugeMetricFamily(
            "predictor_workers", "Worker processes that are loaded.", labels=labels
        )
        workers.add_metric(values, sum(part.is_loaded for part in self._parts))
        restarts = CounterMetricFamily(
            "predictor_worker_restarts", "Workers that died and were replaced.", labels=labels
        )
        restarts.add_metric(values, self.restarts)
        yield from (workers, restarts, *self._processes())

    def _processes(self) -> list[Metric]:
        """Of the parent; what can be added up, with that of its workers."""
        own = _process(os.getpid())
        sums = {_CPU: self._ended_cpu_seconds}
        for pid in self._pids:
            for metric in _process(pid):
                for sample in metric.samples:
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        for metric in own:
            metric.samples = [
                one._replace(value=one.value + sums.get(one.name, 0.0))
                if one.name in _SUMMED
                else one
                for one in metric.samples
            ]
        return own


def _process(pid: int) -> list[Metric]:
    return list(ProcessCollector(pid=lambda: pid, registry=None).collect())


class _Server(socketserver.TCPServer):
    """One request at a time, answered by whoever calls `handle_request`."""

    allow_reuse_address = True
    timeout = 0  # handle_request: whoever is there already, or nobody

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note that a scrape broke off."""
        logger.debug("a scrape from %s broke off", client_address)


def metrics_server(host: str, port: int, collector: Collector) -> socketserver.TCPServer:
    """A server of GET /metrics that needs no thread: call its `handle_request` when readable.

    Raises:
        OSError: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    patient = {"timeout": _CLIENT_SECONDS, "registry": registry}
    handler = type("Handler", (MetricsHandler,), patient)
    family = {"address_family": socket.AF_INET6 if ":" in host else socket.AF_INET}
    server: socketserver.TCPServer
    try:
        server = type("Server", (_Server,), family)((host, port), handler)
    except OSError as error:
        raise OSError(
            f"metrics cannot listen on {host}:{port}: {error.strerror}; set PREDICTOR_METRICS_PORT"
        ) from error
    return server
