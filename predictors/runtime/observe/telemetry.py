"""OpenTelemetry spans of requests, exported over OTLP/HTTP; off unless an endpoint is set.

OpenTelemetry's own variables decide: OTEL_EXPORTER_OTLP_ENDPOINT (or _TRACES_ENDPOINT) switches it
on, OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none off; OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_* and the exporter's own work as everywhere.
One server span a request, written when it has ended, a child of the client's traceparent. What is
refused unread because the queue is full has none.

Its SDK is not imported while it is off.
"""

import os
import time
from typing import TYPE_CHECKING

from predictors.runtime.v2.record import Record

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
_RPC = ("inference.GRPCInferenceService", "ModelInfer")


class TelemetryError(Exception):
    """Spans were asked for and cannot be exported; the message says what to change."""


class Tracing:
    """The spans of one model version."""

    def __init__(self, provider: "TracerProvider", model: str, version: str) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("serin")
        self._propagator = TraceContextTextMapPropagator()
        self._server = SpanKind.SERVER
        self._error = Status(StatusCode.ERROR)
        self._fixed = {"serin.model.name": model, "serin.model.version": version}

    def record(self, call: Record, seconds: float, outcome: str, status: int | str) -> None:
        """Write the span of a request that has just ended."""
        ended = time.time_ns()
        attributes: dict[str, str | int | float] = {
            **self._fixed,
            "serin.outcome": outcome,
            "serin.rows": call.rows,
            "serin.request.id": call.request_id,
        }
        if call.timing is not None:
            attributes["serin.queue.duration_seconds"] = call.timing.queue_seconds
            attributes["serin.infer.duration_seconds"] = call.timing.infer_seconds
            attributes["serin.batch.rows"] = call.timing.batch_rows
        if call.protocol == "rest":
            name = "POST /v2/models/{model}/infer"
            attributes["http.request.method"], attributes["http.route"] = name.split()
            attributes["http.response.status_code"] = status
        else:
            name = "/".join(_RPC)
            attributes["rpc.system"] = "grpc"
            attributes["rpc.service"], attributes["rpc.method"] = _RPC
            attributes["rpc.response.status_code"] = status
        parent = self._propagator.extract({"traceparent": call.traceparent})
        span = self._tracer.start_span(
            name,
            parent,
            self._server,
            attributes,
            start_time=ended - int(seconds * 1e9),
        )
        if outcome == "error":  # a client's fault is none of the server's span
            span.set_status(self._error)
        span.end(ended)

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()


def tracing_of(model: str, version: str) -> Tracing | None:
    """What the environment asks for; None where it asks for nothing.

    Raises:
        TelemetryError: the packages are missing, or another protocol than OTLP over HTTP is set.
    """
    endpoint = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if endpoint is None or disabled or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), _HTTP)
    if protocol != _HTTP:
        raise TelemetryError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: spans go over {_HTTP} only; unset it, and "
            f"give {endpoint} the collector's HTTP port (4318)"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TelemetryError(
            f"{endpoint} is set, and OpenTelemetry is not installed ({error}): ./serin install "
            "telemetry, or requirements/telemetry.txt in the image; else unset it"
        ) from error
    named = Resource.create({"service.name": model, "service.version": version})
    provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider, model, version)
