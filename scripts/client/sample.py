"""The golden sample of a served version, as its manifest on this machine holds it."""

import json
import math
from collections.abc import Mapping
from typing import Any

from scripts.client.errors import UsageError
from scripts.client.question import Question, Tensor

_SHOWN = 4
"""Numbers of a row that are shown as what was asked."""


def golden(platform: Mapping[str, Any], model: str) -> list[Tensor] | None:
    """The sample's inputs; None where this machine has not fetched the version.

    Args:
        platform: What runs here.
        model: As it is served; its version may have been published under another name.
    """
    from controlplane import statefolder

    version = ((platform.get("models") or {}).get(model) or {}).get("version")
    folder = statefolder.home().models
    for path in [folder / model, *sorted(folder.glob("*"))] if version else []:
        manifest = path / str(version) / "MANIFEST.json"
        if manifest.is_file():
            found: list[Tensor] = json.loads(manifest.read_text("utf-8"))["golden_sample"]["inputs"]
            return found
    return None


def question(platform: Mapping[str, Any], model: str, settings: Mapping[str, object]) -> Question:
    """The sample as a request.

    Raises:
        UsageError: There is none on this machine, or an input was to be set beside it.
    """
    tensors = golden(platform, model)
    if tensors is None:
        raise UsageError(f"give {model} something to answer: its sample is not on this machine")
    if settings:
        raise UsageError("--set goes with values, and none were given")
    return Question(tensors, [_row(tensors, row, _rows(tensors)) for row in range(_rows(tensors))])


def _rows(tensors: list[Tensor]) -> int:
    """Rows of a batch; tensors that share no first axis are one."""
    counts = {(one["shape"] or [1])[0] for one in tensors}
    return int(counts.pop()) if len(counts) == 1 else 1


def _row(tensors: list[Tensor], row: int, rows: int) -> str:
    """A row as it is shown: short texts and the first numbers."""
    parts = []
    for one in tensors:
        size = math.prod(one["shape"]) // rows
        values = one["data"][row * size : (row + 1) * size]
        shown = " ".join(
            f"{value:g}" if isinstance(value, float) else str(value)[:60]
            for value in values[:_SHOWN]
        )
        parts.append(f"{shown} …" if len(values) > _SHOWN else shown)
    return " · ".join(parts)
