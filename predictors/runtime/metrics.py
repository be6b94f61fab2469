"""Every metric that a predictor exports, declared together; served on a port of its own.

Labels are `model`, `model_version` and, for counts, `outcome`. Each series exists at zero from the
load on: a KEDA trigger treats a missing one as failed.

prometheus_client renders and serves; the counting itself is here. Its own counters take a lock
for each number and search buckets in Python, eight times a request: measured at a tenth of a
small request, against one lock for all of them here.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

OUTCOMES = ("ok", "invalid", "rejected", "deadline", "cancelled", "unready", "error")
# Seconds, 50 µs to 30 s: an iris answer takes under 100 µs, a generated text seconds.
_SECONDS = (
    *(5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Histogram:
    """Counts by upper bound, and their sum; the caller holds the lock."""

    __slots__ = ("bounds", "counts", "help", "name", "sum")

    def __init__(self, name: str, text: str, bounds: tuple[float, ...] = _SECONDS) -> None:
        self.name = name
        self.help = text
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def family(self, labels: dict[str, str]) -> HistogramMetricFamily:
        """The histogram as Prometheus reads it: cumulative."""
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
        family = HistogramMetricFamily(self.name, self.help, labels=list(labels))
        family.add_metric(list(labels.values()), buckets, self.sum)
        return family


class ModelMetrics(Collector):
    """The metrics of one loaded model version."""

    def __init__(self, model: str, version: str, engine: str) -> None:
        self._labels = {"model": model, "model_version": version}
        self._engine = engine
        self._guard = threading.Lock()
        self._in_flight = 0
        self._outcomes = dict.fromkeys(OUTCOMES, 0)
        self._load_seconds = 0.0
        self._request = Histogram(
            "predictor_request_duration_seconds", "From a request's arrival to its answer."
        )
        self._queue = Histogram(
            "predictor_queue_duration_seconds",
            "How long queued requests waited; short calls never queue.",
        )
        self._infer = Histogram(
            "predictor_infer_duration_seconds", "One call of the model, whatever its rows."
        )
        self._rows = Histogram("predictor_batch_rows", "Rows in one call of the model.", _ROWS)

    def begin(self) -> None:
        """A request came in."""
        with self._guard:
            self._in_flight += 1

    def end(self, outcome: str, seconds: float) -> None:
        """A request was answered."""
        with self._guard:
            self._in_flight -= 1
            self._outcomes[outcome] += 1
            self._request.observe(seconds)

    def turned_away(self) -> None:
        """A request was refused unread; it has no duration, which would flatter the others."""
        with self._guard:
            self._outcomes["rejected"] += 1

    def queued(self, seconds: float) -> None:
        """A queued request reached the model."""
        with self._guard:
            self._queue.observe(seconds)

    def inferred(self, rows: int, seconds: float) -> None:
        """The model was called."""
        with self._guard:
            self._infer.observe(seconds)
            self._rows.observe(rows)

    def loaded(self, seconds: float) -> None:
        """The model answered its golden sample."""
        self._load_seconds = seconds

    def collect(self) -> Iterator[Metric]:
        """Render every series, for prometheus_client."""
        labels, values = list(self._labels), list(self._labels.values())
        with self._guard:
            requests = CounterMetricFamily(
                "predictor_requests_total",
                "Infer requests answered, by outcome.",
                labels=[*labels, "outcome"],
            )
            for outcome, count in self._outcomes.items():
                requests.add_metric([*values, outcome], count)
            in_flight = GaugeMetricFamily(
                "predictor_requests_in_flight",
                "Infer requests received and not answered yet: what the model is scaled on.",
                labels=labels,
            )
            in_flight.add_metric(values, self._in_flight)
            histograms = (self._request, self._queue, self._infer, self._rows)
            families = [histogram.family(self._labels) for histogram in histograms]
        info = GaugeMetricFamily(
            "predictor_model_info",
            "Always 1; its labels say what is loaded.",
            labels=[*labels, "engine"],
        )
        info.add_metric([*values, self._engine], 1)
        load = GaugeMetricFamily(
            "predictor_load_seconds",
            "From the start of the load to the golden sample answered.",
            labels=labels,
        )
        load.add_metric(values, self._load_seconds)
        yield from (requests, in_flight, *families, info, load)

    def serve(self, host: str, port: int) -> None:
        """Answer GET /metrics in a thread of its own."""
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        start_http_server(port, addr=host, registry=registry)
