"""Models that answer piece by piece and decide themselves when to compute whose request.

Gathering whole requests into one call of `infer` suits a model whose calls are alike. One that
generates for as long as each prompt needs would hold the short behind the long; so a
StreamingModel gets every request as it comes, and serves them side by side.
"""

import threading

from predictors.runtime.dataplane.aside import Aside
from predictors.runtime.dataplane.batcher import Batcher
from predictors.runtime.dataplane.dialect import Dialect
from predictors.runtime.dataplane.job import Job
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.v2.signature import Arrays, Outputs

LONG_BYTES = 1 << 14
"""Of texts: what a model does not read within a few milliseconds."""


class StreamingModel(V2Model):
    """A V2Model that takes requests as they come, and may answer them in pieces.

    A subclass gives `submit` in place of `infer`, and `close`. In a piece each output has its
    declared shape and a row for each row of the request.
    """

    def submit(self, job: Job) -> None:
        """Take a request; returns at once and is called from any thread.

        The model answers from a thread of its own: to a StreamJob that is `in_pieces` with
        `job.piece` for what is new and `job.finish` for the last piece; to any other with
        `job.finish` for all outputs; or with `job.fail`. It looks at `job.gone` as often as it
        can stop, and at `job.deadline` before it starts.

        Raises:
            InvalidRequest: a value that the signature cannot rule out.
            Overloaded: too much is waiting.
            NotReady: the server is stopping.
        """
        raise NotImplementedError

    def limit(self, metrics: ModelMetrics, *, max_rows: int, queue_size: int) -> None:
        """Called once, before requests come.

        Args:
            metrics: where to report each call of the engine (`inferred`) and each wait (`queued`).
            max_rows: computed at once.
            queue_size: rows that may wait; past it `submit` raises Overloaded.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Finish what was taken, then stop; nothing is submitted any more."""
        raise NotImplementedError

    def dialect(self) -> Dialect | None:
        """A second API that the model speaks, asked for once it is loaded."""
        return None

    def infer(self, arrays: Arrays) -> Outputs:
        """Submit a request and wait for the whole answer: for the golden sample, and for kserve."""
        done = threading.Event()
        job = Job(arrays, self.signature.rows_of(arrays), done.set)
        self.submit(job)
        done.wait()
        return job.result()


class StreamBatcher(Batcher):
    """In the batcher's place for a StreamingModel: hands requests over, batches none.

    A model reads texts when it takes a request. Long ones are read by a thread of their own, one
    request after the other, so that they hold up neither the event loop nor each other's answers.
    """

    def __init__(
        self, model: StreamingModel, metrics: ModelMetrics, *, max_rows: int, queue_size: int
    ) -> None:
        self.model = model
        self.inline_rows = 0
        self._streaming = model
        self._aside = Aside("reader", queue_size)
        model.limit(metrics, max_rows=max_rows, queue_size=queue_size)

    def measure(self, sample: Arrays) -> None:
        """No call of it is short."""

    def submit(self, job: Job) -> None:
        """Hand a job to the model; raises as its `submit` does, or the job fails with it."""
        if _is_long(job.arrays):
            self._aside.submit(job, self._streaming.submit)
        else:
            self._streaming.submit(job)

    def close(self) -> None:
        """Let the model finish what it took."""
        self._aside.close()
        self._streaming.close()


def _is_long(arrays: Arrays) -> bool:
    texts = [array for array in arrays.values() if array.dtype.hasobject]
    if sum(array.size for array in texts) > LONG_BYTES:
        return True
    return sum(len(text) for array in texts for text in array.flat) > LONG_BYTES
