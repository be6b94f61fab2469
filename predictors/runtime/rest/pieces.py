"""A streamed answer's pieces as they are made, for whoever writes them to a client."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from predictors.runtime.dataplane.job import Piece, StreamJob
from predictors.runtime.rest.asgi import Receive, client_left
from predictors.runtime.v2.errors import ClientGone, DeadlineExceeded

Start = Callable[[Callable[[Piece], None]], StreamJob]
"""Makes and submits the job whose pieces go where it is told."""


@contextmanager
def pieces_of(start: Start, receive: Receive) -> Iterator[asyncio.Queue[Piece]]:
    """A job's pieces; the last one fails where the client left, or a whole answer is late.

    However the block ends, the job is told that nobody reads on, which frees its rows.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[Piece] = asyncio.Queue()

    def send(piece: Piece) -> None:
        loop.call_soon_threadsafe(pieces.put_nowait, piece)

    job = start(send)
    gone = Piece(None, ClientGone("the client left"), last=True)
    leaving = asyncio.ensure_future(client_left(receive))
    leaving.add_done_callback(lambda _: pieces.put_nowait(gone))
    timer = None
    if job.deadline is not None and not job.in_pieces:
        late = DeadlineExceeded("the deadline passed before the answer was there")
        left = max(job.deadline - time.perf_counter(), 0)
        timer = loop.call_later(left, pieces.put_nowait, Piece(None, late, last=True))
    try:
        yield pieces
    finally:
        job.gone = True
        leaving.cancel()
        if timer is not None:
            timer.cancel()
