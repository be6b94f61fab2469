"""The terminal that verbs are tried on is one: size, resize, Ctrl-C, what is left."""

import sys
from pathlib import Path

import psutil
import pytest

from tests.support.terminal import SIZES, Terminal, fresh_clone

RESIZED = """
import os, signal, sys, time
signal.signal(signal.SIGWINCH, lambda *_: sys.exit(print(*os.get_terminal_size())))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_it_has_the_size_that_was_asked_for(columns: int, rows: int) -> None:
    """Programs that ask the terminal are told so, and long lines wrap there."""
    terminal = Terminal(columns=columns, rows=rows)
    code = f"import os; print(*os.get_terminal_size()); print('x' * {columns + 1})"

    shown = terminal.run(sys.executable, "-c", code)

    assert shown.code == 0
    assert shown.lines == [f"{columns} {rows}", "x" * columns, "x"]


def test_pulling_it_larger_tells_the_program() -> None:
    """SIGWINCH comes, and the new size is read."""
    running = Terminal().start(sys.executable, "-c", RESIZED)
    running.until("ready\r\n")
    running.resize(120, 40)

    assert running.ended().lines == ["ready", "120 40"]


def test_ctrl_c_reaches_what_a_program_started() -> None:
    """As a terminal sends it: to the whole foreground group, as SIGINT."""
    running = Terminal().start(sys.executable, "-c", PARENT)
    running.until(r"\d+\r\n")
    child = int(running.written)
    running.interrupt()

    assert "KeyboardInterrupt" in running.ended().text
    assert not psutil.pid_exists(child)


def test_what_scrolled_away_is_still_read() -> None:
    """All lines of a long output, in order."""
    shown = Terminal().run(sys.executable, "-c", "for n in range(100): print(n)")

    assert shown.lines == [str(number) for number in range(100)]


def test_a_fresh_clone_runs_its_own_verbs(tmp_path: Path) -> None:
    """Nothing of the checkout's state is seen from it."""
    clone = fresh_clone(tmp_path / "clone")

    shown = Terminal(clone).serin("status")

    assert (shown.code, shown.words) == (1, "Nothing runs. Start with: ./serin up")
    assert not (clone / ".serin").exists()
