"""Ages and durations as kubectl writes them (k8s.io/apimachinery duration.HumanDuration). Pure."""

from datetime import datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS = (
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (48 * _HOUR, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (730 * _DAY, _DAY, "d", 0, ""),
)
"""Below so many seconds: the unit, its letter, and the smaller one shown with it, if any."""


def since(timestamp: str | None, now: datetime) -> str:
    """How long ago a metav1.Time was."""
    if not timestamp:
        return "<unknown>"
    return human((now - datetime.fromisoformat(timestamp)).total_seconds())


def human(seconds: float) -> str:
    """A duration in at most two units: 45s, 3m20s, 17m, 5h3m, 2d4h, 30d, 2y."""
    whole = int(seconds)
    if whole < 0:
        return "0s" if whole > -2 else "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    for below, unit, letter, smaller, second in _STEPS:
        if whole < below:
            rest = whole % unit // smaller if smaller else 0
            return f"{whole // unit}{letter}" + (f"{rest}{second}" if rest else "")
    return f"{whole // (365 * _DAY)}y"
