"""How two documents differ, leaf by leaf, for people. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_SHORT = 60


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a document by their path; lists are leaves, but for lists of tensors."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{inner.get('name', number)}]")
    else:
        yield path, value


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Field, value in `old`, value in `new`, of those that differ."""
    return [
        (field, old.get(field), new.get(field))
        for field in sorted({*old, *new})
        if old.get(field) != new.get(field)
    ]


def of_manifests(
    manifest: Mapping[str, Any], other: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    """Field, value in one, value in the other; None where one has no such field."""
    return changed(dict(leaves(manifest)), dict(leaves(other)))


def shown(value: Any) -> str:
    """A value in a cell: hashes and lists shortened."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHORT else f"{text[: _SHORT // 5]}…"
