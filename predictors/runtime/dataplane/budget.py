"""Budget: the bytes that one process holds for its clients, from first byte to sent answer.

A request is counted while it is received, unpacked, read, queued and computed, and until its answer
is sent; what does not fit is refused at once. What is still coming in gets half of it, so that what
is whole can be computed, and each connection a half of that, so that a client which never ends its
requests leaves room for others. A request that is alone may be larger than all that, or a small
limit would refuse it for ever; how large a request may be is another limit.

Small requests are not counted: that would cost more than they hold, and the queue's size bounds
their number.
"""

import threading
from collections.abc import Callable

from predictors.runtime.v2.errors import Overloaded
from predictors.runtime.v2.signature import Request

SMALL_BYTES = 1 << 16
"""What is not counted."""
LARGE_BYTES = 1 << 18
"""What takes so long to read or write that it leaves the event loop."""
_OBJECT_BYTES = 64  # a bytes object of a BYTES tensor, beside its content
# How many times its size an output is held: in pieces, joined, written, and put into an answer.
_AS_BYTES = 5
_AS_JSON = 10


class Budget:
    """The bytes held, in all and of what comes in by connection; used from several threads.

    Args:
        limit: bytes held at most.
        emptied: called, in any thread, when nothing is held any more after much was.
    """

    def __init__(self, limit: int, emptied: Callable[[], None] = lambda: None) -> None:
        self.limit = limit
        self.held = 0
        self.coming = 0
        """The part of `held` that is of requests which are not read yet."""
        self._coming_by: dict[object, int] = {}
        self._emptied = emptied
        self._much = False  # was held since nothing was
        self._guard = threading.Lock()

    def change(self, hold: "Hold", size: int, *, coming: bool) -> None:
        """Let a request hold `size` bytes; raises Overloaded where they are not free."""
        client = hold.client
        with self._guard:
            was_coming = hold.size if hold.coming else 0
            now_coming = size if coming else 0
            held = self.held + size - hold.size
            all_coming = self.coming + now_coming - was_coming
            own = self._coming_by.get(client, 0) + now_coming - was_coming
            if size > hold.size and (
                (held > self.limit and held > size)
                or (all_coming > self.limit // 2 and all_coming > now_coming)
                or (own > self.limit // 4 and own > now_coming)
            ):
                raise Overloaded(
                    f"this server holds {self.held} bytes of requests and answers, at most "
                    f"{self.limit}, of which half may be coming in; try again later"
                )
            self.held, self.coming = held, all_coming
            much = self._much or held >= LARGE_BYTES
            self._much = much and held > 0
            hold.size, hold.coming = size, coming
            if own:
                self._coming_by[client] = own
            else:
                self._coming_by.pop(client, None)
        if much and not held:
            self._emptied()


class Hold:
    """What one request holds; `release` it once its answer is sent."""

    __slots__ = ("_budget", "client", "coming", "size")

    def __init__(self, budget: Budget, client: object) -> None:
        self.client = client  # its connection, or whatever stands for it
        self.size = 0
        self.coming = True
        self._budget = budget

    def grow(self, size: int) -> None:
        """Hold `size` bytes more that came in; raises Overloaded where they are not free."""
        self._budget.change(self, self.size + size, coming=True)

    def shrink(self, size: int) -> None:
        """Hold `size` bytes at most."""
        if size < self.size:
            self._budget.change(self, size, coming=self.coming)

    def charge(self, size: int) -> None:
        """Hold `size` bytes for computing and answering; raises Overloaded as above."""
        self._budget.change(self, size, coming=False)

    def release(self) -> None:
        """Hold nothing."""
        self.shrink(0)


def weight(request: Request) -> int:
    """Bytes that a decoded request takes until it is answered: inputs, outputs, and the answer."""
    size = sum(array.nbytes for array in request.arrays.values())
    size += sum(
        _OBJECT_BYTES * array.size for array in request.arrays.values() if array.dtype.hasobject
    )
    for spec, binary in request.wanted:
        size += request.rows * spec.row_bytes * (_AS_BYTES if binary else _AS_JSON)
    return size
