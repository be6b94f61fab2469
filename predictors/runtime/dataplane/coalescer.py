"""Coalescer: what comes in one turn of the event loop is answered together, over either transport.

For a model that computes in microseconds, most of a request's time would be a task of its own and
code that has gone cold in between. So a request is only collected where its transport has it whole.
Once every socket that was readable has been read, the whole turn is decoded, computed in as few
calls of the model as fit, encoded and written. One client waits for nobody; 64 clients share one
call. There is no timer.

What is too long for that waits in the batcher's queue; what is too large to be read or written
between two turns is read and written by a thread. What comes while the queue is full is refused
unread: a refusal must cost much less than an answer, or refusing keeps the server from answering.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from predictors.runtime.dataplane.budget import LARGE_BYTES, SMALL_BYTES, Budget, Hold, weight
from predictors.runtime.dataplane.job import Job
from predictors.runtime.dataplane.service import Service
from predictors.runtime.v2.errors import (
    ClientGone,
    DeadlineExceeded,
    InferenceFailed,
    Overloaded,
    QueueFull,
    V2Error,
)
from predictors.runtime.v2.record import Record
from predictors.runtime.v2.signature import Outputs, Request

_TOGETHER = 64
_FEW = 16  # between 8 connections, where one by one is faster, and 64, where together is
_LARGE_SHARE = 4  # large requests take a quarter of the queue: small ones do not wait for them
T = TypeVar("T")


class Caller(Record):
    """One infer request as its transport has it: a record, and how to read and answer it."""

    service: Service
    """The engine that admitted it, and that it ends on."""
    # Defaults of the class, not set in each: most requests change none of them.
    deadline: float | None = None
    """The perf_counter time by which the client wants its answer."""
    size = 0
    """Bytes that reading it goes through."""
    hold: Hold | None = None
    """What it holds of the budget, until it is answered."""
    waits = False
    """Whether its answer comes in a later turn."""
    job: Job | None = None
    timer: asyncio.TimerHandle | None = None
    """Ends its waiting at its deadline."""

    @property
    def gone(self) -> bool:
        """Whether nobody is there to answer."""
        raise NotImplementedError

    def holding(self) -> Hold:
        """What it holds, from now on."""
        raise NotImplementedError

    def decode(self) -> Request:
        """Read the request; in any thread. Raises V2Error."""
        raise NotImplementedError

    def encode(self, request: Request, outputs: Outputs) -> Any:
        """Write the answer, for `send`; in any thread. Raises V2Error."""
        raise NotImplementedError

    def send(self, answer: Any) -> None:
        """Answer; what is held is released once that is sent."""
        raise NotImplementedError

    def fail(self, error: V2Error) -> None:
        """Answer with an error, and release what is held."""
        raise NotImplementedError

    def wait(self) -> None:
        """Learn that the answer comes in a later turn: tell `Coalescer.left` if the client goes."""

    def release(self) -> None:
        """Hold nothing any more."""
        if self.hold is not None:
            self.hold.release()


class Agenda(Protocol):
    """Whoever replaces or suspends the service at given times."""

    due: float
    """The Unix time from which on nothing may be admitted before `act`."""

    def act(self) -> None:
        """Do what is due."""


class Coalescer:
    """Every infer request of one model server, from its admission to its answer."""

    def __init__(self, service: Service, queue_size: int, budget: Budget) -> None:
        self._service = service
        self.agenda: Agenda | None = None  # where a channel is followed
        self.budget = budget
        self._queue_size = queue_size
        self.overloaded = self._queue_full()
        self._waiting = 0  # requests begun and not answered that are not of this turn
        self._collected: list[Caller] = []
        self._turn = service  # that of all who are collected
        self._met = 0  # requests taken in this turn, answered or not: what the last of them waits
        self._began_at = 0.0  # time.perf_counter() of the first of them
        self._full_at = 0.0  # and of the first that was refused after them; 0 before
        self._apart = ThreadPoolExecutor(1, "large")
        self._large: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()

    # --- admission ---

    @property
    def service(self) -> Service:
        """What new requests are given.

        The event loop may read sockets before it looks at its timers: a process that was stopped
        past the instant of a switch would admit what came meanwhile to the version before.
        """
        if self.agenda is not None and time.time() >= self.agenda.due:
            self.agenda.act()
        return self._service

    @service.setter
    def service(self, service: Service) -> None:
        self._service = service

    def full(self) -> bool:
        """Whether as many requests as the queue takes are ahead of the next one.

        A turn refuses for as long as it answered, then answers again: with thousands of clients
        that come back at once it would otherwise do little else than refuse.
        """
        if self._met + self._waiting < self._queue_size:
            return False
        now = time.perf_counter()
        if not self._full_at:
            self._full_at = now
        elif self._met and now - self._full_at > self._full_at - self._began_at:
            self._met, self._full_at = len(self._collected), 0.0
            self._began_at = now
            return self._met + self._waiting >= self._queue_size
        return True

    def _queue_full(self) -> QueueFull:
        """The refusal, to be raised: one raised twice would hold the frames of the first time."""
        return QueueFull(self._service.model.name, self._queue_size)

    def turn_away(self) -> Overloaded:
        """Count a request that is refused unread; the refusal."""
        self.service.turn_away()
        return self.overloaded

    def enter(self) -> None:
        """Count a request among those that wait, until `leave`; for what is not collected yet.

        Raises:
            NotReady, Overloaded: waiting would be in vain.
        """
        self.service.check_ready()
        if self._met + self._waiting >= self._queue_size:
            raise self._queue_full()
        self._waiting += 1

    def leave(self) -> None:
        """The end of what `enter` began."""
        self._waiting -= 1

    # --- a turn ---

    def collect(self, caller: Caller) -> None:
        """Take a request, begun and whole; it is answered by the end of the turn, or later."""
        if not self._met:
            asyncio.get_running_loop().call_soon(self._end)
            self._began_at = time.perf_counter()
        self._met += 1
        if caller.service is not self._turn:  # admitted before a switch, or the first after it
            self.run()
            self._turn = caller.service
        self._collected.append(caller)
        if len(self._collected) >= _TOGETHER:
            self.run()  # enough to be warm; the first should not wait for hundreds more

    def _end(self) -> None:
        self._met, self._full_at = 0, 0.0
        self.run()

    def run(self) -> None:
        """Answer all that was collected, step by step rather than one by one."""
        collected, self._collected = self._collected, []
        short: list[tuple[Caller, Request]] = []
        for caller in collected:
            try:
                request = self._sorted(caller)
                if request is not None:
                    short.append((caller, request))
            except V2Error as error:
                self.refuse(caller, error)
            except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
                self.crash(caller, error)
        self._write(short)

    def _write(self, short: list[tuple[Caller, Request]]) -> None:
        """Compute short requests, and answer them: many together, few one by one.

        A client that has its answer sends its next request while the others' are written, and the
        next turn finds them all; where few are sent together, it finds half of them.
        """
        outputs = self._turn.batcher.run_many([request for _, request in short])
        answers: list[tuple[Caller, Any]] = []
        for (caller, request), output in zip(short, outputs, strict=True):
            try:
                if isinstance(output, V2Error):
                    raise output
                answer = caller.encode(request, output)
            except V2Error as error:
                self.refuse(caller, error)
            except Exception as error:  # noqa: BLE001 - as above
                self.crash(caller, error)
            else:
                caller.service.end(caller, None, output)
                if len(short) <= _FEW:
                    caller.send(answer)
                else:
                    answers.append((caller, answer))
        for caller, answer in answers:
            caller.send(answer)

    def _sorted(self, caller: Caller) -> Request | None:
        """Read a request; None where it is on its way to an answer in a later turn."""
        if caller.gone:
            raise ClientGone("the client left")
        if caller.deadline is not None and time.perf_counter() > caller.deadline:
            raise DeadlineExceeded("the deadline passed before the request was read")
        service = caller.service
        if not service.model.ready:
            service.check_ready()
        if caller.size > LARGE_BYTES:
            self._read_apart(caller)
        else:
            request = _decoded(caller)
            service.accept(caller, request)
            if service.copies is not None:
                service.copies.take(caller, request)
            if service.batcher.is_short(request):
                return request
            self._submit(caller, request)
        self._met = max(self._met - 1, 0)  # it counts as waiting from here on
        return None

    def refuse(self, caller: Caller, error: V2Error) -> None:
        """Answer with an error; the request is over."""
        caller.service.end(caller, error)
        caller.fail(error)

    def crash(self, caller: Caller, error: Exception) -> None:
        """Answer an unforeseen exception, and log it whole."""
        self.refuse(caller, crashed(caller, error))

    # --- later turns ---

    def left(self, caller: Caller) -> None:
        """Learn that a client has gone while its request waits."""
        self._give_up(caller, ClientGone("the client left"))

    def _give_up(self, caller: Caller, error: V2Error) -> None:
        """End a request's waiting before its answer is there, for which nobody waits any more."""
        if not self._back(caller):
            return
        hold, caller.hold = caller.hold, None  # held until batcher or thread let go of it
        if caller.job is not None:
            caller.job.gone = True
        self.refuse(caller, error)
        caller.hold = hold

    def _wait(self, caller: Caller, deadline: float | None) -> None:
        self._waiting += 1
        caller.waits = True
        caller.wait()
        if deadline is not None:
            left = max(deadline - time.perf_counter(), 0)
            late = DeadlineExceeded("the deadline passed before the answer was there")
            loop = asyncio.get_running_loop()
            caller.timer = loop.call_later(left, self._give_up, caller, late)

    def _back(self, caller: Caller) -> bool:
        """End a request's waiting; whether its client still waits for it."""
        waits, caller.waits = caller.waits, False
        self._waiting -= waits
        if caller.timer is not None:
            caller.timer.cancel()
            caller.timer = None
        return waits

    def _submit(self, caller: Caller, request: Request) -> None:
        """Let the batcher's thread compute a request."""
        loop = asyncio.get_running_loop()
        size = weight(request)
        if size > SMALL_BYTES or caller.hold is not None:
            caller.holding().charge(size)

        def computed() -> None:  # in the batcher's thread
            loop.call_soon_threadsafe(self._computed, caller, request)

        deadline = request.due(caller.started, caller.deadline)
        job = Job(request.arrays, request.rows, computed, deadline)
        job.timing = request.timing
        caller.service.batcher.submit(job)
        caller.job = job
        self._wait(caller, deadline)

    def _computed(self, caller: Caller, request: Request) -> None:
        job, caller.job = caller.job, None  # each knows the other: nothing would free them soon
        if not caller.waits or job is None:
            caller.release()
        elif job.error is not None:
            self._answer(caller, {}, job.error)
        else:
            outputs = job.result()
            write = partial(caller.encode, request, outputs)
            if sum(array.nbytes for array in outputs.values()) > LARGE_BYTES:
                self._do_apart(caller, write, partial(self._answer, caller, outputs))
            else:
                self._answer(caller, outputs, tried(caller, write))

    def _answer(self, caller: Caller, outputs: Outputs, answer: Any) -> None:
        """End a request's waiting with its answer, or the error in its place."""
        if not self._back(caller):
            caller.release()
        elif isinstance(answer, V2Error):
            self.refuse(caller, answer)
        else:
            caller.service.end(caller, None, outputs)
            caller.send(answer)

    def _read_apart(self, caller: Caller) -> None:
        if len(self._large) * _LARGE_SHARE >= self._queue_size:
            raise self._queue_full()
        self._wait(caller, caller.deadline)
        self._do_apart(caller, partial(_decoded, caller), partial(self._read, caller))

    def _read(self, caller: Caller, request: Request | V2Error) -> None:
        """Go on with a request that the thread has read."""
        if not caller.waits:
            caller.release()
            return
        if isinstance(request, V2Error):
            self._answer(caller, {}, request)
            return
        service = caller.service
        service.accept(caller, request)
        if service.batcher.is_short(request):
            (outputs,) = service.batcher.run_many([request])
            if isinstance(outputs, V2Error):
                self._answer(caller, {}, outputs)
            else:
                answer = tried(caller, partial(caller.encode, request, outputs))
                self._answer(caller, outputs, answer)
            return
        self._back(caller)
        error = tried(caller, partial(self._submit, caller, request))
        if error is not None:
            self.refuse(caller, error)

    def _do_apart(
        self, caller: Caller, act: Callable[[], T], then: Callable[[T | V2Error], None]
    ) -> None:
        """Do in the thread what would hold up the event loop.

        One after the other, and each taken over before the next begins: what such a request takes
        beside what is counted, it takes alone.
        """
        self._large.append((partial(tried, caller, act), then))
        if len(self._large) == 1:
            self._begin_apart()

    def _begin_apart(self) -> None:
        loop = asyncio.get_running_loop()
        done = self._apart.submit(self._large[0][0])
        done.add_done_callback(lambda done: loop.call_soon_threadsafe(self._end_apart, done))

    def _end_apart(self, done: "Future[Any]") -> None:
        _, then = self._large[0]
        try:
            then(done.result())
        finally:
            self._large.popleft()
            if self._large:
                self._begin_apart()


def _decoded(caller: Caller) -> Request:
    """Read a request, unless the time that it gives itself has passed by then."""
    request = caller.decode()
    if request.timeout is not None and time.perf_counter() > caller.started + request.timeout:
        raise DeadlineExceeded("the request's timeout passed while it was read")
    return request


def tried(record: Record, act: Callable[[], T]) -> T | V2Error:
    """What an act gives, or the error that it ends with."""
    try:
        return act()
    except V2Error as error:
        # Its frames hold what was read so far, and the callers of this would hold its frames.
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001 - a fault of ours must be an answer and a log line
        return crashed(record, error)


def crashed(record: Record, error: Exception) -> InferenceFailed:
    """Log an unforeseen exception whole; what its client is told."""
    logger = logging.getLogger(f"serin.{record.protocol}")
    logger.error("request failed", exc_info=error, extra={"request_id": record.request_id})
    return InferenceFailed(f"internal error: {type(error).__name__}")
