"""Which requests are computed together, and where."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from predictors.runtime import InvalidRequest, Manifest, TensorSpec, V2Model
from predictors.runtime.dataplane.batcher import Batcher
from predictors.runtime.dataplane.job import Job
from predictors.runtime.observe.metrics import ModelMetrics
from predictors.runtime.v2.errors import (
    ClientGone,
    DeadlineExceeded,
    InferenceFailed,
    NotReady,
    Overloaded,
)
from predictors.runtime.v2.signature import Request


class Adder(V2Model):
    """Adds what it is given, and remembers how it was called."""

    inputs = (
        TensorSpec("a", "INT64", (-1,)),
        TensorSpec("b", "INT64", (-1,), optional=True),
    )
    outputs = (TensorSpec("sum", "INT64", (-1,)),)
    calls: ClassVar[list[list[str]]] = []

    def infer(self, arrays: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(sorted(arrays))
        if (arrays["a"] < 0).any():
            raise InvalidRequest(f"tensor 'a': element {arrays['a'].argmin()} is negative")
        return {"sum": sum(arrays.values())}


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    """One whose model was measured with `a` alone."""
    model = Adder("adder", Path(), Manifest("0", "adder", "python", {}))
    made = Batcher(model, ModelMetrics("adder", "0", "python"), max_rows=8, queue_size=4)
    made.measure({"a": np.array([1])})
    Adder.calls.clear()
    yield made
    made.close()


def asked(**values: int) -> Request:
    """A request of one row."""
    return Request("id", {name: np.array([value]) for name, value in values.items()}, 1, ())


def test_short_requests_of_the_same_inputs_share_a_call(batcher: Batcher) -> None:
    """In whatever order a client wrote them; other inputs end the group."""
    requests = [asked(a=1), asked(a=2), asked(a=3, b=4), asked(b=6, a=5), asked(a=7)]
    answers: Any = batcher.run_many(requests)

    assert [one["sum"].tolist() for one in answers] == [[1], [2], [7], [11], [7]]
    assert Adder.calls == [["a"], ["a", "b"], ["a"]]


def test_what_was_not_measured_is_not_taken_for_short(batcher: Batcher) -> None:
    """The golden sample's inputs were timed at load; others may take any time."""
    assert batcher.is_short(asked(a=1))
    assert not batcher.is_short(asked(a=1, b=2))
    assert batcher.is_short(Request("id", {"a": np.array([]), "b": np.array([])}, 0, ()))


def test_a_refusal_of_a_request_that_was_cut_says_which_rows_it_counts(batcher: Batcher) -> None:
    """Twenty rows run eight at a time: element 1 of the third call is row 17."""
    done = threading.Event()
    values = np.arange(20)
    values[17] = -1
    job = Job({"a": values}, 20, done.set)
    batcher.submit(job)

    assert done.wait(5)
    assert str(job.error) == "in rows 16 to 19: tensor 'a': element 1 is negative"


class Gate(Adder):
    """Adds once it is let."""

    let = threading.Semaphore(0)
    began = threading.Semaphore(0)

    def infer(self, arrays: dict[str, Any]) -> dict[str, Any]:
        self.began.release()
        assert self.let.acquire(timeout=5)
        return super().infer(arrays)


@pytest.fixture
def busy() -> Iterator[Batcher]:
    """One that computes a request, of calls that took a second, and may keep others for 2.5."""
    model = Gate("gate", Path(), Manifest("0", "gate", "python", {}))
    metrics = ModelMetrics("gate", "0", "python")
    made = Batcher(model, metrics, max_rows=8, queue_size=40, queue_seconds=2.5)
    made._call_seconds = 1.0
    Gate.let, Gate.began = threading.Semaphore(0), threading.Semaphore(0)
    made.submit(row())
    assert Gate.began.acquire(timeout=5)
    yield made
    for _ in range(40):
        Gate.let.release()
    made.close()


def row(rows: int = 1, deadline: float | None = None) -> Job:
    return Job({"a": np.ones(rows, int)}, rows, lambda: None, deadline)


def test_what_would_wait_too_long_is_refused_when_it_comes(busy: Batcher) -> None:
    """Three calls of a second are more than 2.5 s; a request of many rows holds up one call."""
    for _ in range(10):  # two calls of eight rows
        busy.submit(row())
    busy.submit(row(100))
    with pytest.raises(Overloaded, match=r"wait some 3\.0 s, 2\.5 are allowed"):
        busy.submit(row())


