"""A request between its transport and the model: what is asked, who waits, and what came of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from predictors.runtime.v2.errors import V2Error
from predictors.runtime.v2.record import Timing
from predictors.runtime.v2.signature import Arrays, Outputs


class Job:
    """One request on its way to the model, whose thread sets `outputs` or `error`."""

    __slots__ = (
        "_pieces",
        "_taken",
        "arrays",
        "deadline",
        "done",
        "error",
        "gone",
        "outputs",
        "queued_at",
        "rows",
        "timing",
    )

    def __init__(
        self, arrays: Arrays, rows: int, done: Callable[[], None], deadline: float | None = None
    ) -> None:
        self.arrays = arrays
        self.rows = rows
        self.done = done
        self.deadline = deadline  # time.perf_counter() value
        self.queued_at = time.perf_counter()
        self.gone = False  # set by the transport once the client has left
        self.timing: Timing | None = None
        self.outputs: Arrays | None = None
        self.error: V2Error | None = None
        self._taken = 0
        self._pieces: list[Arrays] = []

    def result(self) -> Arrays:
        """The outputs, or the error raised."""
        if self.error is not None:
            raise self.error
        if self.outputs is None:
            raise RuntimeError("the job is not done")
        return self.outputs

    @property
    def rows_left(self) -> int:
        """Rows not handed to a batch yet."""
        return self.rows - self._taken

    @property
    def rows_taken(self) -> int:
        """Rows handed to a batch so far."""
        return self._taken

    def take(self, rows: int) -> Arrays:
        """Hand the next rows to a batch."""
        start = self._taken
        self._taken += rows
        if rows == self.rows:
            return self.arrays
        return {name: array[start : start + rows] for name, array in self.arrays.items()}

    def give(self, piece: Arrays) -> None:
        """Accept computed rows; the last ones finish the job."""
        self._pieces.append(piece)
        if self._taken < self.rows or self.error is not None:
            return
        pieces = self._pieces
        self.finish(pieces[0] if len(pieces) == 1 else joined(pieces))

    def finish(self, outputs: Arrays) -> None:
        """Finish with all outputs."""
        self.outputs = outputs
        self.done()

    def fail(self, error: V2Error) -> None:
        """Finish with an error, once."""
        if self.error is None:
            self.error = error.with_traceback(None)  # whose frames hold this job
            self._taken = self.rows
            self.done()


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: outputs, or the error that ends it. The last one says so."""

    outputs: Outputs | None
    error: V2Error | None = None
    last: bool = False

    def result(self) -> Outputs:
        """The outputs, or the error raised."""
        if self.error is not None:
            raise self.error
        if self.outputs is None:
            raise RuntimeError("the piece is empty")
        return self.outputs


class StreamJob(Job):
    """A request whose answer is passed on as it comes; `send` is called from the model's thread.

    Without `in_pieces` there is one piece, the last.
    """

    __slots__ = ("_send", "in_pieces")

    def __init__(
        self,
        arrays: Arrays,
        rows: int,
        send: Callable[[Piece], None],
        deadline: float | None = None,
        *,
        in_pieces: bool = True,
    ) -> None:
        super().__init__(arrays, rows, _nothing, deadline)
        self.in_pieces = in_pieces
        self._send = send

    def piece(self, outputs: Outputs) -> None:
        """Send what is new; more will follow."""
        self._send(Piece(outputs))

    def finish(self, outputs: Outputs) -> None:
        """Send the last piece."""
        self._send(Piece(outputs, last=True))

    def fail(self, error: V2Error) -> None:
        """End with an error, once."""
        if self.error is None:
            self.error = error
            self._send(Piece(None, error, last=True))


def joined(pieces: list[Arrays]) -> Arrays:
    """One batch of several, each output or input end to end."""
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _nothing() -> None:
    pass
