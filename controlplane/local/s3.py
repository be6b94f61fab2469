"""The S3 store: rclone's server on the state folder, or another one that the environment names.

SERIN_S3_ENDPOINT with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY points to any S3, such as MinIO;
then nothing is started here.
"""

import contextlib
import os
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controlplane.errors import SerinError
from controlplane.local import processes
from controlplane.local.processes import Child
from controlplane.local.state import Home, read_json, running, write_json

BUCKET = "models"
DEFAULT_PORT = 9000


@dataclass(frozen=True, slots=True)
class Store:
    """How to reach the S3 store."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    def env(self) -> dict[str, str]:
        """The variables that training scripts and other clients read."""
        return {
            "SERIN_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }


def external() -> Store | None:
    """The store the environment names, if it names one.

    Raises:
        SerinError: An endpoint without keys.
    """
    endpoint = os.environ.get("SERIN_S3_ENDPOINT")
    if not endpoint:
        return None
    try:
        access, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    except KeyError as error:
        raise SerinError(
            f"SERIN_S3_ENDPOINT is {endpoint}, but {error.args[0]} is not set: set it, or unset "
            "SERIN_S3_ENDPOINT to use the S3 server that comes with Serin."
        ) from None
    return Store(endpoint, access, secret, os.environ.get("AWS_REGION") or "us-east-1")


class Server:
    """rclone's S3 server on loopback; also a context manager."""

    def __init__(self, home: Home, port: int | None = None) -> None:
        self.home = home
        asked = int(os.environ.get("SERIN_S3_PORT") or DEFAULT_PORT) if port is None else port
        self.port = asked or processes.free_port()
        self.store = Store(f"http://127.0.0.1:{self.port}", *_keys(home))
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
        processes.wait_until(self.answers, 15, "the S3 server", self.child)

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


def of_platform(home: Home) -> Store | None:
    """The store of the platform that runs in this state folder."""
    endpoint = read_json(home.state).get("s3_endpoint") if running(home) else None
    return Store(endpoint, *_keys(home)) if endpoint else None


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


def _keys(home: Home) -> tuple[str, str]:
    """This state folder's own key pair, so that no other local user can publish a model."""
    path = home.path / "s3.json"
    keys = read_json(path)
    if not keys:
        keys = {"access_key": "serin", "secret_key": secrets.token_hex(20)}
        home.path.mkdir(parents=True, exist_ok=True)
        write_json(path, keys, mode=0o600)
    return keys["access_key"], keys["secret_key"]
