"""What is asked: rows that were typed, requests from a file, or the golden sample."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.client import rest, sample
from scripts.client.errors import UsageError
from scripts.client.question import question_of
from scripts.loadtest.target import Target

Tensors = list[dict[str, Any]]
_METADATA_SECONDS = 30.0


def typed(target: Target, model: str, values: Sequence[str]) -> list[Tensors]:
    """Values as `serin infer` takes them, one request a row.

    Raises:
        ClientError: they do not fit the model, or it does not answer.
    """
    metadata = rest.metadata(target.gateway, model, _METADATA_SECONDS)
    return rows(question_of(model, metadata, values).tensors)


def from_file(path: Path) -> list[Tensors]:
    """V2 requests as JSON, one a line: what `curl -d` would send to /infer.

    Raises:
        UsageError: names the line that is none.
    """
    found = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            inputs = json.loads(line)["inputs"]
            found.append([{**one, "data": list(_flat(one["data"]))} for one in inputs])
        except (ValueError, KeyError, TypeError) as error:
            said = f"{path}:{number} is no V2 request on one line"
            raise UsageError(f'{said}: expected {{"inputs": [...]}} ({error})') from None
    if not found:
        raise UsageError(f"{path} has no requests: write one V2 request as JSON on each line")
    return found


def golden(target: Target, model: str) -> list[Tensors]:
    """Rows of the golden sample that the served version's manifest holds, one a request.

    Raises:
        UsageError: this machine does not have that manifest.
    """
    found = sample.golden(target.platform, model)
    if found is None:
        raise UsageError(
            f"no golden sample of {model} is on this machine: give values as to `serin infer`, "
            "or --data FILE"
        )
    return rows(found)


def rows(tensors: Sequence[Mapping[str, Any]]) -> list[Tensors]:
    """A batch as requests of one row each; one request where a tensor has no rows."""
    if any(len(one["shape"]) < 1 for one in tensors):
        return [[dict(one) for one in tensors]]
    count = min(one["shape"][0] for one in tensors)
    found = []
    for row in range(count):
        request = []
        for one in tensors:
            size = math.prod(one["shape"][1:])
            data = list(_flat(one["data"]))[row * size : (row + 1) * size]
            shape = [1, *one["shape"][1:]]
            datatype = one["datatype"]
            request.append(
                {"name": one["name"], "datatype": datatype, "shape": shape, "data": data}
            )
        found.append(request)
    return found


def _flat(data: Any) -> Any:
    for one in data:
        if isinstance(one, list):
            yield from _flat(one)
        else:
            yield one
