"""A dashboard's queries, asked of a Prometheus: as values, and as a picture where no Grafana is."""

import math
import re
import time
from collections.abc import Mapping, Sequence

from controlplane.prometheus import Prometheus
from scripts.boards.panel import Board, Panel, Query
from scripts.show import curves
from scripts.show.curves import Line
from scripts.show.curves import Panel as Curves

ALL = {"$namespace": "models", "$model": ".+", "$__rate_interval": "1m"}
"""What Grafana would put in: all models of the namespace."""
_STEPS = 200
_FACTORS = {"percentunit": (100.0, "%"), "bytes": (1 / 2**20, "MiB"), "reqps": (1.0, "/s")}
_MILLISECONDS_BELOW = 2.0


def filled(expr: str) -> str:
    """A query with its variables replaced."""
    for name, value in ALL.items():
        expr = expr.replace(name, value)
    return expr


def instant(url: str, expr: str) -> Sequence[tuple[Mapping[str, str], float]]:
    """Labels and value of each element.

    Raises:
        PrometheusError: there is no answer, or the query is refused.
    """
    return Prometheus.at(url, trust_env=False).ask(filled(expr))


def picture(url: str, board: Board, minutes: float) -> str:
    """All panels of a dashboard over the last minutes, as an SVG.

    Raises:
        PrometheusError: there is no answer, or a query is refused.
    """
    prometheus = Prometheus.at(url, trust_env=False)
    end = time.time()
    start = end - 60 * minutes
    panels = [_curves(prometheus, panel, start, end) for panel in board.panels]
    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end))
    note = f"{moment}, drawn by ./serin dashboards from the panels' own queries; no Grafana"
    return curves.picture(board.title, panels, end - start, note)


def _curves(prometheus: Prometheus, panel: Panel, start: float, end: float) -> Curves:
    lines = [line for query in panel.queries for line in _lines(prometheus, query, start, end)]
    factor, unit = _FACTORS.get(panel.unit, (1.0, ""))
    if panel.unit == "s":
        highest = max((one for line in lines for one in line.values if one is not None), default=0)
        # A latency may be that short; an age or what is left of a training is counted in seconds.
        is_latency = any("histogram_quantile" in query.expr for query in panel.queries)
        fine = is_latency and highest < _MILLISECONDS_BELOW
        factor, unit = (1000.0, "ms") if fine else (1.0, "s")
    scaled = [
        Line([None if one is None else one * factor for one in line.values], line.name)
        for line in lines
    ]
    return Curves(panel.title, scaled, unit=unit)


def _lines(prometheus: Prometheus, query: Query, start: float, end: float) -> list[Line]:
    step = (end - start) / _STEPS
    lines = []
    for labels, samples in prometheus.over(filled(query.expr), start, end, step):
        values: list[float | None] = [None] * (_STEPS + 1)
        for at, value in samples:
            if not math.isnan(value):  # 0/0 while nothing was asked
                values[round((at - start) / step)] = value
        lines.append(Line(values, legend(query, labels)))
    return lines


def legend(query: Query, labels: Mapping[str, str]) -> str:
    """A query's legend for one series."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), query.legend)
