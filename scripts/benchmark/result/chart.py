"""The result as a picture: an SVG of horizontal bars, ratios to stock KServe on one scale a model.

Written by hand because a plotting library for twenty rectangles would be the largest thing that
the benchmark installs. Colours follow the reader's light or dark page.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from scripts.benchmark.peer import FLOOR, STOCK
from scripts.benchmark.result.report import Report
from scripts.benchmark.result.summary import Row
from scripts.benchmark.traffic.transports import TRANSPORTS

WIDTH = 760  # pixels, of all
LABELS = 250  # of the left column
VALUES = 130  # kept free right of the longest bar
BAR, STEP, HEAD = 16, 24, 46
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 15px }
  .note { fill: #6e7781; font-size: 12px }
  .own { fill: #0969da } .stock { fill: #8c959f } .peer { fill: #c4cad1 } .floor { fill: #e6d9b8 }
  .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #8d96a0 } .page { fill: #0d1117 }
    .own { fill: #4493f8 } .stock { fill: #7d8590 } .peer { fill: #444c56 } .floor { fill: #5c5238 }
  }
"""


def chart(report: Report) -> str:
    """The bars of all models at the most connections that were measured."""
    connections = max(report.settings.connections)
    parts: list[str] = []
    top = 0
    for subject in report.subjects:
        rows = [
            one
            for one in report.rows
            if one.model == subject.model and one.connections == connections
        ]
        parts += _model(report, subject.model, rows, top)
        top += HEAD + STEP * len(rows) + 14
    machine = report.provenance["machine"]
    note = (
        f"{connections} connections, server on one core of {machine['cores']}: {machine['cpu']}. "
        f"{report.provenance['date']}"
    )
    parts.append(f'<text class="note" x="16" y="{top + 12}">{escape(note)}</text>')
    height = top + 28
    label = "Requests a second, compared with stock KServe"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="{label}">'
    )
    page = f'<rect class="page" width="{WIDTH}" height="{height}"/>'
    return "\n".join([opening, f"<style>{STYLE}</style>", page, *parts, "</svg>", ""])


def _model(report: Report, model: str, rows: Sequence[Row], top: int) -> list[str]:
    title = f"{model}: requests a second, and times stock KServe over the same protocol"
    parts = [f'<text class="title" x="16" y="{top + 28}">{escape(title)}</text>']
    longest = max((one.requests_per_second for one in rows), default=1.0)
    for number, row in enumerate(sorted(rows, key=lambda one: -one.requests_per_second)):
        y = top + HEAD + STEP * number
        length = max(1.0, row.requests_per_second / longest * (WIDTH - LABELS - VALUES))
        label = f"{report.peers[row.peer].title}, {TRANSPORTS[row.transport].title}"
        value = f"{row.requests_per_second:,.0f}"
        if row.to_stock is not None:
            value += f"  ({row.to_stock:.1f}×)"
        kind = {"serin": "own", STOCK: "stock", FLOOR: "floor"}.get(row.peer, "peer")
        middle = y + BAR - 4
        shape = f'y="{y}" width="{length:.1f}" height="{BAR}" rx="2"'
        parts += [
            f'<text x="{LABELS - 10}" y="{middle}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="{kind}" x="{LABELS}" {shape}/>',
            f'<text x="{LABELS + length + 8:.1f}" y="{middle}">{escape(value)}</text>',
        ]
    return parts
