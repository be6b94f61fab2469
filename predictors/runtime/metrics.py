"""Every metric that a predictor exports, declared together; served on a port of its own.

Labels are `model`, `model_version` and, for counts, `outcome`; their children are made once, at
load, so that each series exists at zero from the start: a KEDA trigger treats a missing one as
failed.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

OUTCOMES = ("ok", "invalid", "rejected", "deadline", "cancelled", "unready", "error")
# Seconds, 50 µs to 30 s: an iris answer takes under 100 µs, a generated text seconds.
_SECONDS = (
    *(5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_LABELS = ("model", "model_version")


class ModelMetrics:
    """The metrics of one loaded model version, each already bound to its labels."""

    def __init__(self, model: str, version: str, engine: str) -> None:
        self.registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        bound = {"model": model, "model_version": version}

        def histogram(name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            whole = Histogram(name, text, _LABELS, registry=self.registry, buckets=buckets)
            return whole.labels(**bound)

        requests = Counter(
            "predictor_requests_total",
            "Infer requests answered, by outcome.",
            (*_LABELS, "outcome"),
            registry=self.registry,
        )
        self.outcomes = {name: requests.labels(outcome=name, **bound) for name in OUTCOMES}
        self.in_flight: Gauge = Gauge(
            "predictor_requests_in_flight",
            "Infer requests received and not answered yet: what the model is scaled on.",
            _LABELS,
            registry=self.registry,
        ).labels(**bound)
        self.request_seconds = histogram(
            "predictor_request_duration_seconds", "From a request's first byte to its answer."
        )
        self.queue_seconds = histogram(
            "predictor_queue_duration_seconds",
            "How long queued requests waited; short calls never queue.",
        )
        self.infer_seconds = histogram(
            "predictor_infer_duration_seconds", "One call of the model, whatever its rows."
        )
        self.batch_rows = histogram("predictor_batch_rows", "Rows in one call of the model.", _ROWS)
        Gauge(
            "predictor_model_info",
            "Always 1; its labels say what is loaded.",
            (*_LABELS, "engine"),
            registry=self.registry,
        ).labels(engine=engine, **bound).set(1)
        self.load_seconds: Gauge = Gauge(
            "predictor_load_seconds",
            "From the start of the load to the golden sample answered.",
            _LABELS,
            registry=self.registry,
        ).labels(**bound)

    def serve(self, host: str, port: int) -> None:
        """Answer GET /metrics in a thread of its own."""
        start_http_server(port, addr=host, registry=self.registry)
