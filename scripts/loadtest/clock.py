"""A timer for one function, tens of microseconds late at most where the system allows it.

Event loops round timers up to whole milliseconds, which would be most of a short answer's latency.
Linux has timers as files that an event loop can wait for; elsewhere the loop's own timer is used.
"""

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable

_NONBLOCKING_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME of linux/timerfd.h


class _Times(ctypes.Structure):
    """struct itimerspec: an interval, and the time of the first expiry."""

    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


class Alarm:
    """Calls `then` when the time comes that was set last."""

    def __init__(self, loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
        self._loop = loop
        self._then = then
        self._times = _Times()
        self._file = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._file = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCKING_CLOEXEC)
        if self._file >= 0:
            loop.add_reader(self._file, self._expired)

    def set(self, at: float) -> None:
        """Call at this time of time.monotonic(); a time that is over means at once."""
        if self._file < 0:
            self._loop.call_later(max(at - time.monotonic(), 0.0), self._then)
            return
        self._times.seconds = int(at)
        # A time of 0 would stop the timer.
        self._times.nanoseconds = int((at - int(at)) * 1e9) or 1
        self._libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(self._times), None)

    def close(self) -> None:
        """Call nothing more."""
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    def _expired(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._file, 8)
        self._then()
