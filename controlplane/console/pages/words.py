"""Values as people read them. Whatever a name, a message or a log says, it stays one text."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from controlplane.console.sources.answer import MALFORMED
from controlplane.differences import shown

LONGEST = 2000
DASH = "–"
# C0 and C1 controls but for line ends and tabs, and what turns the direction of the text around it.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def clean(value: object) -> object:
    """A template's expression: text without what would act on the text around it."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return DASH if value is None else value
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", value)


def instant(seconds: float) -> datetime | None:
    """Unix seconds as a time; None where they are none."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (*MALFORMED, OSError):
        return None


def short(text: object, limit: int = LONGEST) -> str:
    """Text of at most so many characters."""
    said = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False, default=str)
    return said if len(said) <= limit else f"{said[: limit - 1]}…"


def log(text: str) -> str:
    """A log without a terminal's colours."""
    return _ESCAPES.sub("", text)


def version_of(uri: object) -> str:
    """The last part of a storageUri."""
    return short(str(uri or "").rstrip("/").rpartition("/")[2], 64)


def moment(text: object) -> datetime | None:
    """A Kubernetes time."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def age(at: datetime | None, now: datetime | None = None) -> str:
    """How long ago, in the largest unit that fits."""
    if at is None:
        return DASH
    return duration(max(((now or datetime.now(UTC)) - at).total_seconds(), 0))


def duration(seconds: float | None) -> str:
    """Seconds for people."""
    if seconds is None:
        return DASH
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or seconds == size or (unit == "min" and seconds >= 90):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def rate(value: float | None) -> str:
    """Requests a second."""
    if value is None:
        return DASH
    return "0" if value == 0 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def share(value: float | None) -> str:
    """A part of 1."""
    if value is None:
        return DASH
    return (
        "0 %" if value == 0 else f"{100 * value:.2f} %" if value < 0.1 else f"{100 * value:.0f} %"
    )


def latency(seconds: float | None) -> str:
    """A request's time."""
    if seconds is None:
        return DASH
    if seconds >= 2:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.1f} ms" if seconds < 0.1 else f"{1000 * seconds:.0f} ms"


def size(count: float) -> str:
    """Bytes."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def number(value: object) -> str:
    """A measured number, or whatever stands in its place."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no"}.get(value, DASH)  # type: ignore[arg-type]  # None too
    if isinstance(value, int):
        return short(f"{value:,}" if abs(value) < 10**15 else f"{float(value):.4g}", 24)
    if isinstance(value, float):
        return f"{value:.4g}"
    return short(value, 40)


_QUALITY = ("accuracy", "bits_per_byte", "r2", "rmse", "mae", "f1", "log_loss", "ece")
"""What says how good a version is, the most telling first."""


def measures(metrics: Mapping[str, Any], limit: int) -> list[tuple[str, str]]:
    """Name and value of a version's metrics, the most telling first."""
    ordered = sorted(
        metrics.items(),
        key=lambda item: (
            _QUALITY.index(item[0]) if item[0] in _QUALITY else len(_QUALITY),
            str(item[0]),
        ),
    )
    return [(short(str(name), 40), number(value)) for name, value in ordered[:limit]]


def differences(changed: Iterable[tuple[str, Any, Any]]) -> list[tuple[str, str, str]]:
    """Field, value before and value after, as a table shows them."""
    return [
        (short(field, 120), short(shown(old), 600), short(shown(new), 600))
        for field, old, new in changed
    ]
