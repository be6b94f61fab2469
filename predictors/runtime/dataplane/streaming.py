"""Models that answer piece by piece and decide themselves when to compute whose request.

Gathering whole requests into one call of `infer` suits a model whose calls are alike. One that
generates for as long as each prompt needs would hold the short behind the long; so a
StreamingModel gets every request as it comes, and serves them side by side.
"""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from predictors.runtime.dataplane.batcher import Batcher
from predictors.runtime.dataplane.dialect import Dialect
from predictors.runtime.dataplane.job import Job
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.v2.errors import (
    ClientGone,
    DeadlineExceeded,
    InferenceFailed,
    NotReady,
    Overloaded,
    V2Error,
)
from predictors.runtime.v2.signature import Arrays, Outputs

logger = logging.getLogger("serin.streaming")

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
        self._reader = ThreadPoolExecutor(1, "reader")
        self._unread = threading.BoundedSemaphore(queue_size)
        model.limit(metrics, max_rows=max_rows, queue_size=queue_size)

    def measure(self, sample: Arrays) -> None:
        """No call of it is short."""

    def submit(self, job: Job) -> None:
        """Hand a job to the model; raises as its `submit` does, or the job fails with it."""
        if not _is_long(job.arrays):
            self._streaming.submit(job)
            return
        if not self._unread.acquire(blocking=False):
            raise Overloaded("too many requests with long texts are waiting to be read")
        try:
            self._reader.submit(self._read, job)
        except RuntimeError as error:  # it is shut down
            raise NotReady("the model is shutting down") from error

    def _read(self, job: Job) -> None:
        self._unread.release()
        try:
            if job.gone:
                raise ClientGone("the client left")
            if job.deadline is not None and time.perf_counter() > job.deadline:
                raise DeadlineExceeded("the deadline passed before the request was read")
            self._streaming.submit(job)
        except V2Error as error:
            job.fail(error)
        except Exception as error:  # whatever went wrong is the server's fault, not a crash
            logger.exception("request failed", extra={"rows": job.rows})
            job.fail(InferenceFailed(f"internal error: {type(error).__name__}"))

    def close(self) -> None:
        """Let the model finish what it took."""
        self._reader.shutdown()
        self._streaming.close()


def _is_long(arrays: Arrays) -> bool:
    texts = [array for array in arrays.values() if array.dtype.hasobject]
    if sum(array.size for array in texts) > LONG_BYTES:
        return True
    return sum(len(text) for array in texts for text in array.flat) > LONG_BYTES
