"""A model made slower on purpose, for demonstrations of scaling with a model that needs none.

PREDICTOR_ARTIFICIAL_CPU_SECONDS is burnt for each row before the model sees it, so a request of
one row costs that much more however requests are gathered. Metadata and a warning say so: nobody
should ship it unseen.
"""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

from predictors.runtime.dataplane.job import Job
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.dataplane.streaming import StreamingModel
from predictors.runtime.v2.datatypes import Array
from predictors.runtime.v2.errors import V2Error

_BLOCK = bytes(64 << 10)  # hashing this much takes some 50 µs, and other threads may run meanwhile


def slow_down(model: V2Model, seconds_a_row: float) -> None:
    """Make every row of a loaded model cost `seconds_a_row` of processor time more."""
    model.platform = f"{model.platform}, slowed down by {seconds_a_row:g} CPU seconds a row"
    if isinstance(model, StreamingModel):
        _slow_down_streaming(model, seconds_a_row)
        return
    infer = model.infer

    def slowed(arrays: dict[str, Array]) -> dict[str, Array]:
        first = next(iter(arrays.values()))
        burn(seconds_a_row * (len(first) if model.signature.batched else 1))
        return infer(arrays)

    # type: ignore: for this one object; its class stays as it is
    model.infer = slowed  # type: ignore[method-assign]


def _slow_down_streaming(model: StreamingModel, seconds_a_row: float) -> None:
    """Requests go through one thread that burns, since `submit` must return at once."""
    submit = model.submit
    thread = ThreadPoolExecutor(1, thread_name_prefix="artificial-load")

    def burn_and_submit(job: Job) -> None:
        burn(seconds_a_row * job.rows)
        try:
            submit(job)
        except V2Error as error:
            job.fail(error)

    def slowed(job: Job) -> None:
        thread.submit(burn_and_submit, job)

    # type: ignore: for this one object; its class stays as it is
    model.submit = slowed  # type: ignore[method-assign]


def burn(seconds: float) -> None:
    """Use the processor for that long; waiting for it does not count."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        hashlib.sha256(_BLOCK)
