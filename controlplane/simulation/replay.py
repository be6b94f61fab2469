"""A rule against a load, second by second, with the control loops' own periods."""

from dataclasses import dataclass, field

from controlplane.autoscale import scaler
from controlplane.autoscale.decision import Decision
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.rule import Controller, Rule
from controlplane.simulation.load import Load
from controlplane.simulation.service import Service
from controlplane.simulation.signals import SCRAPE_SECONDS, Recorded, Simulated


@dataclass(frozen=True, slots=True)
class Moment:
    """The state at the end of one second."""

    at: float
    rate: float
    wanted: int
    ready: int
    waiting: int
    in_flight: int
    reading: float | None
    """The first trigger's metric; None where it failed."""


@dataclass(slots=True)
class Run:
    """Everything that happened."""

    rule: Rule
    moments: list[Moment] = field(default_factory=list)
    decisions: list[tuple[float, Decision]] = field(default_factory=list)
    """Every decision with its time; most change nothing."""
    latencies: list[tuple[float, float]] = field(default_factory=list)

    @property
    def changes(self) -> list[tuple[float, Decision]]:
        """Decisions that changed the replicas."""
        return [(at, decision) for at, decision in self.decisions if decision.changes]


def replay(
    rule: Rule,
    load: Load,
    service: Service,
    source: Simulated | Recorded,
    controller: Controller,
    start: float = 0.0,
) -> Run:
    """Play the whole load.

    Args:
        rule: The ScaledObject.
        load: For the picture, and for how long.
        service: The pods, which already hold the load's arrivals.
        source: Where readings come from.
        controller: The cluster's flags; the HPA first looks after one sync period.
        start: Seconds since 1970 of the replay's beginning, for cron triggers.
    """
    run = Run(rule)
    state = scaler.start(start)
    next_poll, next_sync = 0.0, controller.sync_period_seconds
    for second in range(int(load.duration) + 1):
        now = float(second)
        if second % SCRAPE_SECONDS == 0:
            source.scrape(start + now)
        found = None
        if now >= next_poll:
            next_poll += rule.polling_interval_seconds
            found = source.read(start + now)
            scale = _scale(service, now)
            decision, state = scaler.poll(rule, state, found, scale, start + now)
            _act(run, service, decision, now)
        if now >= next_sync:
            next_sync += controller.sync_period_seconds
            found = source.read(start + now)
            scale, pods = _scale(service, now), source.pods(now)
            decision, state = scaler.sync(rule, state, found, scale, start + now, controller, pods)
            _act(run, service, decision, now)
        service.run(now, now + 1)
        first = next(iter((found or source.read(start + now)).values()), None)
        run.moments.append(
            Moment(
                at=now,
                rate=load.rate(now),
                wanted=service.replicas,
                ready=service.ready(now),
                waiting=service.waiting,
                in_flight=service.in_flight,
                reading=first.value / 1000 if first and not first.error else None,
            )
        )
    run.latencies = service.latencies
    return run


def _scale(service: Service, now: float) -> Scale:
    return Scale(service.replicas, service.replicas, service.ready(now))


def _act(run: Run, service: Service, decision: Decision, now: float) -> None:
    run.decisions.append((now, decision))
    if decision.changes:
        service.scale(decision.desired, now)
