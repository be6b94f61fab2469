"""A thread that does for a request, before it is queued, what would hold up all others."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from predictors.runtime.dataplane.job import Job
from predictors.runtime.v2.errors import (
    ClientGone,
    DeadlineExceeded,
    InferenceFailed,
    NotReady,
    Overloaded,
    V2Error,
)

logger = logging.getLogger("serin.batching")


class Aside:
    """Jobs one after the other, which wait for each other and for nobody else.

    The thread keeps its priority: a lower one keeps the GIL while others compute, and beside four
    busy programs doubled what requests waited at most.
    """

    def __init__(self, name: str, most: int, seconds: float = float("inf")) -> None:
        """Start nothing yet.

        Args:
            name: the thread's.
            most: jobs that may wait.
            seconds: for as long as this.
        """
        self._thread = ThreadPoolExecutor(1, name)
        self._room = threading.BoundedSemaphore(most)
        self._seconds = seconds

    def submit(self, job: Job, act: Callable[[Job], None]) -> None:
        """Have the thread do `act`, unless nobody waits for the job by then; it may raise.

        Raises:
            Overloaded: too many wait.
            NotReady: the server is stopping.
        """
        if not self._room.acquire(blocking=False):
            raise Overloaded("too many large requests are waiting to be read")
        try:
            self._thread.submit(self._act, job, act)
        except RuntimeError as error:  # it is shut down
            raise NotReady("the model is shutting down") from error

    def _act(self, job: Job, act: Callable[[Job], None]) -> None:
        self._room.release()
        now = time.perf_counter()
        try:
            if job.gone:
                raise ClientGone("the client left")
            if job.deadline is not None and now > job.deadline:
                raise DeadlineExceeded("the deadline passed before the request was read")
            if now - job.queued_at > self._seconds:
                raise Overloaded(f"the request waited {self._seconds:g} s to be read")
            act(job)
        except V2Error as error:
            job.fail(error)
        except Exception as error:  # whatever went wrong is the server's fault, not a crash
            logger.exception("request failed", extra={"rows": job.rows})
            job.fail(InferenceFailed(f"internal error: {type(error).__name__}"))

    def close(self) -> None:
        """Finish what was taken."""
        self._thread.shutdown()
