"""The status table: rich on a terminal, aligned plain text elsewhere."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scripts.show import columns

if TYPE_CHECKING:
    from rich.table import Table

HEADER = ("MODEL", "VERSION", "REPLICAS", "ADDRESS", "STATE", "REASON")
COLOURS = {"Ready": "green", "Failed": "red", "Degraded": "red", "Unpublished": "yellow"}


def rows(state: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row a model; what changes from one version to another shows both."""
    port = state.get("gateway_port")
    found: list[tuple[str, ...]] = []
    for name, model in sorted(state.get("models", {}).items()):
        now, target = model["version"], model["target_version"]
        version = f"{now} → {target}" if now and target and now != target else now or target or "–"
        ready = f"{model['replicas_ready']}/{model['replicas_wanted']}"
        address = f"http://{model['hosts'][0]}:{port}" if model["hosts"] else "–"
        found.append((name, version, ready, address, model["state"], model["reason"]))
    return found


def show(state: Mapping[str, Any]) -> None:
    """Print the table on stdout."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(rich_table(rows(state)))
    else:
        sys.stdout.write(plain(rows(state)))


def rich_table(lines: list[tuple[str, ...]]) -> "Table":
    """The table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="" if "NO_COLOR" in os.environ else "dim")
    for title in HEADER:
        table.add_column(title, no_wrap=title in {"MODEL", "REPLICAS", "STATE"}, overflow="fold")
    for *cells, state, reason in lines:
        table.add_row(*cells, Text(state, style=COLOURS.get(state, "")), reason)
    return table


def plain(lines: list[tuple[str, ...]]) -> str:
    """The table as text, columns aligned."""
    return columns.plain(HEADER, lines)
