"""When a cron trigger is active: between a start and the end that follows it."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from controlplane.autoscale.fields import fault
from controlplane.autoscale.rule import Cron

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[int, int, list[str]], ...] = (
    (0, 59, []),
    (0, 23, []),
    (1, 31, []),
    (1, 12, ["", *_MONTHS]),
    (0, 6, _DAYS),
)
"""Least, most and names of minute, hour, day of the month, month and day of the week."""


def check(cron: Cron, path: str) -> None:
    """Refuse a zone or a time that cannot be read.

    Raises:
        ManifestError: Names the field.
    """
    try:
        ZoneInfo(cron.timezone)
    except (KeyError, ValueError, OSError):
        raise fault(f"{path}.timezone", "an IANA time zone", cron.timezone) from None
    for name, time in (("start", cron.start), ("end", cron.end)):
        try:
            _next(time, cron.timezone, 0.0)
        except (ValueError, CronSimError, StopIteration) as error:
            said = str(error) or "there is no such time"
            raise fault(f"{path}.{name}", f"a cron time ({said})", time) from None


def is_active(cron: Cron, now: float) -> bool:
    """Whether `now` (seconds since 1970) lies in the trigger's span.

    KEDA's rule: inactive where the next start comes before the next end, and active otherwise.
    """
    start, end = (_next(time, cron.timezone, now) for time in (cron.start, cron.end))
    return start >= end


def standard(time: str) -> str:
    """A time of KEDA's grammar (robfig/cron's standard parser) in CronSim's.

    KEDA takes five fields, `?` for `*`, 0 to 6 for days, and nothing of what other crons add.

    Raises:
        ValueError: KEDA refuses it; in its words.
    """
    if time.startswith("@"):
        if time not in _DESCRIPTORS:
            raise ValueError(f"unrecognized descriptor: {time}")
        return _DESCRIPTORS[time]
    fields = time.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    return " ".join(
        ",".join(_range(part, *bounds) for part in field.split(","))
        for field, bounds in zip(fields, _FIELDS, strict=True)
    )


def _range(text: str, least: int, most: int, names: list[str]) -> str:
    """One part of a field: a number, a range, a step. `*` alone stays, as it means more."""
    reach, slash, step_text = text.partition("/")
    step = _number(step_text, []) if slash else 1
    if step < 1:
        raise ValueError(f"step of range should be a positive number: {text}")
    if reach in {"*", "?"}:
        if step == 1:
            return "*"
        start, end = least, most
    else:
        parts = [_number(part, names) for part in reach.split("-")]
        if len(parts) > 2:
            raise ValueError(f"too many hyphens: {text}")
        # A number with a step counts on to the end.
        start, end = parts[0], most if slash and len(parts) == 1 else parts[-1]
    if start < least:
        raise ValueError(f"beginning of range ({start}) below minimum ({least}): {text}")
    if end > most:
        raise ValueError(f"end of range ({end}) above maximum ({most}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if start == end:
        return str(start)
    return f"{start}-{end}/{step}" if step > 1 else f"{start}-{end}"


def _number(text: str, names: list[str]) -> int:
    if text.lower() in names and text:
        return names.index(text.lower())
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise ValueError(f"failed to parse int from {text}")
    return int(text)


def _next(time: str, zone: str, now: float) -> float:
    schedule = CronSim(standard(time), datetime.fromtimestamp(now, ZoneInfo(zone)))
    return next(schedule).timestamp()
