"""Continuous batching: rows join and leave between two tokens.

One thread turns in a loop. A turn drops the rows whose clients have left, takes waiting rows in,
computes one token for every row that is through its prompt and the first one of short prompts,
delivers, and puts a chunk of the oldest prompt into the cache. So a long answer holds nobody, a
long prompt holds the others for a chunk at most, and a client that leaves is gone by the next
token.

What a row answers does not depend on what shares its batch: prompts are cut at fixed places and
filled one row at a time, a row draws from a generator of its own, and ONNX Runtime was measured to
give a row the same bits in a batch of any size (tests/unit/causal_lm hold it to that).
"""

import logging
import threading
import time
from collections import deque

from predictors.causal_lm.answer import LENGTH, Answer, Row
from predictors.causal_lm.network import Network
from predictors.causal_lm.prefixes import PrefixCache
from predictors.causal_lm.prompts import Prompt
from predictors.causal_lm.sampling import Sampler, choose
from predictors.runtime.dataplane.job import Job
from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.v2.errors import (
    ClientGone,
    DeadlineExceeded,
    InferenceFailed,
    InvalidRequest,
    NotReady,
    Overloaded,
    V2Error,
)

CHUNK = 32  # tokens of a prompt that are filled in one call: less than a step of 16 rows takes

logger = logging.getLogger("serin.engine")


