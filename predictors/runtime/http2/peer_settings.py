"""A client's SETTINGS, checked (RFC 9113, 6.5.2)."""

from predictors.runtime.http2 import frames
from predictors.runtime.http2.frames import ConnectionFault, ErrorCode

_RANGES = {  # lowest, highest, what a value outside is
    frames.ENABLE_PUSH: (0, 1, ErrorCode.PROTOCOL_ERROR),
    frames.INITIAL_WINDOW_SIZE: (0, frames.MAX_WINDOW, ErrorCode.FLOW_CONTROL_ERROR),
    frames.MAX_FRAME_SIZE: (frames.DEFAULT_FRAME_SIZE, 2**24 - 1, ErrorCode.PROTOCOL_ERROR),
}


def read_settings(payload: bytes) -> dict[int, int]:
    """The values that hold after a SETTINGS frame: of one given twice, the last."""
    if len(payload) % frames.SETTING.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a broken length")
    values = {}
    for key, value in frames.SETTING.iter_unpack(payload):
        lowest, highest, code = _RANGES.get(key, (0, 2**32, ErrorCode.NO_ERROR))
        if not lowest <= value <= highest:
            raise ConnectionFault(code, f"setting {key} cannot be {value}")
        values[key] = value
    return values
