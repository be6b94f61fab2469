"""A module of this repository as a process of its own, ended as a whole by Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from controlplane.local.node.processes import one_step

STOP_SECONDS = 1.0
"""For its own clean-up, after Ctrl-C."""


def run(command: Sequence[str], env: Mapping[str, str], seconds: float | None = None) -> int:
    """Run a module in a process group and a temporary folder of its own; its exit code.

    The terminal's Ctrl-C goes to this process alone: Python answers it with a traceback of
    whatever library it meets, most of the first seconds one that is being imported.

    Args:
        command: the module and its arguments.
        env: its environment.
        seconds: how long it may take.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was ended.
    """
    with tempfile.TemporaryDirectory(prefix="serin-") as folder, contextlib.ExitStack() as ends:
        with one_step():
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", *command],
                env={**env, "TMPDIR": folder},
                process_group=0,
            )
            ends.callback(_end, process)
        return process.wait(seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started; one that ended has nobody left."""
    if process.returncode is not None:
        return
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
