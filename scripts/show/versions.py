"""Published versions, for people and as JSON."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from controlplane.differences import leaves, of_manifests, shown
from controlplane.store.catalog import Version

HEADER = ("MODEL", "VERSION", "CREATED", "SIZE", "METRICS", "SERVING")
_QUALITY = ("accuracy", "bits_per_byte", "r2", "rmse", "mae", "f1", "log_loss", "ece")
"""What says how good a version is, the most telling first."""
_SIZES = ("batch_size", "epochs", "nodes", "parameters", "steps", "trees")
"""What says how it was made: shown where nothing else is there."""
_NARROW = 100
"""Columns of a terminal on which one metric has room, not two."""
_UNITS = ("B", "KiB", "MiB", "GiB")
Serving = Mapping[tuple[str, str], int]
"""Ready pods by model and version."""


def serving(status: Mapping[str, Any] | None) -> Serving:
    """What the platform's status says of each version."""
    return Counter(
        (name, pod["version"])
        for name, model in ((status or {}).get("models") or {}).items()
        for pod in model["pods"]
        if pod["ready"]
    )


def row(one: Version, pods: Serving, columns: int | None = None) -> tuple[str, ...]:
    """A line of the table, on a terminal of so many columns; None is no terminal."""
    narrow = columns is not None and columns < _NARROW
    count = pods.get((one.model, one.version), 0)
    return (
        one.model,
        one.version,
        f"{one.published_at.astimezone():{'%m-%d %H:%M' if narrow else '%Y-%m-%d %H:%M'}}",
        size(one.size_bytes),
        _metrics(one, 1 if narrow else 2),
        f"{count} pod{'s' * (count != 1)}" if count else "–",
    )


def entry(one: Version, pods: Serving) -> dict[str, Any]:
    """A version as JSON."""
    return {
        "model": one.model,
        "version": one.version,
        "storageUri": one.uri,
        "createdAt": one.published_at.isoformat(),
        "sizeBytes": one.size_bytes,
        "metrics": one.metrics,
        "readyPods": pods.get((one.model, one.version), 0),
    }


def description(one: Version, pods: Serving) -> str:
    """What a version is, field by field."""
    told = entry(one, pods)
    lines = [(name, told[name]) for name in ("model", "version", "storageUri", "createdAt")]
    lines += [("size", size(one.size_bytes)), ("readyPods", told["readyPods"])]
    lines += [
        (field, value)
        for field, value in leaves(one.manifest)
        if not field.startswith("golden_sample.") and field != "model"
    ]
    width = max(len(field) for field, _ in lines)
    return "".join(f"{field.ljust(width)}  {shown(value)}\n" for field, value in lines)


def lineage(run: Mapping[str, Any]) -> str:
    """Which run made a version: its name, when, who, with which flags."""
    flags = " ".join(map(str, run.get("flags") or ())) or "no flags"
    by = f", by {run['by']}" if run.get("by") else ""
    return f"run {run['run']}  {run.get('beganAt', '')}{by}, {flags}"


def differences(one: Version, other: Version) -> list[tuple[str, Any, Any]]:
    """Field, value in `one`, value in `other`; None where one has no such field."""
    return of_manifests(one.manifest, other.manifest)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"


def as_json(document: object) -> str:
    """JSON as kubectl prints it."""
    return json.dumps(document, indent=4, ensure_ascii=False)


def _metrics(one: Version, shown: int) -> str:
    if not one.manifest:
        return "manifest damaged: serin models verify"
    numbers = [
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.4g}"
        for name, value in sorted(one.metrics.items(), key=telling)
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    marks = [name for name, value in one.metrics.items() if value is True]
    return ", ".join([*numbers[:shown], *marks]) or "–"


def telling(metric: tuple[str, Any]) -> tuple[int, str]:
    """Quality first, sizes last."""
    name = metric[0]
    if name in _QUALITY:
        return _QUALITY.index(name), name
    return len(_QUALITY) + (name in _SIZES), name
