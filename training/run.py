"""The run that this process is: who started it, how far it is, what it measured and must pass.

A script knows nothing of it. What every script goes through (progress, gates, the artifact) tells
it, and training.job and publish.records say it on: to the Job's annotations and to the store.
"""

import math
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

LOG_LINES = 40
LEARNT, MEASURED, PUBLISHED = 90, 95, 100
"""Percentages: after the last step, with a manifest, in the store."""
ID_DIGITS = 8


def now() -> str:
    """metav1.Time."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Run:
    """One run of a training script; the words are those of Kubeflow's KEP-2779 where it has some.

    Attributes:
        id: the beginning of its Job's uid, or what RUN_ID says; empty where nobody asked for one.
        job: the Job's name; empty outside of one.
        by: who started it, as far as anybody said.
        flags: of the script.
        remaining: seconds left of the steps; None where that is not known.
        measured: what its steps say: loss, samples a second.
        metrics: of the model that it made, data and code: as in the version's manifest.
        gates: name, value, limit, and whether it was passed.
        keep: writes its record, where there is a store for it.
    """

    id: str = ""
    job: str = ""
    by: str = ""
    flags: Sequence[str] = ()
    model: str = ""
    began_at: str = field(default_factory=now)
    ended_at: str = ""
    state: str = "Running"
    error: str = ""
    percent: int = 0
    remaining: int | None = None
    measured: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    gates: list[dict[str, Any]] = field(default_factory=list)
    uri: str = ""
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    keep: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, environment: Mapping[str, str], flags: Sequence[str]) -> "Run":
        """From the variables that a Job's manifest, or `serin train`, sets."""
        given = environment.get("JOB_UID") or environment.get("RUN_ID") or ""
        return cls(
            id=given[:ID_DIGITS],
            job=environment.get("JOB_NAME", ""),
            by=environment.get("RUN_BY", ""),
            flags=list(flags),
        )

    def step(
        self, step: int, steps: int, remaining: float | None, measured: Mapping[str, float]
    ) -> None:
        """So many steps are done."""
        self.percent = max(self.percent, LEARNT * min(step, steps) // max(steps, 1))
        self.remaining = None if remaining is None else max(round(remaining), 0)
        self.measured |= measured

    def gate(self, name: str, value: float, limit: float, *, passed: bool) -> None:
        """A gate was asked."""
        told = value if math.isfinite(value) else str(value)  # JSON has no NaN
        entry = {"name": name, "value": told, "limit": limit, "passed": bool(passed)}
        self.gates = [*(gate for gate in self.gates if gate["name"] != name), entry]

    def made(self, manifest: Mapping[str, Any]) -> None:
        """An artifact is whole, but for the gates that judge it as a whole."""
        self.percent, self.remaining = max(self.percent, MEASURED), None
        self.metrics = dict(manifest["metrics"])
        self.data, self.code = dict(manifest["data"]), dict(manifest["code"])

    def published(self, uri: str) -> None:
        """It is where it should be."""
        self.percent, self.remaining, self.uri = PUBLISHED, None, uri

    def end(self, state: str) -> None:
        """Nothing more comes."""
        self.state = state
        self.remaining, self.ended_at = None, now()

    def figures(self) -> dict[str, float]:
        """The numbers that tell how good it is, or how it goes."""
        found = {**self.measured, **self.metrics}
        return {
            name: value
            for name, value in found.items()
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
        }


@cache
def current() -> Run:
    """The one of this process."""
    return Run.of(os.environ, sys.argv[1:])
