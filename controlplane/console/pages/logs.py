"""A log's lines, as predictors and training scripts write them."""

import json
from dataclasses import dataclass
from typing import Any

from controlplane.console.pages import words
from controlplane.console.sources.answer import MALFORMED


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a predictor's log, which is JSON, or whatever it wrote."""

    time: str
    level: str
    text: str
    fields: str


def lines(text: str) -> list[LogLine]:
    """Lines of a log; JSON as predictors write it is taken apart."""
    return [_line(line) for line in words.log(text).splitlines() if line.strip()]


def _line(text: str) -> LogLine:
    text = words.short(text, 1500)
    try:
        entry: dict[str, Any] = dict(json.loads(text))
        moment = words.moment(entry.pop("time"))
        level, event = str(entry.pop("level")), str(entry.pop("event"))
    except MALFORMED:
        return LogLine("", "", text, "")
    for name in ("logger", "model", "model_version"):
        entry.pop(name, None)
    at = moment.strftime("%H:%M:%S") if moment else ""
    fields = "  ".join(f"{name}={words.short(value, 300)}" for name, value in entry.items())
    return LogLine(at, level, event, fields)
