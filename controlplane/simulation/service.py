"""Pods that serve one queue: requests wait in order for a free place in a pod that is ready."""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PodModel:
    """What a pod can do."""

    cold_start_seconds: float
    """From the decision to readiness."""
    service_seconds: float
    """One request, alone."""
    concurrency: int
    """Requests that a pod works on at once."""


class Service:
    """A Deployment under load."""

    def __init__(self, model: PodModel, arrivals: Iterator[float], replicas: int) -> None:
        self.model = model
        self.latencies: list[tuple[float, float]] = []
        """Time of arrival and seconds to the answer, of each answered request."""
        self._arrivals = arrivals
        self._next = next(arrivals, None)
        self._waiting: deque[float] = deque()
        self._ends: list[float] = []
        self._ready_at: list[float] = [0.0] * replicas
        """Of each pod, oldest first."""

    @property
    def replicas(self) -> int:
        """Pods that exist."""
        return len(self._ready_at)

    @property
    def in_flight(self) -> int:
        """Requests that wait or run."""
        return len(self._waiting) + len(self._ends)

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that run."""
        return len(self._ends)

    def ready(self, now: float) -> int:
        """Pods that answer."""
        return sum(at <= now for at in self._ready_at)

    def scale(self, replicas: int, now: float) -> None:
        """Start pods, or end the youngest; what an ending pod works on is finished."""
        del self._ready_at[replicas:]
        missing = replicas - len(self._ready_at)
        self._ready_at += [now + self.model.cold_start_seconds] * missing

    def run(self, start: float, end: float) -> None:
        """Serve from one time to another, with the pods that are ready at the start."""
        places = self.ready(start) * self.model.concurrency
        now = start
        while True:
            while self._waiting and len(self._ends) < places:
                came = self._waiting.popleft()
                done = max(now, came) + self.model.service_seconds
                heapq.heappush(self._ends, done)
                self.latencies.append((came, done - came))
            ended = self._ends[0] if self._ends else end
            now = min(ended, self._next if self._next is not None else end)
            if now >= end:
                return
            if self._ends and ended <= now:
                heapq.heappop(self._ends)
            elif self._next is not None:
                self._waiting.append(self._next)
                self._next = next(self._arrivals, None)
