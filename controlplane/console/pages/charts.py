"""Lines over time: a picture that needs no script, and the numbers for one that has.

And how a training's loss goes by its steps, from the lines of its log.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from controlplane.console.sources.answer import MALFORMED
from controlplane.console.sources.metrics import Moments, Series

WIDTH, HEIGHT = 600, 160
SPARK_WIDTH, SPARK_HEIGHT = 120, 24
COLOURS = 6
_ROLES = {"stable": 0, "canary": 1}
LEAST = 2
"""Points that make a line."""
_ROOM = 0.12
"""Of the height, above the highest value."""
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One series with its name."""

    name: str
    values: tuple[float | None, ...]
    colour: int
    """Of the palette."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Several series on the same axes."""

    id: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    moments: Moments
    error: str = ""
    factor: float = 1.0
    """From Prometheus' unit to the one shown."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value is not None for line in self.lines for value in line.values)

    @property
    def highest(self) -> float:
        """The axis' end: above every value, and above 0."""
        values = [value for line in self.lines for value in line.values if value is not None]
        return max([*values, 0.0]) * (1 + _ROOM) or 1.0

    @property
    def paths(self) -> list[tuple[str, str, int]]:
        """Name, SVG path and colour of each line."""
        return [
            (line.name, path(line.values, self.highest, WIDTH, HEIGHT), line.colour)
            for line in self.lines
        ]

    @property
    def marks(self) -> list[tuple[float, str]]:
        """Where the horizontal lines stand, and what they say."""
        return [(HEIGHT * (1 - part), f"{self.highest * part:.3g}") for part in (0.25, 0.5, 0.75)]

    @property
    def times(self) -> tuple[str, str]:
        """Begin and end, hours and minutes, UTC."""
        ends = (self.moments.start, self.moments.end)
        first, last = (datetime.fromtimestamp(at, UTC).strftime("%H:%M") for at in ends)
        return first, f"{last} UTC"

    @property
    def latest(self) -> list[tuple[str, str, int]]:
        """Each line's name, last value and colour."""
        return [
            (line.name, shown(last(line.values), self.unit), line.colour) for line in self.lines
        ]

    @property
    def numbers(self) -> str:
        """What a script draws."""
        times = [
            round(self.moments.start + n * self.moments.step) for n in range(self.moments.count)
        ]
        series = [
            {"name": line.name, "values": line.values, "colour": line.colour} for line in self.lines
        ]
        return json.dumps({"unit": self.unit, "times": times, "series": series})


def chart(
    key: str,
    title: str,
    unit: str,
    series: Iterable[Series],
    moments: Moments,
    name: Callable[[Series], str],
    *,
    factor: float = 1.0,
    error: str = "",
) -> Chart:
    """A chart of what Prometheus answered.

    Stable's line has the first colour and the canary's the second, whether or not there are both;
    of several versions it is the latest. Other lines take the next colours.
    """
    named = [
        (
            name(line),
            tuple(None if value is None else round(value * factor, 6) for value in line.values),
        )
        for line in series
    ]
    named.sort(key=lambda pair: (-_latest(pair[1]), pair[0]))
    colours: dict[str, int] = {}
    for said, _ in named:
        role = _ROLES.get(said.partition(" ")[0])
        if role is not None and role not in colours.values():
            colours[said] = role
    others = itertools.count(len(_ROLES) if colours else 0)
    for said, _ in named:
        if said not in colours:
            colours[said] = min(next(others), COLOURS - 1)
    named.sort(key=lambda pair: (colours[pair[0]], pair[0]))
    lines = tuple(Line(said, values, colours[said]) for said, values in named)
    return Chart(key, title, unit, lines, moments, error)


def _latest(values: Values) -> int:
    """The place of the newest value; -1 where there is none."""
    return max((place for place, value in enumerate(values) if value is not None), default=-1)


def last(values: Values) -> float | None:
    """The newest value that there is."""
    return next((value for value in reversed(values) if value is not None), None)


def shown(value: float | None, unit: str) -> str:
    """A value with its unit."""
    return "–" if value is None else f"{value:.3g} {unit}".rstrip()


def spark(values: Values) -> str:
    """A small line's path; empty where there is nothing to draw."""
    if not any(value is not None for value in values):
        return ""
    highest = max(value for value in values if value is not None) * (1 + _ROOM) or 1.0
    return path(values, highest, SPARK_WIDTH, SPARK_HEIGHT)


def path(values: Values, highest: float, width: float, height: float) -> str:
    """An SVG path, broken where there is no value."""
    between = width / max(len(values) - 1, 1)
    parts, pen = [], "M"
    for place, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        y = height * (1 - min(max(value, 0.0) / highest, 1.0))
        parts.append(f"{pen}{place * between:.1f} {y:.1f}")
        pen = "L"
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class Curve:
    """A value at some steps."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def highest(self) -> float:
        """The axis' end: above every value."""
        return max(self.values) * (1 + _ROOM) or 1.0

    @property
    def path(self) -> str:
        """As SVG."""
        first, last = self.steps[0], self.steps[-1]
        return "".join(
            f"{'L' if place else 'M'}{WIDTH * (step - first) / (last - first):.1f} "
            f"{HEIGHT * (1 - max(value, 0.0) / self.highest):.1f}"
            for place, (step, value) in enumerate(zip(self.steps, self.values, strict=True))
        )

    @property
    def marks(self) -> list[tuple[float, str]]:
        """Where the horizontal lines stand, and what they say."""
        return [(HEIGHT * (1 - part), f"{self.highest * part:.3g}") for part in (0.25, 0.5, 0.75)]

    @property
    def latest(self) -> str:
        """The last value, and at which step."""
        return f"{self.values[-1]:.4g} at step {self.steps[-1]:,}"


def loss(log: str) -> Curve | None:
    """Of the last part of a training that says its loss; None where none does."""
    points: list[tuple[int, float]] = []
    for step, value in filter(None, map(_point, log.splitlines())):
        if points and step <= points[-1][0]:  # another part, or another try
            points = []
        points.append((step, value))
    if len(points) < LEAST:
        return None
    return Curve(tuple(step for step, _ in points), tuple(value for _, value in points))


def _point(line: str) -> tuple[int, float] | None:
    """Step and loss of a line as training/progress.py writes them."""
    if '"loss"' not in line or '"step"' not in line:
        return None
    try:
        entry = json.loads(line)
        step, value = int(entry["step"]), float(entry["loss"])
    except MALFORMED:
        return None
    return (step, value) if math.isfinite(value) and 0 <= step < 10**12 else None
