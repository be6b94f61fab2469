"""Curves as an SVG: panels below each other over one time axis.

Written by hand for the reason given in scripts/benchmark/result/chart.py. Colours follow the
reader's light or dark page; they are Okabe and Ito's, which colour-blind readers tell apart.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 860, 70, 24  # pixels
HEAD, PANEL, GAP, FOOT = 60, 96, 50, 22
POINTS = 400
"""At most so many points a line: more than the eye can tell apart."""
COLOURS = 7
DASHES = ("", "7 3", "2 3", "9 3 2 3")
"""Of lines past COLOURS: the same colours, told apart by their strokes."""
NO_DATA = "no data"
_CHARACTER = 6.6
"""Width of a letter of a legend, pixels, on average."""
_ROW = 16
"""Height of a legend's row, pixels."""
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 15px } .note { fill: #6e7781 }
  .page { fill: #ffffff } .grid { stroke: #d8dee4 }
  .limit { stroke: #cf222e; stroke-dasharray: 4 3 }
  .line { fill: none; stroke-width: 1.6 }
  .area { fill: #0969da; fill-opacity: 0.18 }
  .s0 { stroke: #0969da } .s1 { stroke: #d55e00 } .s2 { stroke: #009e73 } .s3 { stroke: #cc79a7 }
  .s4 { stroke: #e69f00 } .s5 { stroke: #56b4e9 } .s6 { stroke: #8a6d00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #8d96a0 } .page { fill: #0d1117 }
    .grid { stroke: #30363d } .limit { stroke: #f85149 }
    .s0 { stroke: #4493f8 } .area { fill: #4493f8 }
  }
"""
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: a value at each step of time, None where there is none."""

    values: Values
    name: str = ""
    """In the legend, where a panel has several."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over one axis."""

    title: str
    lines: Sequence[Line]
    steps: bool = False
    area: Values = ()
    limit: float | None = None
    unit: str = ""
    """Behind each number of the axis."""


def picture(title: str, panels: Sequence[Panel], seconds: float, note: str) -> str:
    """Draw panels below each other, over `seconds` of time; `note` stands at the foot."""
    legends = [_rows(panel) for panel in panels]
    height = HEAD + len(panels) * (PANEL + GAP) + sum(map(_more, legends)) + FOOT
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
    top = HEAD
    for panel, rows in zip(panels, legends, strict=True):
        parts += [
            f'<text x="{LEFT}" y="{top - 6}">{escape(panel.title)}</text>',
            *_legend(rows, top - 6),
        ]
        top += _more(rows)
        parts += _panel(panel, top)
        parts += _axis(seconds, top + PANEL + 16)
        top += PANEL + GAP
    parts.append(f'<text class="note" x="16" y="{height - 12}">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> list[str]:
    known = [value for line in panel.lines for value in line.values if value is not None]
    known += [value for value in panel.area if value is not None]
    highest = max(known, default=0.0)
    if panel.limit is not None and panel.limit <= 3 * max(highest, panel.limit / 3):
        highest = max(highest, panel.limit)
    highest = _round(highest)
    bottom = top + PANEL
    count = max((len(line.values) for line in panel.lines), default=1)

    def x(place: float) -> float:
        return LEFT + place / max(count - 1, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return bottom - value / highest * (PANEL - 6)

    parts = _grid(panel.unit, y, (0.0, highest / 2, highest)) if known else _empty(y(0), top)
    if panel.area:
        edge = _corners(_points(panel.area), steps=True)
        text = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in edge)
        base = f"{x(count - 1):.1f},{bottom} {x(0):.1f},{bottom}"
        parts.append(f'<polygon class="area" points="{text} {base}"/>')
    for number, line in enumerate(panel.lines):
        for piece in _pieces(_points(line.values)):
            corners = _corners(piece, steps=panel.steps)
            if len(corners) == 1:  # a point alone would not be seen
                ((place, value),) = corners
                corners = [(max(place - 0.25, 0), value), (min(place + 0.25, count - 1), value)]
            text = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in corners)
            parts.append(f'<polyline class="{_stroke(number)} points="{text}"/>')
    if panel.limit is not None and panel.limit <= highest:
        level = f"{y(panel.limit):.1f}"
        parts.append(
            f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level}" y2="{level}"/>'
        )
    return parts


def _grid(unit: str, y: Callable[[float], float], levels: Sequence[float]) -> list[str]:
    """A line across at each level, with its number."""
    parts = []
    for level in levels:
        at = f"{y(level):.0f}"
        place = f'x="{LEFT - 8}" y="{y(level) + 4:.0f}" text-anchor="end"'
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>',
            f'<text class="note" {place}>{_label(level, unit)}</text>',
        ]
    return parts


def _empty(bottom: float, top: float) -> list[str]:
    """What stands where nothing was measured."""
    right, middle = WIDTH - RIGHT, (LEFT + WIDTH - RIGHT) / 2
    at = f'x="{middle:.0f}" y="{top + PANEL / 2:.0f}" text-anchor="middle"'
    return [
        f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{bottom:.0f}" y2="{bottom:.0f}"/>',
        f'<text class="note" {at}>{NO_DATA}</text>',
    ]


def _stroke(number: int) -> str:
    """A line's colour and dashes, as the rest of its `class` attribute and what follows it."""
    dashes = DASHES[number // COLOURS % len(DASHES)]
    return f's{number % COLOURS} line"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _round(highest: float) -> float:
    """The end of an axis: the next number of 1, 2, 2.5 or 5 and zeros."""
    if highest <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(highest))
    return next(size * step for step in (1, 2, 2.5, 5, 10) if size * step >= highest * (1 - 1e-9))


def _label(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
    return f"{text} {unit}".rstrip()


def _rows(panel: Panel) -> list[list[tuple[int, str]]]:
    """A legend's rows: number and name of each curve. The first row begins behind the title."""
    rows: list[list[tuple[int, str]]] = [[]]
    room = WIDTH - RIGHT - LEFT - len(panel.title) * _CHARACTER - 40
    for number, line in enumerate(panel.lines):
        width = len(line.name) * _CHARACTER + 34
        if line.name and width > room:
            rows.append([])
            room = WIDTH - RIGHT - LEFT
        if line.name:
            rows[-1].append((number, line.name))
            room -= width
    return rows


def _more(rows: list[list[tuple[int, str]]]) -> int:
    """What a legend takes beside the title's row, pixels."""
    return _ROW * (len(rows) - 1)


def _legend(rows: list[list[tuple[int, str]]], y: float) -> list[str]:
    parts: list[str] = []
    for row in rows:
        right = float(WIDTH - RIGHT)
        for number, name in reversed(row):
            left = right - len(name) * _CHARACTER
            ends = f'x1="{left - 20:.0f}" x2="{left - 6:.0f}" y1="{y - 4}" y2="{y - 4}"'
            parts += [
                f'<text class="note" x="{left:.0f}" y="{y}">{escape(name)}</text>',
                f'<line class="{_stroke(number)} {ends}/>',
            ]
            right = left - 34
        y += _ROW
    return parts


def _axis(seconds: float, y: float) -> list[str]:
    parts = []
    for tick in range(5):
        at = tick / 4 * max(seconds, 1)
        x = LEFT + tick / 4 * (WIDTH - LEFT - RIGHT)
        anchor = {0: "start", 4: "end"}.get(tick, "middle")
        text = f"{at:.3g} s" if seconds <= 120 else f"{at / 60:.3g} min"
        parts.append(f'<text class="note" x="{x:.0f}" y="{y}" text-anchor="{anchor}">{text}</text>')
    return parts


def _points(values: Values) -> list[tuple[float, float | None]]:
    """At most POINTS of them; a point stands for the highest value of its steps."""
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
