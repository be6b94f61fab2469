"""Shadowed requests: what a version answered, as one log line to compare with another version's.

A gateway that mirrors requests to a version under trial marks them with a header,
`serin-shadow: <trial>/<version under trial>`, on the original and on the copy. Both predictors then
log what they answered, under the x-request-id that both have. A replica that follows a channel has
both engines, and marks and copies by itself (`Copies`). The lines tell outputs, never inputs, and
of many rows the first: as it is for the counts of answers.py.
"""

import hashlib
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from predictors.runtime.dataplane.class_counts import class_scores
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.observe.logs import RequestLog
from predictors.runtime.v2.datatypes import to_wire
from predictors.runtime.v2.errors import InferenceFailed, V2Error
from predictors.runtime.v2.record import Record
from predictors.runtime.v2.signature import Arrays, Outputs, Request
from predictors.runtime.v2.spec import TensorSpec

HEADER = b"serin-shadow"
_MAX_MARK = 128
_MAX_CLASS = 64
_DIGEST_BYTES = 8
logger = logging.getLogger("serin.shadow")


class Shadow:
    """Writes the lines of one model version."""

    def __init__(self, model: str, version: str, outputs: Sequence[TensorSpec]) -> None:
        self._version = version.encode()
        self._outputs = outputs
        self._scores = class_scores(outputs)
        self._fixed = {"event": "shadow", "model": model, "model_version": version}

    def is_copy(self, mark: bytes) -> bool:
        """Whether this version is the one under trial: nobody waits for its answer."""
        return mark.partition(b"/")[2] == self._version

    def line(
        self, call: Record, seconds: float, error: V2Error | None, outputs: Outputs | None
    ) -> bytes:
        """One line: who, which request, how it ended, and its first row's class and scores.

        Args:
            call: The request; its `shadow` is the header's value.
            seconds: From its arrival to its answer.
            error: How it ended; None where it was answered.
            outputs: What the model answered; None where it failed.
        """
        outcome, status = call.ended(error)
        told: dict[str, Any] = {
            **self._fixed,
            "time": datetime.fromtimestamp(time.time(), UTC).isoformat(),
            "shadow": call.shadow[:_MAX_MARK].decode("latin-1"),
            "x_request_id": call.client_id,
            "protocol": call.protocol,
            "outcome": outcome,
            "status": status,
            "seconds": round(seconds, 6),
        }
        if outputs is not None:
            told |= self._answered(outputs)
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)

    def _answered(self, outputs: Outputs) -> dict[str, Any]:
        """The first row's class and scores; a digest of everything where there are no classes."""
        spec = self._scores
        if spec is not None and len(outputs[spec.name]):
            row = outputs[spec.name][0].tolist()
            label = (spec.labels or ())[row.index(max(row))]
            return {"class": label[:_MAX_CLASS], "scores": [round(score, 4) for score in row]}
        found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for one in self._outputs:
            array = outputs[one.name]
            found.update(to_wire(array, one.datatype))
        return {"digest": found.hexdigest()}


class Copies:
    """Has an engine answer copies of the requests that another one answers, and logs both.

    One at a time: what comes meanwhile is not copied. Nobody waits for the answers, and they are
    not counted.
    """

    def __init__(
        self,
        model: V2Model,
        shadow: Shadow,
        log: RequestLog,
        mark: bytes,
        begin: Callable[[], None],
    ) -> None:
        """Wait for requests.

        Args:
            model: The engine.
            shadow: Its lines.
            log: Where they go.
            mark: What both versions' lines are known by.
            begin: Called first in the thread that answers.
        """
        self._model = model
        self._shadow = shadow
        self._log = log
        self._mark = mark
        self._idle = True
        self._taken: queue.SimpleQueue[tuple[Record, Arrays, int] | None] = queue.SimpleQueue()
        # An engine that never answers must not keep the process from its end.
        threading.Thread(target=self._run, args=(begin,), name="copies", daemon=True).start()

    def take(self, record: Record, request: Request) -> None:
        """Copy a request that is about to be answered, unless there is one already."""
        if not self._idle or record.shadow or not request.rows:
            return
        self._idle = False
        record.client_id = record.client_id or uuid.uuid4().hex
        record.shadow = self._mark
        copy = Record(record.protocol)
        copy.client_id, copy.shadow = record.client_id, self._mark
        arrays = {name: array.copy() for name, array in request.arrays.items()}
        self._taken.put((copy, arrays, request.rows))

    def close(self) -> None:
        """Take nothing more; what is being computed is of no use any more."""
        self._idle = False
        self._taken.put(None)

    def _run(self, begin: Callable[[], None]) -> None:
        begin()
        while (taken := self._taken.get()) is not None:
            record, arrays, rows = taken
            outputs, error = None, None
            try:
                outputs = self._model.check_outputs(self._model.infer(arrays), rows)
            except V2Error as raised:
                error = raised
            except Exception as raised:
                logger.exception("a copy was not answered", extra={"rows": rows})
                error = InferenceFailed(f"{type(raised).__name__}")
            seconds = time.perf_counter() - record.started
            self._log.answered(self._shadow.line(record, seconds, error, outputs))
            self._idle = True
