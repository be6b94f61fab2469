"""JSON for eyes: a field a line, and lists of numbers wrapped within the terminal."""

import json
import textwrap
from typing import Any


def pretty(value: Any, width: int, indent: int = 0) -> str:
    """The value as JSON; what fits in a line stays in one."""
    line = json.dumps(value, ensure_ascii=False)
    inner = " " * (indent + 2)
    if indent + len(line) + 1 <= width or not isinstance(value, dict | list) or not value:
        return line
    if isinstance(value, dict):
        fields = [
            f"{inner}{json.dumps(name, ensure_ascii=False)}: {pretty(one, width, indent + 2)}"
            for name, one in value.items()
        ]
        return "{\n" + ",\n".join(fields) + "\n" + " " * indent + "}"
    if all(isinstance(one, int | float) for one in value):
        numbers = textwrap.fill(
            line[1:-1], width - 1, initial_indent=inner, subsequent_indent=inner
        )
        return f"[\n{numbers}\n{' ' * indent}]"
    items = [inner + pretty(one, width, indent + 2) for one in value]
    return "[\n" + ",\n".join(items) + "\n" + " " * indent + "]"