def test_one_call_that_is_held_up_says_nothing_about_those_behind_it(busy: Batcher) -> None:
    """A machine that stalls for 2 s in a model of milliseconds turns nobody away."""
    busy._call_seconds = 0.001
    busy.submit(row())
    busy._queue[0].queued_at -= 2
    busy._running_since = time.perf_counter() - 2
    for _ in range(30):
        busy.submit(row())
    busy._running_since -= 1  # three, of 2.5 that are allowed
    with pytest.raises(Overloaded, match=r"wait some 3\.0 s, 2\.5 are allowed"):
        busy.submit(row())


def test_what_would_wait_past_its_deadline_is_refused_when_it_comes(busy: Batcher) -> None:
    """An empty queue refuses nobody, since what computes may be over at any moment."""
    soon = time.perf_counter() + 0.5
    busy.submit(row(deadline=soon))
    with pytest.raises(Overloaded, match=r"would wait some 1\.0 s"):
        busy.submit(row(deadline=soon))
    busy.submit(row(deadline=soon + 60))


SECONDS = 60  # a limit, where a condition is waited for


class Drawing(Adder):
    """Brings `b` to `a` first, once it is let."""

    let = threading.Semaphore(0)
    began = threading.Semaphore(0)

    def holds_up(self, arrays: dict[str, Any]) -> bool:
        return "a" not in arrays

    def prepare(self, arrays: dict[str, Any]) -> dict[str, Any]:
        self.began.release()
        assert self.let.acquire(timeout=SECONDS)
        if (arrays["b"] < 0).any():
            raise InvalidRequest("tensor 'b': element 0 is negative")
        return {"a": arrays["b"]}


class Waited(Job):
    """One row that somebody waits for."""

    def __init__(self, deadline: float | None = None, **values: int) -> None:
        self.over = threading.Event()
        arrays = {name: np.array([value]) for name, value in values.items()}
        super().__init__(arrays, 1, self.over.set, deadline)

    def answer(self) -> Any:
        """The sum, or the kind of the error."""
        assert self.over.wait(SECONDS)
        return type(self.error) if self.error else self.result()["sum"].tolist()


@pytest.fixture
def drawing() -> Iterator[Batcher]:
    """One that prepares what somebody asked, and lets one more wait for that."""
    model = Drawing("drawing", Path(), Manifest("0", "drawing", "python", {}))
    metrics = ModelMetrics("drawing", "0", "python")
    made = Batcher(model, metrics, max_rows=8, queue_size=4, queue_seconds=SECONDS)
    Drawing.let, Drawing.began = threading.Semaphore(0), threading.Semaphore(0)
    made.submit(Waited(b=1))
    assert Drawing.began.acquire(timeout=SECONDS)
    yield made
    for _ in range(9):
        Drawing.let.release()
    made.close()


def test_what_is_prepared_for_long_holds_up_no_batch(drawing: Batcher) -> None:
    """A request that needs no preparation is answered meanwhile; the other one after it."""
    quick, prepared = Waited(a=2), Waited(b=3)
    drawing.submit(prepared)
    drawing.submit(quick)
    assert quick.answer() == [2]
    assert not prepared.over.is_set()
    Drawing.let.release(2)

    assert prepared.answer() == [3]


@pytest.mark.parametrize(
    ("values", "deadline", "error"),
    [
        ({"b": -1}, None, InvalidRequest),
        ({"b": 1}, 0.0, DeadlineExceeded),
        ({"c": 1}, None, InferenceFailed),
    ],
    ids=["refused", "late", "a fault"],
)
def test_what_cannot_be_prepared_fails_alone(
    drawing: Batcher, values: dict[str, int], deadline: float | None, error: type[Exception]
) -> None:
    """With what the model says of it; nothing is prepared that is late, and the next one is."""
    drawing.submit(job := Waited(deadline, **values))
    Drawing.let.release(3)
    assert job.answer() is error
    drawing.submit(following := Waited(b=4))

    assert following.answer() == [4]


def test_nobody_waits_for_the_preparation_of_too_many(drawing: Batcher) -> None:
    """A quarter of the queue; a client that left makes room, and so does the end of each."""
    left = Waited(b=1)
    drawing.submit(left)
    with pytest.raises(Overloaded):
        drawing.submit(Waited(b=1))
    left.gone = True
    Drawing.let.release(1)

    assert left.answer() is ClientGone


def test_what_is_prepared_is_answered_before_the_end(drawing: Batcher) -> None:
    """Closing finishes it, and takes nothing more."""
    drawing.submit(prepared := Waited(b=5))
    Drawing.let.release(2)
    drawing.close()

    assert prepared.answer() == [5]
    with pytest.raises(NotReady):
        drawing.submit(Waited(b=1))
