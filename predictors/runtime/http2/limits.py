"""What one connection may ask of us, and how often (RFC 9113, 10.5)."""

import time

from predictors.runtime.http2.frames import ConnectionFault, ErrorCode

STREAM_WINDOW = 1 << 20  # bytes that a client may send on a stream before we have read some
CONNECTION_WINDOW = 16 << 20
MAX_FRAME_BYTES = 16_384  # of frames to us: the protocol's default
MAX_HEADER_BYTES = 16_384  # of a request's head, as it comes and as it reads; as gRPC's C core
_BURST = 1_000
_PER_SECOND = 100
_RESETS = 1_000


class Allowance:
    """How many frames that bring no call further a client may send: PING, SETTINGS and their like.

    Each costs little, but an honest client sends a handful, and an attacker nothing else
    (CVE-2019-9512, -9515, -9518). A burst, and so many a second.
    """

    __slots__ = ("_left", "_since")

    def __init__(self) -> None:
        self._left = _BURST
        self._since = time.monotonic()

    def spend(self) -> None:
        """Count one frame; raise ConnectionFault where it is one too many."""
        if self._left == 0:
            now = time.monotonic()
            self._left = min(_BURST, int((now - self._since) * _PER_SECOND))
            self._since = now
            if self._left == 0:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames")
        self._left -= 1


def check_resets(resets: int, opened: int) -> None:
    """Refuse a client that opens calls to cancel them (CVE-2023-44487, "rapid reset").

    A proxy whose clients gave up may well cancel a burst of calls, but not most of all it ever
    sent.
    """
    if resets > _RESETS and resets > opened // 2:
        raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "most calls are cancelled")
