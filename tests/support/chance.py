"""The seeds of tests that draw what they try."""

import os
import random


def seed(variable: str) -> int:
    """The variable, printed so that it can be repeated; 1 in CI, where each run tries the same."""
    drawn = 1 if os.environ.get("CI") else random.SystemRandom().randrange(2**32)
    number = int(os.environ.get(variable) or drawn)
    print(f"{variable}={number}")  # noqa: T201  repeats it
    return number
