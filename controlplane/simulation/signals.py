"""What a trigger's metric says: computed from the simulated pods, or as it was recorded."""

import math
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from enum import StrEnum

from controlplane.autoscale import readings
from controlplane.autoscale.readings import PodUsage, Reading
from controlplane.autoscale.rule import Cron, Prometheus, Resource, Rule, Trigger
from controlplane.errors import SerinError
from controlplane.simulation.service import Service

SCRAPE_SECONDS = 5
"""As the PodMonitor has it."""
CPU_REQUEST = 1000
"""A pod that works on everything it can uses one core, and requests one."""


class Signal(StrEnum):
    """What a query of the simulated pods is taken to mean."""

    IN_FLIGHT = "in-flight"
    WAITING = "waiting"
    RATE = "rate"


class Simulated:
    """Scrapes the simulated pods and averages over each query's window."""

    def __init__(self, rule: Rule, service: Service, signal: Signal | None) -> None:
        if any(trigger.metric_name == "memory" for trigger in rule.triggers):
            raise SerinError("The memory of pods is not simulated: leave the memory trigger out.")
        self._rule = rule
        self._service = service
        self._signals = {
            trigger.metric_name: signal or meaning(trigger.query)
            for trigger in rule.triggers
            if isinstance(trigger, Prometheus)
        }
        self._samples: dict[Signal, deque[tuple[float, float]]] = {
            kind: deque(maxlen=3600 // SCRAPE_SECONDS) for kind in Signal
        }
        self._counted = 0

    def scrape(self, now: float) -> None:
        """Take a sample of everything."""
        answered = len(self._service.latencies)
        self._samples[Signal.IN_FLIGHT].append((now, float(self._service.in_flight)))
        self._samples[Signal.WAITING].append((now, float(self._service.waiting)))
        self._samples[Signal.RATE].append((now, (answered - self._counted) / SCRAPE_SECONDS))
        self._counted = answered

    def read(self, now: float) -> dict[str, Reading]:
        """Every trigger's reading but cpu's, by its metric's name."""
        found: dict[str, Reading] = {}
        for trigger in self._rule.triggers:
            if isinstance(trigger, Cron):
                found[trigger.metric_name] = readings.cron(trigger, now)
            elif isinstance(trigger, Prometheus):
                kind = self._signals[trigger.metric_name]
                since = now - window_seconds(trigger.query)
                recent = [value for at, value in self._samples[kind] if at > since]
                average = [sum(recent) / len(recent)] if recent else []
                seen = [value + self._brief(trigger.query, since) for value in average]
                found[trigger.metric_name] = readings.prometheus(trigger, seen)
        return found

    def _brief(self, query: str, since: float) -> float:
        """What a query adds for requests too brief for a scrape to see: clamp_max(a rate, most)."""
        most = re.search(r"clamp_max\(.*\brate\(.*\), ([\d.]+)\)", query)
        rates = [value for at, value in self._samples[Signal.RATE] if at > since]
        return min(sum(rates) / len(rates), float(most[1])) if most and rates else 0.0

    def pods(self, now: float) -> Mapping[str, tuple[PodUsage, ...]]:
        """Each pod's processor time: the share of its places that work."""
        ready = self._service.ready(now)
        places = ready * self._service.model.concurrency
        usage = CPU_REQUEST * self._service.running // places if places else 0
        found = (
            PodUsage(f"pod-{number}", CPU_REQUEST, usage if number < ready else None)
            for number in range(self._service.replicas)
        )
        return {"cpu": tuple(found)}


class Recorded:
    """Readings as they were recorded: a value for each trigger but cpu and memory, in their order.

    Args:
        rule: The ScaledObject.
        rows: Lines of time and a value for each trigger; what is no number (NaN) is a failure.
        start: The time of a row that says 0, seconds since 1970.

    Raises:
        SerinError: A trigger reads its metric from single pods, of which nothing is recorded.
    """

    def __init__(self, rule: Rule, rows: Sequence[tuple[float, ...]], start: float = 0.0) -> None:
        self._triggers = recordable(rule)
        self._start = start
        self._times = [row[0] for row in rows]
        self._rows = [row[1:] for row in rows]

    @property
    def duration(self) -> float:
        """Until the last line."""
        return self._times[-1]

    def scrape(self, now: float) -> None:
        """Nothing is measured."""

    def read(self, now: float) -> Mapping[str, Reading]:
        """Each trigger's value of the last line up to now; what is no number is a failure."""
        place = max(bisect_right(self._times, now - self._start) - 1, 0)
        found: dict[str, Reading] = {}
        for trigger, value in zip(self._triggers, self._rows[place], strict=True):
            name = trigger.metric_name
            if math.isnan(value):
                found[name] = Reading(name, error="the recorded query failed")
            elif isinstance(trigger, Prometheus):
                found[name] = readings.prometheus(trigger, [value])
            else:
                found[name] = Reading(name, int(value * 1000), value > 1)
        return found

    def pods(self, now: float) -> Mapping[str, tuple[PodUsage, ...]]:
        """None: recorded metrics say nothing of single pods."""
        return {}


def recordable(rule: Rule) -> tuple[Trigger, ...]:
    """The triggers of a rule, each of which has one value at a time.

    Raises:
        SerinError: One is a resource's.
    """
    if any(isinstance(trigger, Resource) for trigger in rule.triggers):
        raise SerinError("A rule with a cpu or memory trigger cannot be replayed from metrics.")
    return rule.triggers


def meaning(query: str) -> Signal:
    """What a query asks for, by the words in it; requests in flight where none says otherwise."""
    if "in_flight" in query or "_active" in query:
        return Signal.IN_FLIGHT
    if re.search(r"(waiting|pending|queue)", query):
        return Signal.WAITING
    if "rate(" in query:
        return Signal.RATE
    return Signal.IN_FLIGHT


def window_seconds(query: str) -> float:
    """The range in a query, [1m]; without one, the last scrape."""
    found = re.search(r"\[(\d+)(s|m|h)\]", query)
    if not found:
        return float(SCRAPE_SECONDS)
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
