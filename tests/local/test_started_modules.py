"""A module of the repository as a process that a verb starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from controlplane.local.node.processes import Child
from scripts.verbs import modules


def test_ctrl_c_while_the_process_is_made_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended as it would be a moment later, though nobody had its number yet."""
    made: list[subprocess.Popen[bytes]] = []

    def interrupted(*_: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = popen([sys.executable, "-c", "import time; time.sleep(600)"], **options)
        made.append(process)
        os.kill(os.getpid(), signal.SIGINT)
        return process

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            modules.run(["training.iris"], os.environ)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        alive = psutil.pid_exists(made[0].pid) and made[0].poll() is None
        if alive:
            made[0].kill()
    assert not alive


def test_the_exit_code_is_the_modules() -> None:
    """And its group is gone with it."""
    assert modules.run(["json.tool", "/no/such/file"], os.environ) == 2


def test_ctrl_c_amid_a_fork_is_not_lost(tmp_path: Path) -> None:
    """Python drops what its hooks raise there: the interrupt comes when the process is made."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = [True]  # a hook stays for good, and this one does nothing once that is empty

    def interrupt() -> None:
        if asked:
            signal.raise_signal(signal.SIGINT)

    os.register_at_fork(after_in_parent=interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            Child("one", [sys.executable, "-c", "pass"], tmp_path / "log", os.environ)
    finally:
        asked.clear()
        signal.signal(signal.SIGINT, before)
