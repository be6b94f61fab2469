"""The C library's allocator, which keeps what was freed in small parts."""

import ctypes
import threading


class Trimmer:
    """Lets the system have memory that was freed, a while after it is asked to, and no more often.

    Args:
        seconds: from the first time that it is asked.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asked = threading.Lock()

    def ask(self) -> None:
        """Trim soon; from any thread."""
        if self._asked.acquire(blocking=False):
            timer = threading.Timer(self._seconds, self._trim)
            timer.daemon = True
            timer.start()

    def _trim(self) -> None:
        self._asked.release()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others keep little
        if trim is not None:
            trim(0)
