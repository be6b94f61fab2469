"""A streamed answer's pieces as they are made, for whoever writes them to a client."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from predictors.runtime.dataplane.job import Piece, StreamJob
from predictors.runtime.rest.asgi import Receive, client_left
from predictors.runtime.v2.errors import ClientGone

Start = Callable[[Callable[[Piece], None]], StreamJob]
"""Makes and submits the job whose pieces go where it is told."""


@contextmanager
def pieces_of(start: Start, receive: Receive) -> Iterator[asyncio.Queue[Piece]]:
    """A job's pieces; the last one fails where the client left.

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
    try:
        yield pieces
    finally:
        job.gone = True
        leaving.cancel()
