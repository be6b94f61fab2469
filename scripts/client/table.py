"""A V2 answer as a table: one line a row asked, probabilities as bars."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

BAR_CELLS = 12
EIGHTHS = " ▏▎▍▌▋▊▉█"
SHOWN_OF_ONE_ROW = 5
SHOWN_OF_SEVERAL = 3
ROUNDING = 1e-3  # ten votes of 0.1 are 1.0000001 in FP32


def table_of(answer: dict[str, Any], metadata: dict[str, Any], asked: Sequence[str]) -> Table:
    """One line for each row asked, one column for each output.

    Args:
        answer: V2's JSON answer.
        metadata: V2 metadata of the model; an output's parameters may hold `labels`.
        asked: what each row was, as the person typed it.
    """
    version = answer.get("model_version")
    title = f"{answer['model_name']} {version}" if version else answer["model_name"]
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.show_lines = len(asked) > 1
    table.add_column("asked", overflow="fold")
    labels = {
        output["name"]: output.get("parameters", {}).get("labels")
        for output in metadata.get("outputs", [])
    }
    columns = []
    for output in answer["outputs"]:
        table.add_column(output["name"].replace("_", " "), overflow="fold")
        columns.append(list(_cells(output, labels.get(output["name"]), len(asked))))
    for question, *cells in zip(asked, *columns, strict=True):
        table.add_row(Text(question), *cells)
    return table


def _cells(
    output: dict[str, Any], labels: Sequence[str] | None, rows: int
) -> Iterator[RenderableType]:
    data = output["data"]
    width = len(data) // rows
    for row in range(rows):
        values = data[row * width : (row + 1) * width]
        if width > 1 and _is_distribution(values):
            yield _bars(values, labels, SHOWN_OF_ONE_ROW if rows == 1 else SHOWN_OF_SEVERAL)
        else:
            yield Text(" ".join(_short(value) for value in values))


def _is_distribution(values: Sequence[Any]) -> bool:
    if not all(isinstance(value, (int, float)) and 0 <= value <= 1 + ROUNDING for value in values):
        return False
    return math.isclose(sum(values), 1, abs_tol=ROUNDING)


def _bars(values: Sequence[float], labels: Sequence[str] | None, shown: int) -> RenderableType:
    names = [str(label) for label in labels] if labels else [str(n) for n in range(len(values))]
    order = sorted(range(len(values)), key=lambda index: -values[index])[:shown]
    widest = max(len(names[index]) for index in order)
    lines = []
    for place, index in enumerate(order):
        line = Text(f"{names[index]:<{widest}} ", "bold" if place == 0 else "", no_wrap=True)
        line.append(_bar(values[index]), style="green" if place == 0 else "dim")
        line.append(f" {values[index]:6.1%}")
        lines.append(line)
    return Group(*lines)


def _bar(share: float) -> str:
    """`share` of BAR_CELLS cells, to an eighth of a cell."""
    whole, eighths = divmod(round(share * BAR_CELLS * 8), 8)
    bar = EIGHTHS[8] * whole + (EIGHTHS[eighths] if eighths else "")
    return f"{bar:<{BAR_CELLS}}"


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
