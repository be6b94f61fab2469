"""A log's JSON records as lines for people; for programs they stay as they are."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scripts.show.durations import milliseconds

_TOLD = {
    *(
        "time",
        "level",
        "logger",
        "event",
        "model",
        "model_version",
        "protocol",
        "status",
        "outcome",
    ),
    *("duration_seconds", "request_id", "x_request_id", "rows", "exception"),
}
"""Fields that have their place in the line, or that an id leads to."""


def readable(line: str) -> str:
    """What a person reads of a line: time of day, what it is about, what happened."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict):
        return line
    words = [_clock(record.get("time")), str(record.get("model", ""))]
    if "status" in record:
        words += [str(record["status"]), milliseconds(record.get("duration_seconds"))]
        if record.get("outcome") not in {"ok", None}:
            words.append(str(record["outcome"]))
        words.append(str(record.get("request_id") or record.get("x_request_id") or ""))
    elif "explanation" in record:  # a line of scaling.log: all else is in the sentence
        return " ".join((words[0], str(record.get("scaledobject", "")), str(record["explanation"])))
    else:
        level = record.get("level", "INFO")
        words += [level if level != "INFO" else "", str(record.get("event", ""))]
    words += [f"{name} {_value(value)}" for name, value in record.items() if name not in _TOLD]
    text = " ".join(word for word in words if word)
    return f"{text}\n{record['exception']}" if record.get("exception") else text


def _clock(time: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(time)).astimezone():%H:%M:%S}"
    except ValueError:
        return ""


def _value(value: Mapping[str, Any] | object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
