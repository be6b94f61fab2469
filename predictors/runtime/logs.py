"""One JSON object a line on stdout, for our records, kserve's and uvicorn's alike.

Request lines take a path of their own: they are built as bytes and written many at a time by one
thread, since `logging` costs more than the rest of a small request.
"""

import json
import logging
import logging.config
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any

import orjson

_FLUSH_SECONDS = 0.1
_MAX_PENDING = 100_000  # lines; past it the oldest are lost: a blocked stdout must not eat memory
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
    """Collects request lines and writes them in one go every tenth of a second."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._pending: deque[bytes] = deque(maxlen=_MAX_PENDING)
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        if enabled:
            self._thread.start()

    def write(self, fields: dict[str, Any]) -> None:
        """Note one request; `time` is added here, when it was answered."""
        fields["time"] = datetime.now(UTC)
        self._pending.append(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is left."""
        self._stopped.set()
        self._wake.set()
        if self.enabled:
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait()
            self._stopped.wait(_FLUSH_SECONDS)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = []
        while self._pending:
            lines.append(self._pending.popleft())
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()
