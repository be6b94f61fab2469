"""A replay as an SVG: load, replicas, queue and latency over one time axis.

Written by hand for the reason given in scripts/benchmark/chart.py. Colours follow the reader's
light or dark page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from scripts.simulation.replay import Run

WIDTH, LEFT, RIGHT = 860, 70, 24  # pixels
HEAD, PANEL, GAP, FOOT = 60, 96, 34, 34
POINTS = 400
"""At most so many points a line: more than the eye can tell apart."""
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 15px } .note { fill: #6e7781 }
  .page { fill: #ffffff } .grid { stroke: #d8dee4 }
  .limit { stroke: #cf222e; stroke-dasharray: 4 3 }
  .line { fill: none; stroke: #0969da; stroke-width: 1.6 }
  .area { fill: #0969da; fill-opacity: 0.18 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #8d96a0 } .page { fill: #0d1117 }
    .grid { stroke: #30363d } .limit { stroke: #f85149 }
    .line { stroke: #4493f8 } .area { fill: #4493f8 }
  }
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One curve: a value at each second, None where there is none."""

    title: str
    values: Sequence[float | None]
    steps: bool = False
    area: Sequence[float | None] = ()
    limit: float | None = None


def picture(run: Run, panels: Sequence[Panel], note: str) -> str:
    """Draw panels below each other; `note` stands at the foot."""
    height = HEAD + len(panels) * (PANEL + GAP) + FOOT
    title = f"ScaledObject {run.rule.name}: {run.rule.hpa_min_replicas}"
    title = f"{title} to {run.rule.max_replica_count} replicas"
    seconds = len(run.moments)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">'
    )
    parts = [
        opening,
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, HEAD + number * (PANEL + GAP), seconds)
    parts += _axis(seconds, height - FOOT - GAP + 14)
    parts.append(f'<text class="note" x="16" y="{height - 12}">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def of_service(run: Run, slo_seconds: float) -> list[Panel]:
    """Panels of a run with simulated pods."""
    return [
        Panel("requests a second", [moment.rate for moment in run.moments]),
        replicas(run),
        Panel("requests that wait", [float(moment.waiting) for moment in run.moments]),
        Panel("95th percentile, seconds (red: objective)", _p95(run), limit=slo_seconds),
    ]


def of_metric(run: Run) -> list[Panel]:
    """Panels of a run on recorded metrics."""
    readings = [moment.reading for moment in run.moments]
    return [Panel("metric (gaps: the query failed)", readings, steps=True), replicas(run)]


def replicas(run: Run) -> Panel:
    """Replicas wanted as a line, ready as an area, the maximum in red."""
    return Panel(
        "replicas: wanted, ready (area), maximum (red)",
        [float(moment.wanted) for moment in run.moments],
        steps=True,
        area=[float(moment.ready) for moment in run.moments],
        limit=float(run.rule.max_replica_count),
    )


def _p95(run: Run) -> list[float | None]:
    """Of requests that came within the same 1/POINTS of the time."""
    count = len(run.moments)
    width = max(count // POINTS, 5)
    slots: dict[int, list[float]] = {}
    for came, latency in run.latencies:
        slots.setdefault(int(came) // width, []).append(latency)
    found = {slot: sorted(all_)[int(0.95 * len(all_))] for slot, all_ in slots.items()}
    return [found.get(second // width) for second in range(count)]


def _panel(panel: Panel, top: int, seconds: int) -> list[str]:
    known = [value for value in (*panel.values, *panel.area) if value is not None]
    highest = max(known, default=0.0)
    if panel.limit is not None and panel.limit <= 3 * max(highest, panel.limit / 3):
        highest = max(highest, panel.limit)
    highest = highest or 1.0
    bottom = top + PANEL

    def x(second: float) -> float:
        return LEFT + second / max(seconds - 1, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return bottom - value / highest * (PANEL - 6)

    parts = [
        f'<text x="{LEFT}" y="{top - 6}">{escape(panel.title)}</text>',
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>',
        f'<text class="note" x="{LEFT - 8}" y="{bottom + 4}" text-anchor="end">0</text>',
        f'<text class="note" x="{LEFT - 8}" y="{top + 10}" text-anchor="end">{highest:.4g}</text>',
    ]
    if panel.area:
        edge = _corners(_points(panel.area), steps=True)
        text = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in edge)
        base = f"{x(seconds - 1):.1f},{bottom} {x(0):.1f},{bottom}"
        parts.append(f'<polygon class="area" points="{text} {base}"/>')
    for piece in _pieces(_points(panel.values)):
        corners = _corners(piece, steps=panel.steps)
        text = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in corners)
        parts.append(f'<polyline class="line" points="{text}"/>')
    if panel.limit is not None and panel.limit <= highest:
        level = f"{y(panel.limit):.1f}"
        parts.append(
            f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level}" y2="{level}"/>'
        )
    return parts


def _axis(seconds: int, y: float) -> list[str]:
    parts = []
    for tick in range(5):
        at = tick / 4 * max(seconds - 1, 1)
        x = LEFT + tick / 4 * (WIDTH - LEFT - RIGHT)
        anchor = "end" if tick == 4 else "middle"
        text = f"{at / 60:.3g} min"
        parts.append(f'<text class="note" x="{x:.0f}" y="{y}" text-anchor="{anchor}">{text}</text>')
    return parts


def _points(values: Sequence[float | None]) -> list[tuple[float, float | None]]:
    """At most POINTS of them; a point stands for the highest value of its seconds."""
    width = -(-len(values) // POINTS) or 1
    found: list[tuple[float, float | None]] = []
    for start in range(0, len(values), width):
        known = [value for value in values[start : start + width] if value is not None]
        found.append((float(start), max(known) if known else None))
    return found


def _pieces(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float | None]]]:
    """Runs of points that have a value."""
    pieces: list[list[tuple[float, float | None]]] = [[]]
    for at, value in points:
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((at, value))
    return [piece for piece in pieces if piece]


def _corners(
    points: Sequence[tuple[float, float | None]], *, steps: bool
) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for at, value in points:
        if value is None:
            continue
        if steps and found:
            found.append((at, found[-1][1]))
        found.append((at, value))
    return found
