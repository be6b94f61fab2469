"""What a rollout is to do: steps, limits, and how much evidence it needs. Pure."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from controlplane.errors import SerinError

GUARDS = ("errors", "errors limit", "latency", "latency limit", "classes", "confidence")
SHADOW_GUARDS = ("shadow errors", "shadow missing", "shadow flips")
"""Of a canary that no user sees yet; see shadow.py."""
STEPS = (5, 25, 50, 100)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_EXAMPLE = "such as p99=50ms,errors=0.1%"


@dataclass(frozen=True, slots=True)
class Latency:
    """At most the rest of the requests may take longer: p99 of 50 ms is one in a hundred."""

    quantile: float
    seconds: float

    @property
    def name(self) -> str:
        """As it was typed: p99, p99.9."""
        return f"p{self.quantile * 100:g}"


@dataclass(frozen=True, slots=True)
class Objectives:
    """Absolute limits, which hold beside the comparison with stable."""

    errors: float | None = None
    """The highest share of failed requests; None is no limit."""
    latencies: tuple[Latency, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """One rollout's parameters."""

    steps: tuple[int, ...] = STEPS
    """The canary's percentages, in order; the last is 100."""
    objectives: Objectives = Objectives()
    min_requests: int = 500
    """Of each version in a step, before the step can be passed."""
    step_seconds: float = 60.0
    """How long a step lasts at least."""
    settle_seconds: float = 10.0
    """After a weight is in the route, until requests count: caches fill, gateways follow."""
    start_seconds: float = 600.0
    """How long the canary may take to be ready."""
    tolerance: float = 1.25
    """How many times as often as in stable an event may happen in the canary."""
    floor_seconds: float = 0.005
    """Faster is fast enough: versions are not compared by what is below. A canary with few requests
    has colder caches than stable, which microseconds show and nobody feels."""
    shadow: int = 0
    """Requests that the canary answers beside stable before any user gets its answers; 0: none."""
    shadow_flips: float = 0.05
    """The highest share of these that may get another class from the canary."""
    alpha: float = 0.01
    """The chance, at most, that a whole rollout aborts a version as good as stable."""

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        """From what `as_json` gave."""
        objectives = stored["objectives"]
        latencies = tuple(Latency(**one) for one in objectives["latencies"])
        kept = {**stored, "steps": tuple(stored["steps"])}
        return cls(**{**kept, "objectives": Objectives(objectives["errors"], latencies)})


def threshold(plan: Plan) -> float:
    """The e-value that is an alarm: alpha is divided among all guards of all steps."""
    before = len(SHADOW_GUARDS) if plan.shadow else 0
    return (before + len(plan.steps) * len(GUARDS)) / plan.alpha


def parse_steps(text: str) -> tuple[int, ...]:
    """Percentages from `5,25,50,100`.

    Raises:
        SerinError: They do not rise to 100.
    """
    parts = [part.strip().removesuffix("%") for part in text.split(",")]
    steps = tuple(int(part) if part.isdecimal() else -1 for part in parts)
    rising = all(a < b for a, b in zip((0, *steps), steps, strict=False))
    if not rising or steps[-1] != 100:
        raise SerinError(
            f"--steps {text}: expected percentages that rise from above 0 to 100, such as "
            "5,25,50,100."
        )
    return steps


def parse_share(text: str) -> float:
    """A share from `2%` or `0.02`.

    Raises:
        SerinError: It is none, or not between 0 and 1.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text)
    share = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < share < 1:
        raise SerinError(f"{text!r} is no share; expected one such as 2%, above 0 and below 100%.")
    return share


def parse_seconds(text: str) -> float:
    """Seconds from `5ms`.

    Raises:
        SerinError: It is no time.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s)", text)
    if not found:
        raise SerinError(f"{text!r} is no time; expected one such as 5ms.")
    return float(found[1]) * _UNITS[found[2]]


def parse_objectives(text: str) -> Objectives:
    """Limits from `p99=50ms,errors=0.1%`.

    Raises:
        SerinError: A part is neither a quantile with a time nor errors with a share.
    """
    errors: float | None = None
    latencies: list[Latency] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if found := re.fullmatch(r"p(\d{1,2}(?:\.\d+)?)=(\d+(?:\.\d+)?)(us|ms|s)", part):
            quantile = float(found[1]) / 100
            latencies.append(Latency(quantile, float(found[2]) * _UNITS[found[3]]))
        elif found := re.fullmatch(r"errors=(\d+(?:\.\d+)?)(%?)", part):
            errors = float(found[1]) / (100 if found[2] else 1)
        if not found or (errors is not None and not 0 < errors < 1):
            raise SerinError(f"--slo {text}: {part!r} is no objective; expected a list {_EXAMPLE}.")
    if any(not one.quantile or not one.seconds for one in latencies):
        raise SerinError(f"--slo {text}: a quantile and its time are above 0, {_EXAMPLE}.")
    return Objectives(errors, tuple(latencies))
