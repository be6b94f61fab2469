"""A streamed answer's pieces, between the thread that makes them and the client that reads them."""

import asyncio
from collections.abc import Callable

import pytest

from predictors.runtime.dataplane.job import Piece, StreamJob
from predictors.runtime.rest.pieces import pieces_of
from predictors.runtime.v2.errors import ClientGone


async def stays() -> dict[str, str]:
    """The messages of a client that waits."""
    await asyncio.Event().wait()
    raise AssertionError


async def leaves() -> dict[str, str]:
    """The messages of a client that left."""
    return {"type": "http.disconnect"}


class Made:
    """A job that was started, and where its pieces go."""

    def __call__(self, send: Callable[[Piece], None]) -> StreamJob:
        self.send = send
        self.job = StreamJob({}, 1, send, None, in_pieces=True)
        return self.job


def test_pieces_of_another_thread_come_in_their_order() -> None:
    """The model's thread hands them over; when the block ends, the job is told."""

    async def read(made: Made) -> list[Piece]:
        with pieces_of(made, stays) as pieces:
            for last in (False, True):
                await asyncio.to_thread(made.send, Piece({}, None, last=last))
            read = [await pieces.get(), await pieces.get()]
            assert not made.job.gone
        return read

    made = Made()

    assert [piece.last for piece in asyncio.run(read(made))] == [False, True]
    assert made.job.gone


def test_a_client_that_leaves_ends_the_answer() -> None:
    """What waits for the next piece gets one that says so, and the job's rows are freed."""

    async def read(made: Made) -> None:
        with pieces_of(made, leaves) as pieces:
            (await pieces.get()).result()

    made = Made()

    with pytest.raises(ClientGone):
        asyncio.run(read(made))
    assert made.job.gone
