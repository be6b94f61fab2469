"""Long texts are read by a thread of their own: who sends one holds up nobody else."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from predictors.runtime.dataplane.job import Job
from predictors.runtime.dataplane.streaming import LONG_BYTES, StreamBatcher, StreamingModel
from predictors.runtime.v2.errors import (
    ClientGone,
    DeadlineExceeded,
    InferenceFailed,
    InvalidRequest,
    NotReady,
    Overloaded,
    V2Error,
)

SECONDS = 60
QUEUE = 4


class Model(StreamingModel):
    """Reads what it is given when it may, and answers at once."""

    name = "model"

    def __init__(self) -> None:
        self.may_read = threading.Event()
        self.error: Exception | None = None

    def limit(self, *_: Any, **__: Any) -> None:
        """Nothing is limited here."""

    def submit(self, job: Job) -> None:
        """Read a job, when it may be."""
        assert self.may_read.wait(SECONDS)
        if self.error is not None:
            raise self.error
        job.finish({})

    def close(self) -> None:
        """Nothing is left to finish."""


class Asked(Job):
    """A request whose end can be waited for."""

    def __init__(self, text: bytes, deadline: float | None = None) -> None:
        self.over = threading.Event()
        array = np.empty(1, object)
        array[0] = text
        super().__init__({"text": array}, 1, self.over.set, deadline)

    def failure(self) -> V2Error | None:
        """What it ended with."""
        assert self.over.wait(SECONDS)
        return self.error


def long(deadline: float | None = None) -> Asked:
    """A request with a long text."""
    return Asked(b"x" * (LONG_BYTES + 1), deadline)


@pytest.fixture
def model() -> Iterator[Model]:
    """It ends with whatever waits for it."""
    model = Model()
    yield model
    model.may_read.set()


@pytest.fixture
def batcher(model: Model) -> Iterator[StreamBatcher]:
    """In front of the model."""
    batcher = StreamBatcher(model, None, max_rows=1, queue_size=QUEUE)  # type: ignore[arg-type]  # not looked at
    yield batcher
    model.may_read.set()
    batcher.close()


def test_a_long_text_is_read_beside_the_one_who_hands_it_over(
    model: Model, batcher: StreamBatcher
) -> None:
    """`submit` returns while it is unread; a short one is read at once."""
    job = long()
    batcher.submit(job)
    assert not job.over.is_set()
    model.may_read.set()
    assert job.failure() is None
    short = Asked(b"x")
    batcher.submit(short)
    assert short.over.is_set()


def test_many_short_texts_are_as_long_as_one(batcher: StreamBatcher) -> None:
    """What counts is what is to be read in all."""
    many = Asked(b"")
    many.arrays = {"text": np.full(LONG_BYTES // 8, b"ninebytes", object)}
    batcher.submit(many)

    assert not many.over.is_set()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidRequest("no"), InvalidRequest),
        (Overloaded("full"), Overloaded),
        (ZeroDivisionError(), InferenceFailed),
    ],
)
def test_what_the_model_refuses_is_the_answer(
    model: Model, batcher: StreamBatcher, error: Exception, told: type[V2Error]
) -> None:
    """The client's fault is told; another is ours, and the next request is read."""
    model.error = error
    model.may_read.set()
    refused, following = long(), long()
    batcher.submit(refused)
    assert type(refused.failure()) is told
    model.error = None
    batcher.submit(following)
    assert following.failure() is None


def test_what_nobody_waits_for_is_not_read(model: Model, batcher: StreamBatcher) -> None:
    """The client left, or its deadline passed, while another's text was read."""
    first, left, late = long(), long(), long(deadline=0.0)
    for job in (first, left, late):
        batcher.submit(job)
    left.gone = True
    model.may_read.set()

    assert first.failure() is None
    assert isinstance(left.failure(), ClientGone)
    assert isinstance(late.failure(), DeadlineExceeded)


def test_no_more_long_texts_wait_than_may(model: Model, batcher: StreamBatcher) -> None:
    """Then the next is refused at once, and taken again after they were read."""
    waiting = [long() for _ in range(QUEUE)]
    for job in waiting:
        batcher.submit(job)
    refusals = [_refused(batcher) for _ in range(2)]  # one more may fit, while one is read
    assert isinstance(refusals[1], Overloaded)
    model.may_read.set()
    assert waiting[-1].failure() is None
    batcher.submit(again := long())
    assert again.failure() is None


def _refused(batcher: StreamBatcher) -> V2Error | None:
    try:
        batcher.submit(long())
    except V2Error as error:
        return error
    return None


def test_a_batcher_that_was_closed_takes_nothing(model: Model) -> None:
    """As the model itself says it."""
    batcher = StreamBatcher(model, None, max_rows=1, queue_size=QUEUE)  # type: ignore[arg-type]  # not looked at
    batcher.close()
    with pytest.raises(NotReady):
        batcher.submit(long())
