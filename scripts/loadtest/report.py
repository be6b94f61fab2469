"""A load's result: text, JSON and a picture."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.loadtest.plan import Plan
from scripts.loadtest.tally import Tally
from scripts.show import curves
from scripts.show.curves import Line, Panel
from scripts.show.durations import milliseconds

LATE_SHARE = 0.1
"""A generator that is later than this share of the p99 is no longer to be believed."""


@dataclass(frozen=True, slots=True)
class Result:
    """One load that has ended."""

    title: str
    """Model, target, protocol and curve."""
    plan: Plan
    tally: Tally
    engine: Mapping[str, Any]
    """Its last message: processor time and time."""
    begun_at: str
    """ISO 8601."""

    @property
    def cpu_share(self) -> float:
        """Of one core, that the engine used."""
        return float(self.engine["cpu_seconds"]) / float(self.engine["wall_seconds"])

    @property
    def seconds(self) -> float:
        """From the first planned departure to the last, or as much of it as there was."""
        last = max(self.tally.seconds, default=0) + 1
        return min(self.plan.load.duration, last)

    @property
    def late(self) -> bool:
        """Whether the generator, not the server, made the figures."""
        if not self.tally.latency.count:
            return False
        # Not what waited for a connection: that is the server's doing. Nor what changes nothing:
        # a departure that is late by itself makes few latencies longer than they were from there.
        seen, own = (one.quantile(0.99) for one in (self.tally.latency, self.tally.service))
        return self.late_p99_seconds > LATE_SHARE * seen and seen > (1 + LATE_SHARE) * own

    @property
    def late_p99_seconds(self) -> float:
        """What 99 % of departures were late by, at most, because the generator was."""
        return float(self.engine["late_p99_seconds"])


def document(result: Result) -> dict[str, Any]:
    """Everything, for a file."""
    tally, plan, total = result.tally, result.plan, result.tally.total
    answered = sum(total.versions.values())
    return {
        "title": result.title,
        "begun_at": result.begun_at,
        "target": f"{plan.host}:{plan.port}",
        "authority": plan.authority,
        "protocol": "grpc" if plan.over_grpc else "rest",
        "connections": plan.connections,
        "arrivals": "poisson" if plan.poisson else "even",
        "seed": plan.seed,
        "different_requests": len(plan.requests),
        "seconds": result.seconds,
        "requests": total.requests,
        "answered": answered,
        "requests_per_second": round(total.requests / result.seconds, 2),
        "errors": dict(total.errors),
        "versions": dict(total.versions),
        "latency_seconds": tally.latency.summary(),
        "latency_from_departure_seconds": tally.service.summary(),
        "late_departure_seconds": tally.late.summary(),
        "generator": {
            "cpu_share": round(result.cpu_share, 3),
            "late_p99_seconds": result.late_p99_seconds,
            "late": result.late,
        },
        "histogram": tally.latency.encoded(),
        "by_second": [_row(tally, second) for second in range(math.ceil(result.seconds))],
    }


def text(result: Result) -> str:
    """The same for people, in a few lines."""
    tally, total = result.tally, result.tally.total
    answered = sum(total.versions.values())
    rate, failed = total.requests / result.seconds, sum(total.errors.values())
    said = f"{total.requests} requests in {result.seconds:.0f} s: {rate:.1f}/s"
    lines = [
        result.title,
        f"{said}; {answered} answered, {failed} failed",
    ]
    if tally.latency.count:
        named = tally.latency.summary()
        quantiles = "  ".join(f"{name} {milliseconds(value)}" for name, value in named.items())
        lines.append(f"latency from the planned time: {quantiles}")
    lines += [f"failed: {count} × {what}" for what, count in total.errors.most_common()]
    for version, count in total.versions.most_common():
        lines.append(f"version {version or 'unknown'}: {count} ({count / answered:.1%})")
    lines.append(
        f"generator: {result.cpu_share:.0%} of a core, 99% of departures at most "
        f"{milliseconds(result.late_p99_seconds)} late"
    )
    if result.late:
        lines.append(
            "warning: the generator itself was late, so latencies are partly its own: give it a "
            "core of its own, or a lower rate."
        )
    return "\n".join(lines) + "\n"


def as_json(result: Result) -> str:
    """The document as JSON."""
    return json.dumps(document(result), indent=1) + "\n"


def picture(result: Result) -> str:
    """Rate, latency and errors over time, as an SVG."""
    rows = [_row(result.tally, second) for second in range(math.ceil(result.seconds))]
    versions = sorted({version for row in rows for version in row["versions"]})
    planned = [Line([result.plan.load.rate(row["second"] + 0.5) for row in rows], "planned")]
    answers = [
        Line([float(row["versions"].get(one, 0)) for row in rows], one or "unknown")
        for one in versions
    ]
    failed = [float(sum(row["errors"].values())) for row in rows]
    latencies = [
        Line([_times(row[name], 1000) for row in rows], name) for name in ("p50", "p95", "p99")
    ]
    panels = [
        Panel("requests a second, and answers by version", [*planned, *answers]),
        Panel("latency from the planned time, ms", latencies),
        Panel("failed a second", [Line(failed)]),
    ]
    note = f"{result.begun_at}, generator at {result.cpu_share:.0%} of a core"
    return curves.picture(result.title, panels, result.seconds, note)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _row(tally: Tally, second: int) -> dict[str, Any]:
    row = tally.seconds.get(second)
    if row is None:
        empty: dict[str, Any] = {
            "p50": None,
            "p95": None,
            "p99": None,
            "errors": {},
            "versions": {},
        }
        return {"second": second, "requests": 0, **empty}
    p50, p95, p99 = row.quantiles(0.5, 0.95, 0.99)
    return {
        "second": second,
        "requests": row.requests,
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "errors": dict(row.errors),
        "versions": dict(row.versions),
    }
