"""The metrics of every engine of one process, and of the channel that it follows, on one page.

Engines of two versions have series of the same names: here each name is one family.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.observe.scrapes import start

_CHANNEL = (
    (
        "generation",
        "predictor_channel_serving_generation",
        "Generation that is served; 0 for none.",
    ),
    (
        "prepared",
        "predictor_channel_prepared_generation",
        "Newest generation with a loaded engine.",
    ),
    ("seen", "predictor_channel_seen_generation", "Newest generation that was read."),
    (
        "switched_late_seconds",
        "predictor_channel_switch_late_seconds",
        "From the instant of the last generation to the switch to it.",
    ),
    (
        "switched_at",
        "predictor_channel_switched_timestamp_seconds",
        "When the last generation was switched to, in Unix seconds; 0 for never.",
    ),
    (
        "troubled",
        "predictor_channel_late",
        "1 where the replica cannot follow: strict ones answer nobody then.",
    ),
)


class Together(Collector):
    """What /metrics of a predictor shows."""

    def __init__(self, first: ModelMetrics) -> None:
        self._engines = [first]
        self._model = first.labels["model"]
        self._channel: dict[str, Any] | None = None

    def add(self, metrics: ModelMetrics) -> None:
        """Show an engine more."""
        self._engines = [*self._engines, metrics]

    def remove(self, metrics: ModelMetrics) -> None:
        """Show an engine no longer."""
        self._engines = [one for one in self._engines if one is not metrics]

    def note(self, report: dict[str, Any]) -> None:
        """Show where the replica is in its channel."""
        self._channel = report

    def collect(self) -> Iterator[Metric]:
        """Render every series, for prometheus_client."""
        families: dict[str, Metric] = {}
        for engine in self._engines:
            for family in engine.collect():
                known = families.setdefault(family.name, family)
                if known is not family:
                    known.samples += family.samples
        yield from families.values()
        if self._channel is not None:
            for key, name, text in _CHANNEL:
                gauge = GaugeMetricFamily(name, text, labels=["model"])
                gauge.add_metric([self._model], float(self._channel[key]))
                yield gauge

    def serve(self, host: str, port: int) -> None:
        """Answer GET /metrics in a thread of its own."""
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        start(host, port, make_wsgi_app(registry))
