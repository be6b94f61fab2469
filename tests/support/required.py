"""What a test needs from outside the repository, and what happens where it is missing.

On a laptop a missing binary or data set skips the test, with the reason. Where everything is meant
to be there a skip would hide a hole, so it fails: binaries where CI or REQUIRE_REAL=1 is set, data
beside the checkout only under REQUIRE_REAL=1 (a public CI has no such folder).
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]


def binary(name: str) -> Path:
    """The program `name` on PATH."""
    found = shutil.which(name)
    if found is None:
        _missing(f"{name} is not on PATH", strict=bool(os.environ.get("CI")) or _require_real())
    return Path(found)


def shared_data(name: str) -> Path:
    """The folder `name` of the data beside the checkout: mnist, digits_png or v2_requests."""
    folder = ROOT.parent / "shared" / "data" / name
    if not folder.is_dir():
        _missing(f"no ../shared/data/{name} beside the checkout", strict=_require_real())
    return folder


def shared_cases() -> Path:
    """The folder of inputs that strangers' programs sent, beside the checkout."""
    folder = ROOT.parent / "shared" / "cases"
    if not folder.is_dir():
        _missing("no ../shared/cases beside the checkout", strict=_require_real())
    return folder


def _require_real() -> bool:
    return os.environ.get("REQUIRE_REAL") == "1"


def _missing(reason: str, *, strict: bool) -> NoReturn:
    if strict:
        pytest.fail(f"{reason}, and REQUIRE_REAL=1 or CI says that it must be")
    pytest.skip(reason)
