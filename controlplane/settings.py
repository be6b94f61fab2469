"""The numbers that a person sets by environment variables, each refused by its name."""

import math
import os

from controlplane.errors import SettingError

GATEWAY_PORT = "SERIN_PORT"
S3_PORT = "SERIN_S3_PORT"
PROMETHEUS_PORT = "SERIN_PROMETHEUS_PORT"
CONSOLE_PORT = "SERIN_CONSOLE_PORT"
HPA_SYNC_PERIOD = "SERIN_HPA_SYNC_PERIOD"
DEFAULT_PORT = 8080
"""The gateway's."""


def port(name: str, default: int) -> int:
    """A port; 0 takes any free one.

    Raises:
        SettingError: It is none.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise SettingError(f"{name} is {text!r}: expected a port, 1 … 65535, or 0 for a free one.")
    return int(text)


def seconds(name: str, default: float) -> float:
    """A time above 0.

    Raises:
        SettingError: It is none.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise SettingError(f"{name} is {text!r}: expected seconds, more than 0.")
    return value


def check() -> None:
    """Read them all: a mistake is told before anything is started.

    Raises:
        SettingError: Names the first that is wrong.
    """
    for name in (GATEWAY_PORT, S3_PORT, PROMETHEUS_PORT, CONSOLE_PORT):
        port(name, 0)
    seconds(HPA_SYNC_PERIOD, 1)
