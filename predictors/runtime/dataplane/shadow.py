"""Shadowed requests: what a version answered, as one log line to compare with another version's.

A gateway that mirrors requests to a version under trial marks them with a header,
`serin-shadow: <trial>/<version under trial>`, on the original and on the copy. Both predictors then
log what they answered, under the x-request-id that both have. The lines tell outputs, never inputs,
and of many rows the first: as it is for the counts of answers.py.
"""

import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from predictors.runtime.dataplane.class_counts import class_scores
from predictors.runtime.v2.datatypes import to_wire
from predictors.runtime.v2.record import Record
from predictors.runtime.v2.signature import Outputs
from predictors.runtime.v2.spec import TensorSpec

HEADER = b"serin-shadow"
_MAX_MARK = 128
_MAX_CLASS = 64
_DIGEST_BYTES = 8


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
        self, call: Record, seconds: float, outcome: str, status: int | str, outputs: Outputs | None
    ) -> bytes:
        """One line: who, which request, how it ended, and its first row's class and scores.

        Args:
            call: The request; its `shadow` is the header's value.
            seconds: From its arrival to its answer.
            outcome: As it is counted.
            status: The HTTP status, or gRPC's.
            outputs: What the model answered; None where it failed.
        """
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
