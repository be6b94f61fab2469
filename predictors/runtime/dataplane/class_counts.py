"""What a classifier answers: requests by class and by confidence, to compare two versions.

A request counts once, by its first row: a gateway deals requests out to versions, so requests are
what a comparison may take as independent; the rows of one are not.
"""

from collections.abc import Sequence

from predictors.runtime.v2.datatypes import Array
from predictors.runtime.v2.spec import TensorSpec

MOST_CLASSES = 100
"""A series a class; past this many, none is counted."""


def class_scores(outputs: Sequence[TensorSpec]) -> TensorSpec | None:
    """The output that holds a score a class: floating point, (batch, classes), with labels."""
    for spec in outputs:
        if (
            spec.labels
            and spec.dtype.kind == "f"
            and spec.batched
            and len(spec.shape) == 2
            and len(spec.labels) <= MOST_CLASSES
        ):
            return spec
    return None


def classes_of(outputs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """The classes that a model's answers are counted by; empty for what is no classifier."""
    spec = class_scores(outputs)
    return (spec.labels or ()) if spec else ()


def choices(scores: Array, firsts: Sequence[int]) -> tuple[list[int], list[float]]:
    """The likeliest class of each request's first row, and its score.

    Args:
        scores: (rows, classes).
        firsts: Where requests begin.
    """
    if len(firsts) == 1:  # for so few numbers, Python is several times as fast as numpy
        row = scores[firsts[0]].tolist()
        top = max(row)
        return [row.index(top)], [top]
    if len(firsts) < len(scores):
        scores = scores[list(firsts)]
    return scores.argmax(axis=1).tolist(), scores.max(axis=1).tolist()
