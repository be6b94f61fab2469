"""When a cron trigger is active: between a start and the end that follows it."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from controlplane.autoscale.fields import fault
from controlplane.autoscale.rule import Cron


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
            CronSim(time, datetime.now(UTC))
        except CronSimError as error:
            raise fault(f"{path}.{name}", f"a cron time ({error})", time) from None


def is_active(cron: Cron, now: float) -> bool:
    """Whether `now` (seconds since 1970) lies in the trigger's span.

    KEDA's rule: inactive where the next start comes before the next end, and active otherwise.
    """
    start, end = (_next(time, cron.timezone, now) for time in (cron.start, cron.end))
    return start >= end


def _next(time: str, zone: str, now: float) -> float:
    return next(CronSim(time, datetime.fromtimestamp(now, ZoneInfo(zone)))).timestamp()
