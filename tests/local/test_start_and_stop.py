"""The first command of all on a terminal, and `down` in whatever moment of a start.

DOWN_MOMENTS sets how many moments; by hand, on a machine that is busy by itself or is made so:
DOWN_MOMENTS=20 DOWN_BURNERS=20 ./serin test tests/local/test_start_and_stop.py -k moment
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.chance import seed
from tests.support.platform import Platform
from tests.support.terminal import SIZES, Terminal

MOMENTS = int(os.environ.get("DOWN_MOMENTS", "4"))
BURNERS = int(os.environ.get("DOWN_BURNERS", "6"))
"""Busy loops beside it: so that every step is slow, and a stop meets each of them."""
LONGEST_SECONDS = 6.0 + 1.5 * BURNERS
"""About what a start of five models takes beside them, on two cores."""


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_up_of_an_untrained_model_ends_ready_on_a_terminal(
    tmp_path: Path, columns: int, rows: int
) -> None:
    """It trains, shows how far it is, and ends with a table and a request to try."""
    platform = Platform(tmp_path / "state")
    settings = {"SERIN_HOME": str(platform.home), "SERIN_PORT": "0", "SERIN_S3_PORT": "0"}
    terminal = Terminal(columns=columns, rows=rows, settings=settings)

    try:
        shown = terminal.serin("up", "iris", seconds=110)
        status = terminal.serin("status")
    finally:
        platform.serin("down")

    assert shown.code == 0, shown.text
    assert "Training" in shown.raw
    assert any(line.split()[-2:] == ["1/1", "Ready"] for line in shown.lines), shown.text
    assert "curl http://127.0.0.1:" in shown.text
    assert status.code == 0, status.text
    assert status.lines[1].split()[-2:] == ["1/1", "Ready"]
    assert platform.leftovers() == []


@pytest.mark.timeout(100 + 100 * MOMENTS)
def test_down_in_any_moment_of_a_start_leaves_nothing(fresh: Callable[..., Platform]) -> None:
    """Of every model; by the verb, or by SIGTERM to `up`: no process, port or temporary file."""
    chance = random.Random(seed("DOWN_SEED"))
    platform = fresh()

    with busy_machine():
        for number in range(MOMENTS):
            seconds = chance.uniform(0.1, LONGEST_SECONDS)
            by_verb = chance.random() < 0.5
            left = stopped_start(platform, seconds, by_verb=by_verb)
            load = os.getloadavg()[0]
            said = f"number {number}: {seconds:.2f} s, by verb: {by_verb}, {load:.0f}"
            print(said)  # noqa: T201  for the ones by hand
            assert left == [], f"{said}\n{platform.log()}"


def stopped_start(platform: Platform, seconds: float, *, by_verb: bool) -> list[str]:
    """Start the models, stop them after so long, and return what is left."""
    up = platform.start("up")
    try:
        up.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        if by_verb:
            platform.serin("down")
        # Before the lock is held there is nothing to stop but the verb itself.
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=100)
    platform.serin("down")
    return platform.leftovers()


@contextmanager
def busy_machine() -> Iterator[None]:
    """More to do than there are cores, at a lower priority."""
    code = "import os\nos.nice(5)\nwhile True: pass"
    burners = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(BURNERS)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
