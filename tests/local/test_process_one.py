"""A predictor as process 1 of a container, which no signal ends by default."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.predictor import ROOT, STOP_SECONDS


def test_sigterm_ends_a_predictor_that_is_still_loading(tmp_path: Path) -> None:
    """It leaves by itself, 128 + 15: the kernel ends an ordinary process, and not process 1."""
    manifest = tmp_path / "MANIFEST.json"
    os.mkfifo(manifest)
    command = [sys.executable, "-m", "predictors.iris", "--model_name=iris"]
    process = subprocess.Popen([*command, f"--model_dir={tmp_path}"], cwd=ROOT)
    try:
        with manifest.open("wb"):  # opens once the predictor reads: now it loads
            process.send_signal(signal.SIGTERM)
            code = process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()

    assert code == 128 + signal.SIGTERM
