"""From loads to figures: medians over rounds, and ratios taken within a round.

The ratio of two medians would compare rounds with each other; the median of ratios does not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

from scripts.benchmark.measure import Point, Process
from scripts.benchmark.peer import BEFORE, FLOOR, SERIN, STOCK

REST = "rest-json"


@dataclass(frozen=True, slots=True)
class Row:
    """One peer over one transport at one number of connections."""

    model: str
    peer: str
    transport: str
    connections: int
    rounds: tuple[float, ...]
    """Requests a second, each round's."""
    p50_ms: float
    p99_ms: float
    to_stock: float | None
    """Times stock KServe's rate: gRPC to its gRPC, REST in both forms to its REST JSON."""
    to_floor: float | None
    """Times the echo's rate, which is over REST JSON."""
    to_before: tuple[float, ...] = ()
    """Each round's, of Serin alone: times the rate that it had at an earlier commit."""

    @property
    def requests_per_second(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a peer's process takes."""

    model: str
    peer: str
    start_seconds: float
    """The quickest of the rounds: files are in memory then, as on a node that ran it before."""
    memory_mib: float
    start_to_stock: float | None
    memory_to_stock: float | None


def rows(points: Sequence[Point]) -> list[Row]:
    """One row for each peer, transport and number of connections, in the order of measuring."""
    rates = {
        (one.model, one.peer, one.transport, one.connections, one.round): (
            one.load.requests_per_second
        )
        for one in points
    }

    def ratios(group: Sequence[Point], peer: str, transport: str) -> list[float]:
        return _ratios(
            (one.load.requests_per_second, rates.get(base))
            for one in group
            for base in [(one.model, peer, transport, one.connections, one.round)]
        )

    found = []
    groups: dict[tuple[str, str, str, int], list[Point]] = {}
    for one in points:
        key = (one.model, one.peer, one.transport, one.connections)
        groups.setdefault(key, []).append(one)
    for (model, peer, transport, connections), group in groups.items():
        row = Row(
            model=model,
            peer=peer,
            transport=transport,
            connections=connections,
            rounds=tuple(one.load.requests_per_second for one in group),
            p50_ms=median(one.load.p50_ms for one in group),
            p99_ms=median(one.load.p99_ms for one in group),
            to_stock=_median(ratios(group, STOCK, transport if transport == "grpc" else REST)),
            to_floor=_median(ratios(group, FLOOR, REST)),
            to_before=tuple(ratios(group, BEFORE, transport) if peer == SERIN else ()),
        )
        found.append(row)
    return found


def footprints(processes: Sequence[Process]) -> list[Footprint]:
    """One footprint for each peer and model."""
    stock = {(one.model, one.round): one for one in processes if one.peer == STOCK}
    groups: dict[tuple[str, str], list[Process]] = {}
    for one in processes:
        groups.setdefault((one.model, one.peer), []).append(one)
    found = []
    for (model, peer), group in groups.items():
        start = min(one.start_seconds for one in group)
        base = [one.start_seconds for one in processes if (one.model, one.peer) == (model, STOCK)]
        footprint = Footprint(
            model=model,
            peer=peer,
            start_seconds=start,
            memory_mib=median(one.memory_bytes for one in group) / 2**20,
            start_to_stock=start / min(base) if base else None,
            memory_to_stock=_median(
                _ratios(
                    (one.memory_bytes, pair.memory_bytes if pair else None)
                    for one in group
                    for pair in [stock.get((one.model, one.round))]
                )
            ),
        )
        found.append(footprint)
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Two of the values, between which their true median lies with a probability of 95 %.

    No distribution is assumed: each value is above it or below it, as a coin falls. Fewer than six
    values give the lowest and the highest of them, which promise less.
    """
    ordered = sorted(values)
    count = len(ordered)
    last = 1
    while 2 * sum(comb(count, below) for below in range(last + 1)) <= 0.05 * 2**count:
        last += 1
    return ordered[last - 1], ordered[-last]


def _ratios(pairs: Iterable[tuple[float, float | None]]) -> list[float]:
    """Of those that have a base."""
    return [value / base for value, base in pairs if base]


def _median(ratios: Sequence[float]) -> float | None:
    return median(ratios) if ratios else None
