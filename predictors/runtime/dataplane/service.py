"""What both transports do alike around `infer`: admission, the in-flight gauge, outcome and log."""

import time
from collections.abc import Callable
from typing import Any

from predictors.runtime.dataplane.batcher import Batcher
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.dataplane.shadow import Copies, Shadow
from predictors.runtime.dataplane.streaming import StreamingModel
from predictors.runtime.observe.logs import RequestLog
from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.observe.telemetry import Tracing
from predictors.runtime.v2.errors import Behind, InvalidRequest, NotFound, NotReady, V2Error
from predictors.runtime.v2.model_config import model_config
from predictors.runtime.v2.record import Record, Timing
from predictors.runtime.v2.signature import Outputs, Request

GENERATION = b"serin-generation"
MIN_GENERATION = b"x-min-generation"
_MAX_DIGITS = 15


class Service:
    """One loaded model and what is kept about its requests.

    A server that follows a channel has one for each engine, and replaces the one that new requests
    are given (`Coalescer.service`). A request ends on the one that admitted it.
    """

    def __init__(
        self,
        model: V2Model,
        batcher: Batcher,
        metrics: ModelMetrics,
        log: RequestLog,
        tracing: Tracing | None = None,
    ) -> None:
        self.model = model
        self.batcher = batcher
        self.log = log
        self.draining = False
        self.trouble = ""
        """Why nobody is answered though the model is loaded."""
        self.generation = 0
        """Of the channel that is followed; 0 where none is."""
        self.marks: tuple[tuple[bytes, bytes], ...] = ()
        """What every answer's headers say of it."""
        self.last_request = time.perf_counter()
        self.metrics = metrics
        self.copies: Copies | None = None
        """Where another engine answers copies of this one's requests."""
        self._tracing = tracing
        self._shadow = Shadow(model.name, model.version, model.outputs)

    @property
    def ready(self) -> bool:
        """Whether new clients should come: loaded, and not shutting down."""
        return self.model.ready and not self.draining

    @property
    def in_flight(self) -> int:
        """Requests that it has admitted and not answered."""
        return self.metrics.in_flight[0]

    def serve_generation(self, generation: int) -> None:
        """Say in every answer from now on which generation of the channel it is of."""
        self.generation = generation
        self.marks = ((GENERATION, b"%d" % generation),)

    def suspend(self, trouble: str) -> None:
        """Answer nobody until `resume`: what comes is for another replica."""
        self.trouble, self.model.ready = trouble, False

    def resume(self) -> None:
        """Answer again."""
        self.trouble, self.model.ready = "", True

    def check_generation(self, given: bytes | None) -> None:
        """Hold this replica to what a client has seen of another (x-min-generation).

        Raises:
            Behind: the client has seen a newer one.
            InvalidRequest: it is no number.
        """
        if given is None:
            return
        if not given.isdigit() or len(given) > _MAX_DIGITS:
            raise InvalidRequest(
                f"x-min-generation must be a number, got {given[:40].decode('latin-1')!r}"
            )
        if int(given) > self.generation:
            raise Behind(
                f"model '{self.model.name}' serves generation {self.generation} here, and "
                f"x-min-generation is {int(given)}"
            )

    def check_version(self, version: str | None) -> None:
        """Raise NotFound unless `version` is the one served, or none was asked for."""
        if version and version != self.model.version:
            raise NotFound(
                f"model '{self.model.name}' has no version '{version}' here; "
                f"it serves {self.model.version}"
            )

    def check_model(self, name: str, version: str) -> None:
        """Raise NotFound unless this model is meant, and its version or none."""
        if name != self.model.name:
            raise NotFound(f"model '{name[:80]}' not found; this server has {self.model.name}")
        self.check_version(version)

    @property
    def streams(self) -> bool:
        """Whether the model can answer piece by piece."""
        return isinstance(self.model, StreamingModel)

    def config(self, max_rows: int) -> dict[str, Any]:
        """The model's configuration in Triton's form; `max_rows` are computed at once."""
        model = self.model
        return model_config(
            model.name, model.platform, model.signature, max_rows=max_rows, streams=self.streams
        )

    def begin(self, record: Record) -> None:
        """Count a request in."""
        self.metrics.begin()
        self.last_request = record.started

    def check_ready(self) -> None:
        """Raise NotReady unless the model is loaded."""
        if self.trouble:
            raise Behind(f"model '{self.model.name}' is not ready: {self.trouble}")
        if not self.model.ready:
            raise NotReady(f"model '{self.model.name}' is not ready")

    def accept(self, record: Record, request: Request) -> None:
        """Take over what the decoded request tells."""
        record.request_id, record.rows = request.id, request.rows
        if self._tracing is not None:
            request.timing = record.timing = Timing()

    def turn_away(self) -> None:
        """Count a request that was refused before it was looked at."""
        self.metrics.turned_away()
        self.log.turned_away()

    def end(self, record: Record, error: V2Error | None, outputs: Outputs | None = None) -> None:
        """Count a request out and log it; `outputs` are what was answered, where it was."""
        outcome, status = record.ended(error)
        seconds = time.perf_counter() - record.started
        if record.shadow:
            self.log.answered(self._shadow.line(record, seconds, error, outputs))
        if record.shadow and self._shadow.is_copy(record.shadow):
            self.metrics.end_copy(outcome)
        else:
            self.metrics.end(outcome, seconds)
        if self.log.enabled:
            text = "" if error is None else str(error)
            self.log.write((time.time(), record, seconds, outcome, status, text))
        if self._tracing is not None:
            self._tracing.record(record, seconds, outcome, status)

    def copies_of(self, mark: bytes, begin: Callable[[], None]) -> Copies:
        """Have this engine answer copies; see Copies."""
        return Copies(self.model, self._shadow, self.log, mark, begin)

    def forget(self) -> None:
        """Free the engine: whoever still refers to the model holds an empty one."""
        vars(self.model).clear()

    def close(self) -> None:
        """Compute what is queued, write what is noted."""
        self.batcher.close()
        self.log.close()
        if self._tracing is not None:
            self._tracing.close()
