"""The JSONPath of printer columns: .name, [0], ['name'], [*], [?(@.field=="value")]. Pure."""

import re
from typing import Any

_STEP = re.compile(
    r"""\.?(?P<name>[\w$/-]+)"""
    r"""|\[(?P<index>-?\d+)\]"""
    r"""|\[['"](?P<quoted>[^'"]+)['"]\]"""
    r"""|(?P<all>\[\*\]|\.\*)"""
    r"""|\[\?\(@\.(?P<field>[\w.]+)\s*==\s*(?P<value>[^)]+)\)\]"""
)


def find(path: str, one: Any) -> list[Any]:
    """Every value that a path names, in order."""
    found = [one]
    for step in _STEP.finditer(path):
        found = [inner for value in found for inner in _take(step, value)]
    return found


def _take(step: re.Match[str], value: Any) -> list[Any]:
    if name := step["name"] or step["quoted"]:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if step["index"] is not None:
        index = int(step["index"])
        return (
            [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else []
        )
    items = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(items, list):
        return []
    if step["all"]:
        return items
    return [
        item
        for item in items
        if [_text(inner) for inner in find(f".{step['field']}", item)]
        == [step["value"].strip().strip("'\"")]
    ]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
