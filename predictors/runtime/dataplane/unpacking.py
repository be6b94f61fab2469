"""gzip and deflate of a request, unpacked within its limits."""

import zlib
from collections.abc import Callable

from predictors.runtime.dataplane.budget import Hold
from predictors.runtime.v2.errors import BodyTooLarge, InvalidRequest

RATIO = 250
"""How many times its size a request may unpack to, past a megabyte: no model's data is so even."""
_EVEN_BYTES = 1 << 20
_STEP_BYTES = 1 << 18
_GZIP_OR_ZLIB = 47  # zlib's window bits for "look at the header"


def unpack(
    packed: bytes, limit: int, hold: Hold, too_large: Callable[[int], BodyTooLarge]
) -> bytes:
    """Unpack a request, step by step, so that what does not fit is never unpacked.

    Args:
        packed: as it came.
        limit: bytes that it may unpack to.
        hold: counts them.
        too_large: the error past `limit`.

    Raises:
        InvalidRequest: it is damaged, or not one whole stream.
        BodyTooLarge: it is suspiciously even, or `too_large`.
        Overloaded: there is no room for it now.
    """
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)
    parts: list[bytes] = []
    size = 0
    rest = packed
    while not stream.eof:
        try:
            part = stream.decompress(rest, _STEP_BYTES)
        except zlib.error as error:
            raise InvalidRequest(f"the compressed body is damaged: {error}") from error
        rest = stream.unconsumed_tail
        if not part and not rest and not stream.eof:
            raise InvalidRequest("the compressed body ends early")
        size += len(part)
        if size > limit:
            raise too_large(size)
        if size > max(RATIO * len(packed), _EVEN_BYTES):
            raise BodyTooLarge(
                f"the compressed body unpacks to more than {RATIO} times its {len(packed)} bytes: "
                "send it uncompressed"
            )
        hold.grow(len(part))
        parts.append(part)
    if stream.unused_data:
        raise InvalidRequest(f"{len(stream.unused_data)} bytes left after the compressed body")
    return b"".join(parts)
