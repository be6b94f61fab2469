"""A dashboard's queries, asked of a Prometheus: as values, and as a picture where no Grafana is."""

import math
import re
import time
from collections.abc import Mapping
from typing import Any

import httpx

from controlplane.errors import SerinError
from scripts.boards.panel import Board, Panel, Query
from scripts.show import curves
from scripts.show.curves import Line
from scripts.show.curves import Panel as Curves

ALL = {"$namespace": "models", "$model": ".+", "$__rate_interval": "1m"}
"""What Grafana would put in: all models of the namespace."""
_STEPS = 200
_SECONDS = 10.0
_FACTORS = {"percentunit": (100.0, "%"), "bytes": (1 / 2**20, "MiB"), "reqps": (1.0, "/s")}
_MILLISECONDS_BELOW = 2.0


def filled(expr: str) -> str:
    """A query with its variables replaced."""
    for name, value in ALL.items():
        expr = expr.replace(name, value)
    return expr


def instant(url: str, expr: str) -> list[tuple[Mapping[str, str], float]]:
    """Labels and value of each element.

    Raises:
        SerinError: Prometheus does not answer, or refuses the query.
    """
    found = _ask(url, "query", {"query": filled(expr)})
    return [(one["metric"], float(one["value"][1])) for one in found]


def picture(url: str, board: Board, minutes: float) -> str:
    """All panels of a dashboard over the last minutes, as an SVG.

    Raises:
        SerinError: Prometheus does not answer, or refuses a query.
    """
    end = time.time()
    start = end - 60 * minutes
    panels = [_curves(url, panel, start, end) for panel in board.panels]
    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end))
    note = f"{moment}, drawn by ./serin dashboards from the panels' own queries; no Grafana"
    return curves.picture(board.title, panels, end - start, note)


def _curves(url: str, panel: Panel, start: float, end: float) -> Curves:
    lines = [line for query in panel.queries for line in _lines(url, query, start, end)]
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


def _lines(url: str, query: Query, start: float, end: float) -> list[Line]:
    step = (end - start) / _STEPS
    asked = {"query": filled(query.expr), "start": start, "end": end, "step": step}
    lines = []
    for one in _ask(url, "query_range", asked):
        values: list[float | None] = [None] * (_STEPS + 1)
        for at, value in one["values"]:
            if not math.isnan(number := float(value)):  # 0/0 while nothing was asked
                values[round((at - start) / step)] = number
        lines.append(Line(values, legend(query, one["metric"])))
    return lines


def legend(query: Query, labels: Mapping[str, str]) -> str:
    """A query's legend for one series."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), query.legend)


def _ask(url: str, verb: str, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        answer = httpx.get(
            f"{url}/api/v1/{verb}", params=dict(asked), timeout=_SECONDS, trust_env=False
        ).json()
    except (httpx.HTTPError, ValueError) as error:
        raise SerinError(f"Prometheus at {url} does not answer: {error}.") from error
    if answer["status"] != "success":
        raise SerinError(f"Prometheus refuses {asked['query']}: {answer.get('error')}.")
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found
