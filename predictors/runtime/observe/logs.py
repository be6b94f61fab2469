"""One JSON object a line on stdout, for our records, kserve's and uvicorn's alike.

Request lines take a path of their own, since `logging` costs more than the rest of a small
request.
"""

import contextlib
import json
import logging
import logging.config
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from predictors.runtime.v2.record import Record

_FLUSH_SECONDS = 0.1
_BATCH = 16  # request lines formatted in one go
_REFUSED_SECONDS = 1.0  # one line for all that were refused in that time
_MAX_PENDING = 4_000  # batches; past it the oldest are lost: a blocked stdout must not eat memory
_MAX_TEXT = 256  # characters of a client's text in a line
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object: the message is the event, `extra` its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Serialise the record; an exception becomes a field."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send every logger of the process through one JSON handler on stdout."""
    quiet = {"level": "WARNING"}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {
                "stdout": {
                    "class": "logging.StreamHandler",
                    "formatter": "json",
                    "stream": "ext://sys.stdout",
                }
            },
            "root": {"level": level, "handlers": ["stdout"]},
            # kserve configures its own format unless its logger has a handler.
            "loggers": {
                "kserve": {"handlers": ["stdout"], "propagate": False, **quiet},
                "uvicorn": quiet,
                "asyncio": quiet,
            },
        }
    )


class RequestLog:
    """The request lines of one model: noted as they end, written many at a time.

    Noting is a tuple in a list. Lines are formatted when a batch is full, or a tenth of a second
    later by the thread that writes them: formatting many in a row costs a third of formatting
    each between two requests, and small batches keep the pause below what p99 would show.
    """

    def __init__(self, model: str, version: str, *, enabled: bool, alone: bool = True) -> None:
        self.enabled = enabled
        self._alone = alone  # whether no other process writes to the same stdout
        fixed = {"level": "INFO", "logger": "serin.request", "event": "infer"}
        fixed |= {"model": model, "model_version": version}
        self._head = json.dumps(fixed)[:-1]
        self._fixed = fixed
        self._refused = 0
        self._refused_told_at = 0.0
        self._noted: deque[Note] = deque()
        self._chunks: deque[bytes] = deque(maxlen=_MAX_PENDING)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        if enabled:
            self._thread.start()

    def write(self, note: "Note") -> None:
        """Note one answered request."""
        self._noted.append(note)
        if len(self._noted) >= _BATCH:
            self._chunks.append(self._formatted())  # waking the writer would cost a thread switch

    def turned_away(self) -> None:
        """Note a request that was refused because the queue is full; they share a line a second."""
        self._refused += self.enabled

    def answered(self, line: bytes) -> None:
        """Write the answer to a shadowed request, whatever the log level: it was asked for."""
        self._chunks.append(line)
        if not self._thread.is_alive() and not self._stopped.is_set():
            self._thread.start()

    def close(self) -> None:
        """Write what is left."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stopped.wait(_FLUSH_SECONDS):
            self._flush()
        self._refused_told_at = 0.0
        self._flush()

    def _flush(self) -> None:
        while self._noted:
            self._chunks.append(self._formatted())
        if self._refused and time.monotonic() - self._refused_told_at >= _REFUSED_SECONDS:
            self._chunks.append(self._refused_line())
        while self._chunks:
            chunk = self._chunks.popleft()
            if self._alone:
                sys.stdout.buffer.write(chunk)
                continue
            for piece in _whole_lines(chunk, select.PIPE_BUF):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
        sys.stdout.buffer.flush()

    def _refused_line(self) -> bytes:
        """One line for all that were refused since the last such line."""
        count, self._refused = self._refused, 0
        self._refused_told_at = time.monotonic()
        line = self._fixed | {
            "level": "WARNING",
            "event": "queue full",
            "time": datetime.now(UTC).isoformat(),
            "outcome": "rejected",
            "requests": count,
        }
        return f"{json.dumps(line)}\n".encode()

    def _formatted(self) -> bytes:
        """Take up to a batch of notes; any thread may be doing the same."""
        lines: list[str] = []
        with contextlib.suppress(IndexError):
            while len(lines) < _BATCH:
                lines.append(self._line(*self._noted.popleft()))
        return "".join(lines).encode()

    def _line(
        self,
        ended: float,
        record: Record,
        seconds: float,
        outcome: str,
        status: int | str,
        error: str,
    ) -> str:
        head = (
            f'{self._head}, "time": "{datetime.fromtimestamp(ended, UTC).isoformat()}", '
            f'"protocol": "{record.protocol}", "status": {json.dumps(status)}, '
            f'"outcome": "{outcome}", "rows": {record.rows}, "duration_seconds": {seconds:.6f}, '
            f'"request_id": {json.dumps(record.request_id[:_MAX_TEXT])}'
        )
        if record.client_id:
            head += f', "x_request_id": {json.dumps(record.client_id)}'
        if record.traceparent:
            head += f', "traceparent": {json.dumps(record.traceparent)}'
        if error:
            head += f', "error": {json.dumps(error[:_MAX_TEXT])}'
        return head + "}\n"


def _whole_lines(chunk: bytes, size: int) -> Iterator[bytes]:
    """Parts of at most `size` bytes, which a pipe takes whole; a longer line is one by itself."""
    while chunk:
        end = len(chunk) if len(chunk) <= size else chunk.rfind(b"\n", 0, size) + 1
        end = end or chunk.find(b"\n") + 1
        yield chunk[:end]
        chunk = chunk[end:]


Note = tuple[float, Record, float, str, int | str, str]
"""When it ended (Unix seconds), the call, its seconds, outcome, status and error."""
