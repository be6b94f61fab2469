"""A V2 answer as a table: one line a row asked, probabilities as bars."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from scripts.show.columns import plain

BAR_CELLS = 12
ASKED_CELLS = 24
"""What a question wraps to before bars grow short, and what an answer may be long unwrapped."""
SAID_WHERE_TRUE = {"truncated"}
"""Outputs that say that something was wrong."""
EIGHTHS = " ▏▎▍▌▋▊▉█"
SHOWN_OF_ONE_ROW = 5
SHOWN_OF_SEVERAL = 3
ROUNDING = 1e-3  # ten votes of 0.1 are 1.0000001 in FP32


def shown(answer: dict[str, Any], metadata: dict[str, Any], asked: Sequence[str]) -> str:
    """The answer for what is no terminal: aligned columns, one line for each row asked."""
    header = ["input"]
    columns: list[list[str]] = []
    for output, labels in _outputs(answer, metadata):
        header.append(output["name"].replace("_", " "))
        columns.append([_line(values, labels) for values in _rows(output, len(asked))])
    return plain(header, [tuple(row) for row in zip(asked, *columns, strict=True)])


def table_of(
    answer: dict[str, Any], metadata: dict[str, Any], asked: Sequence[str], width: int
) -> Table:
    """One line for each row asked, one column for each output.

    Args:
        answer: V2's JSON answer.
        metadata: V2 metadata of the model; an output's parameters may hold `labels`.
        asked: what each row was, as the person typed it.
        width: columns of the terminal. Bars grow short, and go, before a number does.
    """
    for cells in (BAR_CELLS, BAR_CELLS // 2, 0):
        table = _table(answer, metadata, asked, cells)
        console = Console(width=1000)
        natural = Measurement.get(console, console.options, table).maximum
        question = max(cell_len(line) for line in asked)
        if natural - question + min(question, ASKED_CELLS) <= width:
            break
    return table


def _table(
    answer: dict[str, Any], metadata: dict[str, Any], asked: Sequence[str], cells: int
) -> Table:
    version = answer.get("model_version")
    title = f"{answer['model_name']} {version}" if version else answer["model_name"]
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    table.show_lines = len(asked) > 1
    table.add_column("input", overflow="fold")
    columns = []
    for output, labels in _outputs(answer, metadata):
        short = all(len(_short(value)) <= ASKED_CELLS for value in output["data"])
        table.add_column(output["name"].replace("_", " "), overflow="fold", no_wrap=short)
        columns.append(list(_cells(output, labels, len(asked), cells)))
    for question, *row in zip(asked, *columns, strict=True):
        table.add_row(Text(question), *row)
    return table


def _outputs(
    answer: dict[str, Any], metadata: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], Sequence[str] | None]]:
    """The outputs worth a column, each with its labels."""
    labels = {
        output["name"]: output.get("parameters", {}).get("labels")
        for output in metadata.get("outputs", [])
    }
    for output in answer["outputs"]:
        if output["name"] in SAID_WHERE_TRUE and not any(output["data"]):
            continue
        yield output, labels.get(output["name"])


def _rows(output: dict[str, Any], rows: int) -> Iterator[list[Any]]:
    width = len(output["data"]) // rows
    for row in range(rows):
        yield output["data"][row * width : (row + 1) * width]


def _cells(
    output: dict[str, Any], labels: Sequence[str] | None, rows: int, cells: int
) -> Iterator[RenderableType]:
    for values in _rows(output, rows):
        if len(values) > 1 and _is_distribution(values):
            yield _bars(values, labels, SHOWN_OF_ONE_ROW if rows == 1 else SHOWN_OF_SEVERAL, cells)
        else:
            yield Text(_line(values, None))


def _line(values: Sequence[Any], labels: Sequence[str] | None) -> str:
    if len(values) > 1 and _is_distribution(values):
        names = _names(values, labels)
        order = sorted(range(len(values)), key=lambda index: -values[index])[:SHOWN_OF_ONE_ROW]
        return ", ".join(f"{names[index]} {values[index]:.1%}" for index in order)
    return " ".join(_short(value) for value in values)


def _names(values: Sequence[float], labels: Sequence[str] | None) -> list[str]:
    return [str(label) for label in labels] if labels else [str(n) for n in range(len(values))]


def _is_distribution(values: Sequence[Any]) -> bool:
    if not all(isinstance(value, (int, float)) and 0 <= value <= 1 + ROUNDING for value in values):
        return False
    return math.isclose(sum(values), 1, abs_tol=ROUNDING)


def _bars(
    values: Sequence[float], labels: Sequence[str] | None, shown: int, cells: int
) -> RenderableType:
    names = _names(values, labels)
    order = sorted(range(len(values)), key=lambda index: -values[index])[:shown]
    widest = max(len(names[index]) for index in order)
    lines = []
    for place, index in enumerate(order):
        line = Text(f"{names[index]:<{widest}} ", "bold" if place == 0 else "", no_wrap=True)
        if cells:
            line.append(_bar(values[index], cells) + " ", style="green" if place == 0 else "dim")
        line.append(f"{values[index]:6.1%}")
        lines.append(line)
    return Group(*lines)


def _bar(share: float, cells: int) -> str:
    """`share` of so many cells, to an eighth of a cell."""
    whole, eighths = divmod(round(share * cells * 8), 8)
    bar = EIGHTHS[8] * whole + (EIGHTHS[eighths] if eighths else "")
    return f"{bar:<{cells}}"


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
