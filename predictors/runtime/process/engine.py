"""From a loaded model to the Service that answers with it."""

from predictors.runtime.artifact.golden import read_inputs
from predictors.runtime.dataplane.batcher import Batcher
from predictors.runtime.dataplane.class_counts import classes_of
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.dataplane.service import Service
from predictors.runtime.dataplane.streaming import StreamBatcher, StreamingModel
from predictors.runtime.observe import logs
from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.observe.telemetry import tracing_of
from predictors.runtime.process.settings import Settings


def metrics_of(model: V2Model) -> ModelMetrics:
    """The metrics of a version."""
    facts = model.name, model.version, model.manifest.engine
    return ModelMetrics(*facts, classes=classes_of(model.outputs))


def service_of(
    model: V2Model, settings: Settings, metrics: ModelMetrics, *, alone: bool = True
) -> Service:
    """What answers with a model, warm.

    Args:
        model: Loaded.
        settings: Of the process.
        metrics: Where its requests are counted.
        alone: Whether no other process writes to the same stdout.
    """
    limits = {"max_rows": settings.max_batch_rows, "queue_size": settings.queue_size}
    batcher: Batcher
    if isinstance(model, StreamingModel):
        batcher = StreamBatcher(model, metrics, **limits)
    else:
        batcher = Batcher(model, metrics, **limits, queue_seconds=settings.queue_seconds)
    batcher.measure(read_inputs(model.manifest.golden_sample, model.signature).arrays)
    log = logs.RequestLog(
        model.name,
        model.version,
        enabled=settings.log_level in ("DEBUG", "INFO"),
        alone=alone,
    )
    return Service(model, batcher, metrics, log, tracing_of(model.name, model.version))
