"""Record: one infer call from first byte to answer, as its log line and its span tell it."""

import time
from dataclasses import dataclass

from predictors.runtime.v2.errors import V2Error


@dataclass(slots=True)
class Timing:
    """Where a request's time went; kept only while spans are exported."""

    queue_seconds: float = 0.0
    infer_seconds: float = 0.0
    """Of the calls of the model that its rows took part in."""
    batch_rows: int = 0
    """Rows in the last of these calls, its own and others'."""

    def computed(self, rows: int, seconds: float) -> None:
        """Add a call of the model."""
        self.infer_seconds += seconds
        self.batch_rows = rows


class Record:
    """Filled in as the call goes on; a failed one stays as far as it came."""

    __slots__ = (
        "client_id",
        "protocol",
        "request_id",
        "rows",
        "shadow",
        "started",
        "timing",
        "traceparent",
    )

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.started = time.perf_counter()
        self.request_id = ""
        self.client_id = ""  # x-request-id, as Envoy sets it
        self.traceparent = ""
        self.shadow = b""  # serin-shadow: this answer is to be compared with another version's
        self.rows = 0
        self.timing: Timing | None = None

    def ended(self, error: V2Error | None) -> tuple[str, int | str]:
        """Its outcome as it is counted, and its transport's status."""
        if error is None:
            return "ok", 200 if self.protocol == "rest" else "OK"
        return error.outcome, error.status if self.protocol == "rest" else error.grpc_code
