"""rclone's S3 server on the state folder, where the environment names no other store."""

import contextlib
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from controlplane import settings
from controlplane.errors import SerinError
from controlplane.local.node import processes
from controlplane.local.node.processes import Child
from controlplane.statefolder import Home
from controlplane.store.s3 import BUCKET, Store, external, keys, of_platform

DEFAULT_PORT = 9000


class Server:
    """rclone's S3 server on loopback; also a context manager."""

    def __init__(self, home: Home, port: int | None = None) -> None:
        self.home = home
        asked = settings.port(settings.S3_PORT, DEFAULT_PORT) if port is None else port
        self.port = asked or processes.free_ports(1)[0]
        self.store = Store(f"http://127.0.0.1:{self.port}", *keys(home))
        self.child: Child | None = None

    def start(self) -> None:
        """Start it without waiting.

        Raises:
            SerinError: The port is taken, or rclone is missing.
        """
        if not processes.is_free(self.port):
            raise SerinError(
                f"Port {self.port}, for the S3 server, is taken: stop what listens there, or "
                "choose another with SERIN_S3_PORT (0 = any)."
            )
        (self.home.store / BUCKET).mkdir(parents=True, exist_ok=True)
        command = [
            str(rclone()),
            "serve",
            "s3",
            str(self.home.store),
            f"--addr=127.0.0.1:{self.port}",
            "--dir-cache-time=1s",  # files changed behind its back are seen soon
            "--poll-interval=0",
            f"--cache-dir={self.home.path / 's3-cache'}",
        ]
        env = {
            "HOME": os.environ.get("HOME", "/"),
            "PATH": os.environ.get("PATH", ""),
            "RCLONE_CONFIG": os.devnull,
            # In the environment, not the arguments: those are everybody's to read.
            "RCLONE_AUTH_KEY": f'"{self.store.access_key},{self.store.secret_key}"',
        }
        self.child = Child("The S3 server", command, self.home.logs / "s3.log", env)

    def answers(self) -> bool:
        """Whether something speaks HTTP at the endpoint."""
        try:
            with urllib.request.urlopen(self.store.endpoint, timeout=1):  # noqa: S310  loopback
                return True
        except urllib.error.HTTPError:
            return True  # 403: it wants a signature, so it is up
        except OSError:
            return False

    def wait(self) -> None:
        """Wait until it answers."""
        processes.wait_until(self.answers, 60, "the S3 server", self.child)

    def stop(self) -> None:
        """Stop it."""
        if self.child:
            self.child.stop(5)
            self.child = None
        shutil.rmtree(self.home.path / "s3-cache", ignore_errors=True)

    def __enter__(self) -> Store:
        self.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self.store

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def available(home: Home) -> Iterator[Store]:
    """A store to use for a while: the environment's, the platform's, or one started here."""
    found = external() or of_platform(home)
    if found:
        yield found
    else:
        home.prepare()
        with Server(home, 0) as store:
            yield store


def rclone() -> Path:
    """The rclone binary: the one installed with Serin, else one on PATH.

    Raises:
        SerinError: There is none.
    """
    beside = Path(sys.prefix) / "bin" / "rclone"
    found = beside if beside.exists() else shutil.which("rclone")
    if not found:
        raise SerinError(
            "rclone, whose S3 server holds the models, is missing: run ./serin install base, put "
            "rclone on PATH, or name another S3 with SERIN_S3_ENDPOINT."
        )
    return Path(found)
