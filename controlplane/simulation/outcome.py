"""What came of a replay, in numbers."""

from dataclasses import dataclass

from controlplane.simulation.replay import Run


@dataclass(frozen=True, slots=True)
class Outcome:
    """The whole run."""

    requests: int
    unanswered: int
    """Requests that still wait or run at the end."""
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None
    slo_seconds: float
    slo_misses: int
    """Answers later than the objective, and requests without one."""
    most_replicas: int
    replica_hours: float
    """Of pods that exist, ready or not: what is paid for."""
    most_waiting: int
    changes: int

    @property
    def slo_missed_share(self) -> float:
        """0 … 1."""
        return self.slo_misses / self.requests if self.requests else 0.0


def outcome(run: Run, slo_seconds: float) -> Outcome:
    """Sum up a run against a latency objective."""
    latencies = sorted(latency for _, latency in run.latencies)
    # What still waits has been given no place, so it has no latency yet.
    waiting = run.moments[-1].waiting if run.moments else 0
    late = sum(latency > slo_seconds for latency in latencies) + waiting
    return Outcome(
        requests=len(latencies) + waiting,
        unanswered=waiting,
        p50_seconds=_quantile(latencies, 0.5),
        p95_seconds=_quantile(latencies, 0.95),
        p99_seconds=_quantile(latencies, 0.99),
        slo_seconds=slo_seconds,
        slo_misses=late,
        most_replicas=max((moment.wanted for moment in run.moments), default=0),
        replica_hours=sum(moment.wanted for moment in run.moments) / 3600,
        most_waiting=max((moment.waiting for moment in run.moments), default=0),
        changes=len(run.changes),
    )


def _quantile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
