"""What becomes of every field of every kind: done, stated, said or refused. Pure.

The table is fields.yaml, which says what the words mean.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from controlplane.kubernetes.kinds import KINDS, Kind
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Cause
from controlplane.local.api.schemas import Schema, schema_of

UNNAMED = "said: is not followed on a laptop"
_ALWAYS = {"apiVersion", "kind"}


def outcomes(kind: Kind, one: Object) -> tuple[list[Cause], list[str]]:
    """What is refused of an object, and what is said of it."""
    refused, said = [], []
    for path, outcome in _walk(_table()[kind.name], one, ""):
        word, _, words = outcome.partition(": ")
        if word == "refused":
            refused.append(Cause("FieldValueForbidden", path, f"Forbidden: {words}"))
        elif word == "said":
            said.append(f"{path}: {words}")
    return refused, list(dict.fromkeys(said))


def rows(kind: Kind) -> Iterator[tuple[str, str]]:
    """Every field of a kind with its outcome, as the document shows them."""
    yield from _rows(_table()[kind.name], schema_of(kind), "", {})


def document() -> str:
    """docs/local-fields.md."""
    parts = [_HEAD]
    for kind in KINDS:
        parts.append(f"\n## {kind.name}\n\n| fields | outcome |\n|---|---|")
        parts += [f"| {fields} | {outcome} |" for fields, outcome in rows(kind)]
    return "\n".join(parts) + "\n"


_HEAD = """# Every field on the laptop

Made by `python -m controlplane.local.api.rules.fields`; do not edit. A field stands for all that it
holds, unless a row below it says otherwise.

| outcome | meaning |
|---|---|
| done | it does on the laptop what it does in a cluster |
| stated | it describes an image, bounds or a place in a cluster, of which a laptop has none |
| said | it is kept and not followed; a warning, which kubectl prints, and an Event say so |
| refused | the object is refused |

What a cluster refuses is refused before that, with the cluster's words."""


def _shown(outcome: str) -> str:
    word, _, words = outcome.partition(": ")
    return f"**{word}**: {words}" if words else f"**{word}**"


def _walk(table: Any, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(table, str):
        if value not in (None, False, "", [], {}):
            yield path, table
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(table, item, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if path or name not in _ALWAYS:
                inner = table.get(name, table.get("*", UNNAMED))
                yield from _walk(inner, item, f"{path}.{name}".lstrip("."))
    elif value not in (None, False, ""):
        yield path, table.get(str(value), table.get("*", UNNAMED))


def _rows(
    table: Mapping[str, Any], schema: Schema, path: str, seen: dict[int, str]
) -> Iterator[tuple[str, str]]:
    """The fields of one object, those of the same outcome in one row; then what they hold."""
    schema = schema.get("items", schema)
    properties: Mapping[str, Any] = schema.get("properties") or {}
    joint = "." if properties else ": "
    groups: dict[str, list[str]] = {}
    rest = [name for name in properties if name not in {*table, *_ALWAYS}]
    if rest or "*" in table:
        groups[table.get("*", UNNAMED)] = rest or ["any other"]
    for name, inner in table.items():
        if isinstance(inner, str) and name != "*":
            groups.setdefault(inner, []).append(name)
    for outcome, names in sorted(groups.items()):
        inside = f"`{path}`{joint if joint == ': ' else ' '}" if path else ""
        yield inside + ", ".join(f"`{name}`" for name in sorted(names)), _shown(outcome)
    for name, inner in table.items():
        at = f"{path}{joint}{name}".removeprefix(".")
        if isinstance(inner, str):
            continue
        if id(inner) in seen:
            yield f"`{at}`", f"as `{seen[id(inner)]}`"
        else:
            seen[id(inner)] = at
            yield from _rows(inner, properties.get(name, {}), at, seen)


@cache
def _table() -> Mapping[str, Any]:
    text = (Path(__file__).parent / "fields.yaml").read_bytes()
    kinds: Mapping[str, Any] = yaml.safe_load(text)["kinds"]
    return kinds


if __name__ == "__main__":
    (Path(__file__).parents[4] / "docs" / "local-fields.md").write_text(document(), "utf-8")
