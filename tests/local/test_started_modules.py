"""A module of the repository as a process that a verb starts."""

import os
import signal
import subprocess
import sys
from typing import Any

import psutil
import pytest

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
