"""What one connection may ask of us, and how often (RFC 9113, 10.5)."""

import time

from predictors.runtime.http2.frames import ConnectionFault, ErrorCode

STREAM_WINDOW = 1 << 20  # bytes that a client may send on a stream before we have read some
CONNECTION_WINDOW = 16 << 20
MAX_FRAME_BYTES = 16_384  # of frames to us: the protocol's default
MAX_HEADER_BYTES = 16_384  # of a request's head as it reads; as gRPC's C core
MAX_BLOCK_BYTES = 65_536  # as it comes: Envoy passes on 60 KB, for which one call is refused
MAX_READ_BYTES = 98_304  # as it reads, for the table's sake alone; what is longer ends a connection
MAX_CONNECTIONS = 1_024  # of a process; a proxy needs a few
WORK_PER_TURN = 1_000  # frames, and 64 bytes of a header block, before others have their turn
LARGE_READ = 1 << 16  # bytes that came at once, behind which there is more of the same
CALL_WORK = 8  # of a call beside its frames: no client alone fills the queue in its turn
CALM_WORK = 64  # the same, of a client that was told to calm down,
CALM_SECONDS = 0.05  # and how long it then waits
FINISH_SECONDS = 30.0  # for the calls of a client that was told to calm down
SWEEP_SECONDS = 5.0
STALLED_SWEEPS = 6  # half a minute without a byte of progress ends a stream
IDLE_SWEEPS = 60  # five minutes without a stream end a connection
_BURST = 1_000
_PER_SECOND = 100
_EARNED = 4  # a stream's own trailers, RST_STREAM, and a WINDOW_UPDATE or two
_RESETS = 1_000


class Calm(ConnectionFault):
    """The client only makes work: it may open no more streams, and those that it has go on.

    Behind a proxy one connection carries many clients, so it never ends with their calls on it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.ENHANCE_YOUR_CALM, reason)


class Allowance:
    """How many frames that bring no call further a client may send: PING, SETTINGS and their like.

    Each costs little, but an honest client sends a handful, and an attacker nothing else
    (CVE-2019-9512, -9515, -9518). A burst, so many a second, and what goes with a stream.
    """

    __slots__ = ("_left", "_since")

    def __init__(self) -> None:
        self._left = _BURST
        self._since = time.monotonic()

    def spend(self, count: int = 1) -> None:
        """Count frames, or what is as much work; raise Calm where it is too many."""
        if self._left < count:
            now = time.monotonic()
            self._left = min(_BURST, self._left + int((now - self._since) * _PER_SECOND))
            self._since = now
            if self._left < count:
                raise Calm("too many control frames")
        self._left -= count

    def earn(self) -> None:
        """Allow the frames that go with a stream, or with a frame of an answer."""
        if self._left < _BURST:
            self._left += _EARNED


def check_resets(resets: int, opened: int) -> None:
    """Refuse a client that opens calls to cancel them (CVE-2023-44487, "rapid reset").

    A proxy whose clients gave up may well cancel a burst of calls, but not most of all it ever
    sent.
    """
    if resets > _RESETS and resets > opened // 2:
        raise Calm("most calls are cancelled")
