"""A model made slower on purpose, for demonstrations of scaling with a model that needs none.

PREDICTOR_ARTIFICIAL_CPU_SECONDS is burnt for each row before the model sees it, so a request of
one row costs that much more however requests are gathered. Metadata and a warning say so: nobody
should ship it unseen.
"""

import hashlib
import time

from predictors.runtime.datatypes import Array
from predictors.runtime.model import V2Model

_BLOCK = bytes(64 << 10)  # hashing this much takes some 50 µs, and other threads may run meanwhile


def slow_down(model: V2Model, seconds_a_row: float) -> None:
    """Make every row of a loaded model cost `seconds_a_row` of processor time more."""
    infer = model.infer

    def slowed(arrays: dict[str, Array]) -> dict[str, Array]:
        first = next(iter(arrays.values()))
        burn(seconds_a_row * (len(first) if model.signature.batched else 1))
        return infer(arrays)

    model.infer = slowed  # type: ignore[method-assign]  # for this one object: its class stays as it is
    model.platform = f"{model.platform}, slowed down by {seconds_a_row:g} CPU seconds a row"


def burn(seconds: float) -> None:
    """Use the processor for that long; waiting for it does not count."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        hashlib.sha256(_BLOCK)
