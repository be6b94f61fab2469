"""What every server is asked, and what it must answer: one row of the golden sample.

One row, because that is what a request of an online model is; a batch is the server's business.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmark.artifacts import MANIFEST
from scripts.benchmark.errors import AnswerError

REFERENCE = "probabilities"  # the output that a classifier's golden sample holds
# Peers compute in double precision and ONNX Runtime in single; forests average 100 trees.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Question:
    """One row for one model, and the reference for its answer."""

    model: str
    version: str
    """Of the artifact, as Serin names it."""
    tensor: Mapping[str, Any]
    """The input as V2's JSON writes a tensor, flat."""
    probabilities: Sequence[float]

    @classmethod
    def read(cls, model: str, folder: Path) -> "Question":
        """The question that an artifact's manifest holds."""
        raw = (folder / MANIFEST).read_bytes()
        sample = json.loads(raw)["golden_sample"]
        (tensor,) = sample["inputs"]
        (reference,) = [one for one in sample["outputs"] if one["name"] == REFERENCE]
        row = _least_certain(reference)
        return cls(
            model=model,
            version=hashlib.sha256(raw).hexdigest()[:12],
            tensor=_one_row(tensor, row),
            probabilities=_one_row(reference, row)["data"],
        )

    def check(self, outputs: Sequence[Mapping[str, Any]]) -> None:
        """Compare an answer's tensors with the reference; names differ between servers.

        Raises:
            AnswerError: no probabilities, other ones, or a class that is not the likeliest.
        """
        expected = list(self.probabilities)
        shape = [1, len(expected)]
        given = [list(one["data"]) for one in outputs if list(one["shape"]) == shape]
        if len(given) != 1:
            raise AnswerError(f"expected one tensor of shape {shape}, got {len(given)}")
        (got,) = given
        if got and isinstance(got[0], list):
            (got,) = got
        close = (math.isclose(a, b, abs_tol=TOLERANCE) for a, b in zip(got, expected, strict=True))
        if not all(close):
            raise AnswerError(f"expected probabilities {expected}, got {got}")
        likeliest = expected.index(max(expected))
        for one in outputs:
            if one["datatype"] == "INT64" and list(one["data"]) != [likeliest]:
                raise AnswerError(f"expected class {likeliest}, got {one['data']}")


def _least_certain(probabilities: Mapping[str, Any]) -> int:
    """The row that tells most about a server: where all is certain, a wrong model is right too."""
    rows = range(probabilities["shape"][0])
    return min(rows, key=lambda row: max(_one_row(probabilities, row)["data"]))


def _one_row(tensor: Mapping[str, Any], row: int) -> dict[str, Any]:
    """A batch's row as a batch of one; `data` is flat."""
    rows, *inner = tensor["shape"]
    size = math.prod(inner)
    if len(tensor["data"]) != rows * size:
        raise AnswerError(f"the golden sample's {tensor['name']} is not flat")
    data = tensor["data"][row * size : (row + 1) * size]
    return {**tensor, "shape": [1, *inner], "data": list(data)}
