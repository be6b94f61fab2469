"""A replay in words and numbers."""

import json
from dataclasses import asdict

from controlplane.autoscale.decision import Decision
from controlplane.simulation.outcome import Outcome
from controlplane.simulation.replay import Run


def text(run: Run, sums: Outcome | None) -> str:
    """Changes of replicas with their reasons, then the sums, as aligned plain text."""
    lines = [_heading("TIME", "REPLICAS", "WHY")]
    lines += [_line(at, decision) for at, decision in run.changes] or ["(nothing changes)"]
    if sums:
        rows = [
            ("requests", f"{sums.requests:,}"),
            ("latency p50 · p95 · p99", " · ".join(map(_seconds, _quantiles(sums)))),
            (
                f"later than {sums.slo_seconds:g} s",
                f"{sums.slo_misses:,} ({sums.slo_missed_share:.2%})",
            ),
            ("most requests that waited", f"{sums.most_waiting:,}"),
            ("most replicas", str(sums.most_replicas)),
            ("replica-hours", f"{sums.replica_hours:.2f}"),
        ]
        width = max(len(name) for name, _ in rows)
        lines += ["", *(f"{name.ljust(width)}  {value}" for name, value in rows)]
    return "\n".join(lines) + "\n"


def as_json(run: Run, sums: Outcome | None) -> str:
    """Every decision, and the sums."""
    decisions = [
        {
            "seconds": at,
            "by": decision.by,
            "rule": decision.rule,
            "current": decision.current,
            "desired": decision.desired,
            "explanation": decision.explain(),
        }
        for at, decision in run.decisions
    ]
    return json.dumps({"decisions": decisions, "sums": asdict(sums) if sums else None}, indent=1)


def _quantiles(sums: Outcome) -> tuple[float | None, ...]:
    return sums.p50_seconds, sums.p95_seconds, sums.p99_seconds


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} s"


def _line(at: float, decision: Decision) -> str:
    minutes, seconds = divmod(int(at), 60)
    reason = decision.explain().split("; ", 1)
    why = f"{decision.by} {decision.rule}" + (f": {reason[1]}" if len(reason) > 1 else "")
    return _heading(f"{minutes:d}:{seconds:02d}", f"{decision.current} → {decision.desired}", why)


def _heading(time: str, replicas: str, why: str) -> str:
    return f"{time:>6}  {replicas:<9} {why}"
