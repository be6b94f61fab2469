"""A run as tables for a person and as one JSON file for whoever checks a figure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod, RenderableType
from rich.table import Table

from scripts.benchmark.measure import Settings, Subject
from scripts.benchmark.overload import Overload
from scripts.benchmark.peer import BEFORE, Peer
from scripts.benchmark.result.summary import Footprint, Row, interval
from scripts.benchmark.traffic.transports import TRANSPORTS


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of a run."""

    provenance: Mapping[str, Any]
    """Date, command, code, machine, versions and noise."""
    settings: Settings
    subjects: Sequence[Subject]
    peers: Mapping[str, Peer]
    rows: Sequence[Row]
    footprints: Sequence[Footprint]
    overloads: Sequence[Overload] = field(default=())

    def document(self) -> dict[str, Any]:
        """The result file; ratios come first in every row."""
        return {
            **self.provenance,
            "settings": {
                "seconds": self.settings.seconds,
                "warm_up_seconds": self.settings.warm_up_seconds,
                "rounds": self.settings.rounds,
                "connections": list(self.settings.connections),
            },
            "models": {
                one.model: {"version": one.question.version, **self._model(one.model)}
                for one in self.subjects
            },
        }

    def _model(self, model: str) -> dict[str, Any]:
        told = {
            "loads": [_load(one) for one in self.rows if one.model == model],
            "processes": [_process(one) for one in self.footprints if one.model == model],
        }
        overloads = [one.document() for one in self.overloads if one.model == model]
        return {**told, "overload": overloads[0]} if overloads else told

    def tables(self) -> Iterable[RenderableType]:
        """For the terminal."""
        for subject in self.subjects:
            yield self._loads(subject.model)
            yield self._processes(subject.model)
        if compared := [row for row in self.rows if row.to_before]:
            yield _before(self.peers[BEFORE].title, compared)
        if self.overloads:
            yield _overloads(self.overloads)

    def _loads(self, model: str) -> Table:
        titles = ("", "over", "conns", "× KServe", "× echo", "req/s", "p50 ms", "p99 ms")
        table = _table(f"{model}: one row a request", *titles)
        before = None
        for row in (one for one in self.rows if one.model == model):
            same = before == (row.peer, row.transport)
            before = (row.peer, row.transport)
            table.add_row(
                "" if same else self.peers[row.peer].title,
                "" if same else TRANSPORTS[row.transport].title,
                str(row.connections),
                *(_ratio(row.to_stock), _ratio(row.to_floor)),
                f"{row.requests_per_second:,.0f}",
                *(f"{row.p50_ms:.2f}", f"{row.p99_ms:.2f}"),
            )
        return table

    def _processes(self, model: str) -> Table:
        titles = ("", "start × KServe", "memory × KServe", "start s", "memory MiB")
        table = _table(f"{model}: process start to first right answer, resident memory", *titles)
        for one in (one for one in self.footprints if one.model == model):
            table.add_row(
                self.peers[one.peer].title,
                *(_ratio(one.start_to_stock), _ratio(one.memory_to_stock)),
                *(f"{one.start_seconds:.2f}", f"{one.memory_mib:.0f}"),
            )
        return table


def _before(title: str, rows: Iterable[Row]) -> Table:
    columns = ("over", "conns", "× before", "between", "rounds")
    table = _table(f"{title}, and Serin now: requests a second", "", *columns)
    for row in rows:
        low, high = interval(row.to_before)
        table.add_row(
            row.model,
            TRANSPORTS[row.transport].title,
            str(row.connections),
            *(f"{median(row.to_before):.3f}", f"{low:.3f} … {high:.3f}"),
            str(len(row.to_before)),
        )
    return table


def _overloads(overloads: Sequence[Overload]) -> Table:
    titles = ("p99 ×", "offered/s", "accepted/s", "refused/s", "p99 ms", "at capacity")
    table = _table("Serin past its capacity: what was accepted", "", *titles)
    for one in overloads:
        table.add_row(
            one.model,
            _ratio(one.p99_ratio),
            f"{one.overload.offered_per_second or 0:,.0f}",
            f"{one.overload.accepted_per_second:,.0f}",
            f"{one.overload.refused_per_second:,.0f}",
            *(f"{one.overload.p99_ms:.2f}", f"{one.capacity.p99_ms:.2f}"),
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,  # 80 columns are few
        collapse_padding=True,
        pad_edge=False,
    )
    for column in columns:
        justify: JustifyMethod = "left" if column in {"", "over"} else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    return table


def _ratio(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _load(row: Row) -> dict[str, Any]:
    before = {}
    if row.to_before:
        bounds = [_rounded(one) for one in interval(row.to_before)]
        before = {"to_before": _rounded(median(row.to_before)), "to_before_interval": bounds}
    return {
        "peer": row.peer,
        "transport": row.transport,
        "connections": row.connections,
        **before,
        "to_stock_kserve": _rounded(row.to_stock),
        "to_echo": _rounded(row.to_floor),
        "requests_per_second": _rounded(row.requests_per_second),
        "requests_per_second_by_round": [_rounded(one) for one in row.rounds],
        "p50_ms": _rounded(row.p50_ms),
        "p99_ms": _rounded(row.p99_ms),
    }


def _process(one: Footprint) -> dict[str, Any]:
    return {
        "peer": one.peer,
        "start_to_stock_kserve": _rounded(one.start_to_stock),
        "memory_to_stock_kserve": _rounded(one.memory_to_stock),
        "start_seconds": _rounded(one.start_seconds),
        "memory_mib": _rounded(one.memory_mib),
    }


def _rounded(value: float | None) -> float | None:
    """Four significant digits, which is more than two runs agree on."""
    return None if value is None else float(f"{value:.4g}")