class Engine:
    """Serves prompts side by side on one network."""

    def __init__(
        self,
        network: Network,
        table: list[bytes],
        ending: frozenset[int],
        prefixes: PrefixCache,
    ) -> None:
        self._network = network
        self._prefixes = prefixes
        self._table = table
        self._ending = ending
        self._metrics: ModelMetrics | None = None
        self._max_rows = 1
        self._queue_size = 64  # until `limit` is called
        self._answers: deque[Answer] = deque()  # with rows that wait, the next one to choose first
        self._rows: list[Row] = []  # a row's place is its place in the cache
        self._through = 0  # so many of them, the first ones, are through their prompt
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="generate", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def limit(self, max_rows: int, queue_size: int, metrics: ModelMetrics | None = None) -> None:
        """Compute at most `max_rows` at once and let `queue_size` wait; call it while idle."""
        with self._changed:
            self._max_rows, self._queue_size, self._metrics = max_rows, queue_size, metrics
            self._network.resize(max_rows)
            if metrics is not None:
                metrics.tokens.begin()

    def check_rows(self, rows: int) -> None:
        """Refuse more rows in one request than may wait at all; before they are read.

        Raises:
            InvalidRequest: it has more.
        """
        if rows > self._queue_size:
            raise InvalidRequest(
                f"{rows} prompts in one request: at most {self._queue_size} are taken"
            )

    def submit(self, job: Job, prompts: list[Prompt]) -> None:
        """Queue a request, of as many rows as `check_rows` lets pass.

        The queue counts requests: their rows take turns, so the many rows of one hold up nobody.

        Raises:
            Overloaded: as many requests wait as may.
            NotReady: the engine is closed.
        """
        answer = Answer(job, prompts, self._table)
        with self._changed:
            if self._closed:
                raise NotReady("the model is shutting down")
            if len(self._answers) >= self._queue_size:
                raise Overloaded(f"{len(self._answers)} requests are waiting already")
            self._answers.append(answer)
            self._changed.notify()

    def close(self) -> None:
        """Finish what was taken, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._answers and not self._rows:
                    if self._closed:
                        return
                    self._changed.wait()
            try:
                self.turn()
            except Exception as error:  # whatever went wrong is the server's fault, not a crash
                logger.exception("generate failed", extra={"rows": len(self._rows)})
                self._fail(InferenceFailed(f"internal error: {type(error).__name__}"))

    def turn(self) -> None:
        """Compute at most one token for every row, and deliver what is new."""
        self._drop()
        taken = len(self._rows)
        with self._changed:
            self._admit()
        for place in range(taken, len(self._rows)):
            self._reuse(place)
        self._step()
        self._fill_short()
        self._deliver()
        self._fill_oldest()
        self._deliver()

    def _deliver(self) -> None:
        """Send what is new, and free the places of rows that have ended."""
        changed = {id(row.answer): row.answer for row in self._rows if row.answer.changed}
        for place in reversed(range(len(self._rows))):
            if self._rows[place].reason:
                self._remove(place)
        for answer in changed.values():
            answer.deliver()

    def _drop(self) -> None:
        """Forget requests whose client has left."""
        gone = {id(row.answer): row.answer for row in self._rows if row.answer.job.gone}
        for place in reversed(range(len(self._rows))):
            if self._rows[place].answer.job.gone:
                self._remove(place)
        with self._changed:
            gone |= {id(answer): answer for answer in self._answers if answer.job.gone}
            self._answers = deque(one for one in self._answers if id(one) not in gone)
        for answer in gone.values():
            answer.job.fail(ClientGone("the client left"))

    def _admit(self) -> None:
        """Give free places to waiting rows, a row of each request in turn.

        A request gets half of the places at most: one with many prompts must not hold the others
        until its first row is done.
        """
        now = time.perf_counter()
        share = max(1, self._max_rows // 2)
        passed = 0
        while self._answers and len(self._rows) < self._max_rows and passed < len(self._answers):
            answer = self._answers.popleft()
            job = answer.job
            if job.deadline is not None and now > job.deadline and not answer.started:
                job.fail(DeadlineExceeded("the deadline passed in the queue"))
                continue
            if answer.started >= share:
                self._answers.append(answer)
                passed += 1
                continue
            passed = 0
            self._rows.append(answer.waiting.popleft())
            answer.started += 1
            if self._metrics is not None:
                self._metrics.queued(now - job.queued_at)
            if answer.waiting:
                self._answers.append(answer)

    def _reuse(self, place: int) -> None:
        """Copy what the cache of prefixes has of a new row's prompt; its last token is computed."""
        row = self._rows[place]
        row.keys = [] if row.prompt.scored else self._prefixes.keys(row.prompt.tokens)
        whole = (len(row.prompt.tokens) - 1) // CHUNK
        for chunk in self._prefixes.find(row.keys[:whole]):
            self._network.put(place, row.filled, chunk)
            row.filled += CHUNK
            row.reused += CHUNK
        if self._metrics is not None:
            self._metrics.tokens.prompt(len(row.prompt.tokens), row.reused)

    def _fill_short(self) -> None:
        """Read a chunk's worth of the prompts with least left: short ones overtake long ones."""
        oldest, spent = self._oldest(), 0
        for row in sorted(self._rows[self._through :], key=lambda row: row.left):
            if row is oldest:
                continue
            if spent and spent + row.left > CHUNK:
                return
            spent += min(row.left, CHUNK)
            self._fill(row)

    def _fill_oldest(self) -> None:
        """Read a chunk of the prompt that came first, however many short ones come."""
        if oldest := self._oldest():
            self._fill(oldest)

    def _oldest(self) -> Row | None:
        """The row that has waited longest for its prompt to be read; None where none waits."""
        entering = self._rows[self._through :]
        return min(entering, key=lambda row: row.answer.job.queued_at, default=None)

    def _fill(self, row: Row) -> None:
        """Put a row's next chunk into the cache; its first token follows from the last one."""
        tokens = row.prompt.tokens[row.filled : row.filled + CHUNK]
        started = time.perf_counter()
        place = self._rows.index(row)
        logits = self._network.fill(place, tokens, row.filled, every=row.prompt.scored)
        self._report(1, started)
        if row.prompt.scored:
            row.read(tokens, logits)
        elif len(tokens) == CHUNK:
            chunk = self._network.copied(place, row.filled, CHUNK)
            evicted = self._prefixes.keep(row.keys, row.filled // CHUNK, chunk)
            if self._metrics is not None:
                self._metrics.tokens.cache(self._prefixes.bytes, evicted)
        row.filled += len(tokens)
        if not row.left and not row.prompt.max_tokens:
            row.end(LENGTH)
        elif not row.left:
            row.take(row.prompt.sampler.draw(logits[-1]), logits[-1], self._ending)
            self._generated(1)
        if not row.left and not row.reason:
            self._swap(place, self._through)
            self._through += 1

    def _step(self) -> None:
        """Compute the next token of every row that is through its prompt."""
        rows = self._rows[: self._through]
        if not rows:
            return
        started = time.perf_counter()
        logits = self._network.step([row.token for row in rows], [row.position for row in rows])
        samplers: list[Sampler] = [row.prompt.sampler for row in rows]
        for place, token in enumerate(choose(logits, samplers)):
            rows[place].take(token, logits[place], self._ending)
        self._generated(len(rows))
        self._report(len(rows), started)

    def _remove(self, place: int) -> None:
        """Free a row's place, and close the gap in both parts of the cache."""
        if place < self._through:
            self._through -= 1
            self._move(self._through, place)
            place = self._through
        self._move(len(self._rows) - 1, place)
        self._rows.pop().answer.started -= 1

    def _move(self, source: int, target: int) -> None:
        """Let a row take a place that is free."""
        if source != target:
            self._network.move(source, target, self._rows[source].cached)
            self._rows[target] = self._rows[source]

    def _swap(self, one: int, other: int) -> None:
        rows = self._rows
        if one != other:
            self._network.swap(one, other, max(rows[one].cached, rows[other].cached))
            rows[one], rows[other] = rows[other], rows[one]

    def _fail(self, error: V2Error) -> None:
        """End every request that is being computed."""
        for answer in {id(row.answer): row.answer for row in self._rows}.values():
            answer.waiting.clear()
            answer.job.fail(error)
        with self._changed:
            self._answers = deque(answer for answer in self._answers if answer.waiting)
        self._rows.clear()
        self._through = 0

    def _report(self, rows: int, started: float) -> None:
        if self._metrics is not None:
            self._metrics.inferred(rows, time.perf_counter() - started)

    def _generated(self, tokens: int) -> None:
        if self._metrics is not None:
            self._metrics.tokens.generated(tokens)
