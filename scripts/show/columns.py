"""A table on stdout: rich on a terminal, aligned plain text elsewhere."""

import os
import sys
from collections.abc import Sequence

Row = Sequence[str]


def show(header: Row, rows: Sequence[Row]) -> None:
    """Print a table."""
    if not sys.stdout.isatty():
        sys.stdout.write(plain(header, rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="" if "NO_COLOR" in os.environ else "dim")
    for title in header:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)


def plain(header: Row, rows: Sequence[Row]) -> str:
    """The table as text, columns aligned, none after the last."""
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header) - 1)]
    return "".join(
        "  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() + "\n" for row in table
    )
