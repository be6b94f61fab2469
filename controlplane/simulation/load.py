"""Load curves: requests a second over time, from a CSV file or built in."""

import csv
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from controlplane.errors import SerinError


@dataclass(frozen=True, slots=True)
class Load:
    """A rate that is constant from one time to the next."""

    seconds: tuple[float, ...]
    rates: tuple[float, ...]
    """Requests a second from the time of the same place on."""
    duration: float

    def rate(self, at: float) -> float:
        """Requests a second at a time."""
        place = bisect_right(self.seconds, at) - 1
        return self.rates[place] if place >= 0 else 0.0

    def arrivals(self, chance: random.Random) -> Iterator[float]:
        """Times of single requests, as many independent clients send them (Poisson)."""
        ends = (*self.seconds[1:], self.duration)
        for start, end, rate in zip(self.seconds, ends, self.rates, strict=True):
            at = start
            while rate > 0:
                at += chance.expovariate(rate)
                if at >= end:
                    break
                yield at

    def evenly(self) -> Iterator[float]:
        """Times of single requests, 1/rate seconds from one to the next."""
        ends = (*self.seconds[1:], self.duration)
        owed = 1.0  # of the next request; 1 is due
        for start, end, rate in zip(self.seconds, ends, self.rates, strict=True):
            count = 0
            # Each time from the segment's start: sums of gaps would drift.
            while rate > 0 and (due := start + (1.0 - owed + count) / rate) < end:
                yield due
                count += 1
            owed += (end - start) * rate - count


def read(path: Path) -> Load:
    """Read `seconds,requests_per_second` lines; a heading and lines with # are skipped.

    Raises:
        SerinError: A line is not two numbers, or times do not rise.
    """
    rows = table(path, 2)
    seconds = tuple(row[0] for row in rows)
    rates = tuple(row[1] for row in rows)
    for row in rows:
        if not all(math.isfinite(value) and value >= 0 for value in row):
            raise SerinError(f"{path}: {row[0]:g},{row[1]:g} is no time and rate of 0 or more.")
    # The last rate lasts as long as the one before it.
    last = seconds[-1] - seconds[-2] if len(seconds) > 1 else 60.0
    return Load(seconds, rates, seconds[-1] + last)


def table(path: Path, columns: int) -> list[tuple[float, ...]]:
    """The numbers of a CSV file, by rising time; "error" or nothing is not a number (NaN).

    Raises:
        SerinError: Names the line.
    """
    rows: list[tuple[float, ...]] = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, cells in enumerate(csv.reader(file), 1):
            if not cells or cells[0].lstrip().startswith("#"):
                continue
            try:
                row = tuple(_number(cell) for cell in cells)
                rising = not rows or row[0] > rows[-1][0]
            except ValueError:
                if not rows:
                    continue  # the heading
                row, rising = (), True
            if len(row) != columns or not rising:
                what = f"{columns} numbers" if rising else "a later time than the line before"
                raise SerinError(f"{path}:{number}: expected {what}, got {','.join(cells)!r}.")
            rows.append(row)
    if not rows:
        raise SerinError(f"{path} has no lines of numbers: write seconds,requests_per_second.")
    return rows


def curve(shape: Callable[[float], float], duration: float, step: float = 5.0) -> Load:
    """A rate by formula, held constant for `step` seconds at a time."""
    seconds = tuple(step * number for number in range(math.ceil(duration / step)))
    return Load(seconds, tuple(max(shape(at), 0.0) for at in seconds), duration)


def built_in(name: str, low: float, high: float, duration: float, step: float = 5.0) -> Load:
    """One of the curves in CURVES, between two rates."""
    return curve(lambda at: low + (high - low) * CURVES[name](at / duration), duration, step)


CURVES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "ramp": lambda part: part,
    "step": lambda part: float(part >= 0.2),
    "spike": lambda part: float(0.2 <= part < 0.3),
    "daily": lambda part: 0.5 - 0.5 * math.cos(2 * math.pi * part),
}
"""Name → share of the way from the low rate to the high one, by the share of time that is over."""


def _number(cell: str) -> float:
    text = cell.strip()
    return math.nan if text in {"", "error"} else float(text)
