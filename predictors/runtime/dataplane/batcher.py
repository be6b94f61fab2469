"""When and where `infer` runs: short calls at once, long ones on a thread that gathers.

No timer. A call that was measured short at load (INLINE_SECONDS) runs where it arrived: handing
it to a thread would cost more than it takes. Longer calls queue for one worker thread, which
takes what is there and, while it computes, lets the next batch gather: one client waits for
nobody, 64 clients get full batches. Requests larger than a batch are cut and take turns. What a
model has to prepare for long (an image that is large when decoded) is prepared by a thread of its
own first: no batch waits for it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from predictors.runtime.dataplane.aside import Aside
from predictors.runtime.dataplane.class_counts import choices, class_scores
from predictors.runtime.dataplane.job import Job, joined
from predictors.runtime.dataplane.model import V2Model
from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.v2.errors import (
    ClientGone,
    DeadlineExceeded,
    InferenceFailed,
    InvalidRequest,
    NotReady,
    Overloaded,
    QueueFull,
    V2Error,
)
from predictors.runtime.v2.record import Timing
from predictors.runtime.v2.signature import Arrays, Outputs, Request, inner_shapes

INLINE_SECONDS = 1e-3
_MEASURED_CALLS = 5
_LARGE_SHARE = 4  # what is prepared takes a quarter of the queue, as in the coalescer
_REMEMBERED = 4  # calls that an estimate of the next one looks back on

logger = logging.getLogger("serin.batching")


class Batcher:
    """Runs one model's `infer`; `run` for short calls, `submit` for the rest."""

    def __init__(
        self,
        model: V2Model,
        metrics: ModelMetrics,
        *,
        max_rows: int,
        queue_size: int,
        queue_seconds: float = 10.0,
    ) -> None:
        self.model = model
        self.inline_rows = 0
        self._measured: set[str] = set()
        self._metrics = metrics
        self._scores = class_scores(model.outputs)
        self._max_rows = max_rows if model.signature.batched else 1
        self._queue_size = queue_size
        self._queue_seconds = queue_seconds
        self._queue: deque[Job] = deque()
        self._call_seconds = 0.0  # of the last calls, the newest weighing most
        self._running_since: float | None = None  # time.perf_counter() of the call under way
        self._ready = threading.Condition()
        self._closed = False
        self._aside = Aside("prepare", max(queue_size // _LARGE_SHARE, 1), queue_seconds)
        self._worker = threading.Thread(target=self._work, name="infer", daemon=True)
        self._worker.start()

    def measure(self, sample: Arrays) -> None:
        """Find, by timing the golden sample's first row, how many rows are a short call."""
        self._measured = set(sample)
        rows = 1
        while rows <= self._max_rows:
            arrays = sample
            if self.model.signature.batched:
                arrays = {name: np.repeat(one[:1], rows, axis=0) for name, one in sample.items()}
            seconds = []
            for _ in range(_MEASURED_CALLS):
                started = time.perf_counter()
                self.model.infer(arrays)
                seconds.append(time.perf_counter() - started)
                if sum(seconds) > 10 * INLINE_SECONDS:
                    break  # a slow model must not be slow to start as well
            if min(seconds) > INLINE_SECONDS:  # the rest is other programs' doing
                break
            self.inline_rows = rows
            rows *= 2

    def is_short(self, request: Request) -> bool:
        """Whether to compute a request where it arrived: few rows, of the inputs measured."""
        rows = request.rows
        return rows <= self.inline_rows and (not rows or request.arrays.keys() == self._measured)

    def run(
        self,
        arrays: Arrays,
        rows: int,
        timings: Sequence[Timing | None] = (),
        firsts: Sequence[int] = (0,),
    ) -> Arrays:
        """Compute here and now; for what `is_short`. `firsts` are the rows that begin a request."""
        if rows == 0 and self.model.signature.batched:
            return {spec.name: spec.empty() for spec in self.model.outputs}
        return self._infer(arrays, rows, timings, firsts)

    def run_many(self, requests: list[Request]) -> list[Outputs | V2Error]:
        """Compute short requests that arrived together: as few calls as `inline_rows` allows."""
        answers: list[Outputs | V2Error] = []
        start = 0
        while start < len(requests):
            stop = self._together(requests, start)
            if stop - start == 1:
                answers.append(self._run_one(requests[start]))
            else:
                answers += self._run_group(requests[start:stop])
            start = stop
        return answers

    def _together(self, requests: list[Request], start: int) -> int:
        """Where the group that begins at `start` ends: same inputs and shapes, few enough rows."""
        if not self.model.signature.batched:
            return start + 1
        inner = requests[start].inner_shapes
        rows = 0
        for index in range(start, len(requests)):
            request = requests[index]
            rows += request.rows
            if index > start and (rows > self.inline_rows or request.inner_shapes != inner):
                return index
        return len(requests)

    def _run_one(self, request: Request) -> Outputs | V2Error:
        try:
            return self.run(request.arrays, request.rows, (request.timing,))
        except V2Error as error:
            return error

    def _run_group(self, group: list[Request]) -> Sequence[Outputs | V2Error]:
        try:
            outputs = self.run(
                joined([request.arrays for request in group]),
                sum(request.rows for request in group),
                [request.timing for request in group],
                _begins([request.rows for request in group]),
            )
        except V2Error:  # one bad row must not fail its neighbours
            return [self._run_one(request) for request in group]
        names = list(outputs)
        answers = []
        start = 0
        for request in group:
            stop = start + request.rows
            answers.append({name: outputs[name][start:stop] for name in names})
            start = stop
        return answers

    def submit(self, job: Job) -> None:
        """Queue a job for the worker, or have it prepared and then queued.

        Raises:
            Overloaded: the queue is full.
            NotReady: the server is stopping.
        """
        if self.model.holds_up(job.arrays):
            self._aside.submit(job, self._prepare)
            return
        with self._ready:
            if self._closed:
                raise NotReady(f"model '{self.model.name}' is shutting down")
            if len(self._queue) >= self._queue_size:
                raise QueueFull(self.model.name, self._queue_size)
            self._check_wait(job)
            self._queue.append(job)
            self._ready.notify()

    def _prepare(self, job: Job) -> None:
        job.arrays = self.model.prepare(job.arrays)
        with self._ready:
            self._queue.append(job)
            self._ready.notify()

    def _check_wait(self, job: Job) -> None:
        """Refuse now what would wait longer than its client, or the queue, allows.

        Each call ahead takes as long as the last ones did. The call under way, once it takes
        longer than that, is expected to take as much longer again; what holds it up (a large
        request, a machine that stalls) says nothing about those behind it.
        """
        ahead = self._calls_ahead()
        if not ahead:
            return
        now = time.perf_counter()
        since = self._running_since
        late = 0.0 if since is None else max(now - since - self._call_seconds, 0.0)
        wait = ahead * self._call_seconds + late
        left = self._queue_seconds if job.deadline is None else job.deadline - now
        allowed = min(left, self._queue_seconds)
        if wait > allowed:
            raise Overloaded(
                f"model '{self.model.name}': this request would wait some {wait:.1f} s, "
                f"{max(allowed, 0):.1f} are allowed"
            )

    def _calls_ahead(self) -> int:
        """Calls of the model before a request that is queued now has its first turn."""
        rows = sum(min(job.rows_left, self._max_rows) for job in self._queue)
        return -(-rows // self._max_rows)

    def close(self) -> None:
        """Finish what is queued, then stop the worker."""
        self._aside.close()
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._worker.join()

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._queue:
                    if self._closed:
                        return
                    self._ready.wait()
                batch = self._gather()
            if batch:
                self._compute(batch)
            batch = []  # it would hold the last request and its answer until the next one

    def _gather(self) -> list[tuple[Job, Arrays, int]]:
        """Take rows from the front of the queue up to a batch; drop jobs that nobody waits for."""
        batch: list[tuple[Job, Arrays, int]] = []
        budget = self._max_rows
        unfinished: list[Job] = []
        kind = None
        now = time.perf_counter()
        while self._queue and budget > 0:
            job = self._queue[0]
            if job.error is not None:  # failed in an earlier batch, with rows still to come
                self._queue.popleft()
                continue
            late = job.deadline is not None and now > job.deadline
            if job.gone or late:
                self._queue.popleft()
                job.fail(
                    ClientGone("the client left")
                    if job.gone
                    else DeadlineExceeded("the deadline passed in the queue")
                )
                continue
            inner = inner_shapes(job.arrays)
            if kind is not None and inner != kind:
                break  # sequences of another length, or other optional inputs: the next batch
            kind = inner
            self._queue.popleft()
            if job.rows_left == job.rows:
                self._metrics.queued(now - job.queued_at)
                if job.timing is not None:
                    job.timing.queue_seconds = now - job.queued_at
            rows = min(job.rows_left, budget)
            batch.append((job, job.take(rows), rows))
            budget -= rows
            if job.rows_left:
                unfinished.append(job)
        for job in unfinished:  # behind the others: a big request holds nobody up
            job.queued_at = now
            self._queue.append(job)
        return batch

    def _compute(self, batch: list[tuple[Job, Arrays, int]]) -> None:
        started = self._running_since = time.perf_counter()
        self._compute_now(batch)
        seconds = time.perf_counter() - started
        self._running_since = None
        known = self._call_seconds or seconds
        self._call_seconds = known + (seconds - known) / _REMEMBERED

    def _compute_now(self, batch: list[tuple[Job, Arrays, int]]) -> None:
        rows = sum(taken for _, _, taken in batch)
        try:
            outputs = self._infer(
                batch[0][1] if len(batch) == 1 else joined([piece for _, piece, _ in batch]),
                rows,
                [job.timing for job, _, _ in batch],
                # A later piece of a large request begins none.
                _begins([taken for _, _, taken in batch], [job.rows_taken for job, _, _ in batch]),
            )
        except V2Error as error:
            if len(batch) == 1:
                job, _, taken = batch[0]
                job.fail(_placed(error, job, taken))
                return
            for item in batch:  # one bad row must not fail its neighbours
                self._compute_now([item])
            return
        if len(batch) == 1:
            batch[0][0].give(outputs)
            return
        start = 0
        for job, _, taken in batch:
            job.give({name: one[start : start + taken] for name, one in outputs.items()})
            start += taken

    def _infer(
        self,
        arrays: Arrays,
        rows: int,
        timings: Sequence[Timing | None],
        firsts: Sequence[int],
    ) -> Arrays:
        started = time.perf_counter()
        try:
            outputs = self.model.check_outputs(self.model.infer(arrays), rows)
        except V2Error:
            raise
        except Exception as error:  # whatever the model raised is the server's fault, not a crash
            logger.exception("infer failed", extra={"model": self.model.name, "rows": rows})
            raise InferenceFailed(
                f"model '{self.model.name}' failed on a valid request; the server's log says why"
            ) from error
        seconds = time.perf_counter() - started
        self._metrics.inferred(rows, seconds)
        for timing in timings:
            if timing is not None:
                timing.computed(rows, seconds)
        if self._scores is not None and firsts:
            self._metrics.answered(*choices(outputs[self._scores.name], firsts))
        return outputs


def _placed(error: V2Error, job: Job, taken: int) -> V2Error:
    """A refusal of a request that was cut, with the rows that it counts elements from."""
    if type(error) is not InvalidRequest or taken == job.rows:
        return error
    stop = job.rows - job.rows_left
    return InvalidRequest(f"in rows {stop - taken} to {stop - 1}: {error}")


def _begins(rows: Sequence[int], taken: Sequence[int] | None = None) -> list[int]:
    """The rows of a batch that begin a request, given each part's rows and those taken so far."""
    starts = accumulate(rows, initial=0)
    return [
        start
        for start, count, so_far in zip(starts, rows, taken or rows, strict=False)
        if count and count == so_far
    ]
