"""OpenTelemetry spans, as a collector gets them."""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from predictors.runtime.lean_kserve import pb
from tests.support.predictor import reason, running, start_refused, wait_until
from tests.support.slow_model import write_artifact
from tests.support.threads import serving

MODULE = "tests.support.slow_model"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """An OTLP/HTTP receiver."""

    def __init__(self) -> None:
        self.exports: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    collector.exports.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def resources(self) -> list[dict[str, Any]]:
        """Attributes of each exporting process."""
        return [
            attributes(one.resource) for export in self.exports for one in export.resource_spans
        ]

    @property
    def spans(self) -> list[Any]:
        """All spans so far."""
        return [
            span
            for export in self.exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes(holder: Any) -> dict[str, Any]:
    """Attributes by name."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in holder.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A running collector."""
    found = Collector()
    with serving(found.server):
        yield found


def rows(*seconds: float) -> dict[str, Any]:
    """A request whose rows take that long."""
    tensor = {"name": "seconds", "datatype": "FP32", "shape": [len(seconds)], "data": list(seconds)}
    return {"id": "seven", "inputs": [tensor]}


def test_each_request_is_a_span_below_the_client_s(tmp_path: Path, collector: Collector) -> None:
    """REST and gRPC, answered and refused: parent, model, outcome, times. Unsampled: none."""
    artifact = write_artifact(tmp_path / "artifact")
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with running("slow", artifact, tmp_path / "log", module=MODULE, **environment) as predictor:
        sampled = predictor.infer(rows(0.05, 0.05), traceparent=f"00-{TRACE}-{PARENT}-01")
        predictor.infer(rows(0.0), traceparent=f"00-{TRACE}-{PARENT}-00")
        refused = predictor.infer({"inputs": []})
        message = pb.ModelInferRequest(model_name="slow", id="eight")
        tensor = message.inputs.add(name="seconds", datatype="FP32", shape=[1])
        tensor.contents.fp32_contents.append(-1.0)
        with pytest.raises(Exception, match="failed on a valid request"):
            predictor.call("ModelInfer", message)
        wait_until(lambda: len(collector.spans) == 3, 60, "three spans")
        predictor.stop()
    first, second, third = collector.spans
    told = attributes(first)

    assert (sampled.status, refused.status) == (200, 400)
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert (first.name, first.kind) == ("POST /v2/models/{model}/infer", first.SPAN_KIND_SERVER)
    assert (told["serin.model.name"], told["serin.model.version"]) == (
        "slow",
        predictor.manifest.version,
    )
    assert told["http.response.status_code"] == 200
    assert (told["serin.outcome"], told["serin.rows"], told["serin.request.id"]) == (
        "ok",
        2,
        "seven",
    )
    assert told["serin.batch.rows"] == 2
    seconds = (first.end_time_unix_nano - first.start_time_unix_nano) / 1e9
    assert 0.05 <= told["serin.infer.duration_seconds"] <= seconds
    assert 0 <= told["serin.queue.duration_seconds"] <= seconds
    assert first.end_time_unix_nano <= time.time_ns()
    assert not second.parent_span_id
    assert (attributes(second)["serin.outcome"], second.status.code) == ("invalid", 0)
    assert attributes(third)["rpc.response.status_code"] == "INTERNAL"
    assert third.status.code == third.status.STATUS_CODE_ERROR
    assert len(collector.spans) == 3  # nothing more came at the end
    assert {one["service.name"] for one in collector.resources} == {"slow"}


def test_without_a_collector_requests_are_answered_and_the_end_is_quick(tmp_path: Path) -> None:
    """Spans are lost, nothing else is."""
    artifact = write_artifact(tmp_path / "artifact")
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with running(
        "slow",
        artifact,
        tmp_path / "log",
        module=MODULE,
        PREDICTOR_DRAIN_SECONDS="0",
        **environment,
    ) as predictor:
        statuses = [predictor.infer(rows(0.0)).status for _ in range(5)]
        predictor.process.terminate()
        code = predictor.process.wait(10)  # it gives up its spans, rather than trying for longer

    assert statuses == [200] * 5
    assert code == 0


def test_spans_that_cannot_be_exported_are_a_sentence(tmp_path: Path) -> None:
    """Asked for and impossible: it says so at the start instead of losing them."""
    artifact = write_artifact(tmp_path / "artifact")
    without = "import sys; sys.modules['opentelemetry.exporter'] = None"
    (tmp_path / "sitecustomize.py").write_text(without)
    wanted = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    over_grpc = wanted | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    grpc = start_refused("slow", MODULE, artifact, **over_grpc)
    missing = start_refused("slow", MODULE, artifact, PYTHONPATH=str(tmp_path), **wanted)

    assert (grpc.returncode, missing.returncode) == (1, 1)
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: spans go over http/protobuf only" in reason(grpc)
    assert "serin install telemetry" in reason(missing)
