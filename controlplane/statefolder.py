"""The state folder: its layout, its lock, and the two JSON files that verbs and supervisor share.

lock            held (flock) by the running supervisor; holds its process id. The lock, not the
                number, says whether the platform runs: a number outlives its process.
layout          the layout's version; another number is not touched
desired.json    what the person wants; written by verbs, read by the supervisor
state.json      what is; written by the supervisor, read by verbs
objects.json    the Kubernetes objects; written by the supervisor alone
kubeconfig      how kubectl reaches them; pki/ holds its certificate and token
s3/             the S3 server's folder, one sub-folder a bucket
s3.json         its keys, made once
published/      manifests of the models that `serin publish` made, <model>.yaml
models/         downloaded artifacts, <model>/<version>
logs/           supervisor.log, envoy.log, s3.log, <pod>.log
envoy/          Envoy's configuration; gone when it stops
"""

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.errors import AlreadyRunning, SerinError

LAYOUT = "1"
KEPT_POD_LOGS = 40
ROOT = Path(__file__).parents[1]
"""The repository: manifests, predictors and training are found below it."""


@dataclass(frozen=True, slots=True)
class Home:
    """The state folder's paths."""

    path: Path

    @property
    def logs(self) -> Path:
        """Where every process writes its log."""
        return self.path / "logs"

    @property
    def models(self) -> Path:
        """Downloaded artifacts."""
        return self.path / "models"

    @property
    def envoy(self) -> Path:
        """Envoy's configuration."""
        return self.path / "envoy"

    @property
    def store(self) -> Path:
        """What the S3 server serves."""
        return self.path / "s3"

    @property
    def published(self) -> Path:
        """Manifests of models that were published from a file."""
        return self.path / "published"

    @property
    def lock(self) -> Path:
        """The supervisor's lock."""
        return self.path / "lock"

    @property
    def desired(self) -> Path:
        """What should run."""
        return self.path / "desired.json"

    @property
    def state(self) -> Path:
        """What runs."""
        return self.path / "state.json"

    @property
    def objects(self) -> Path:
        """The Kubernetes objects."""
        return self.path / "objects.json"

    @property
    def kubeconfig(self) -> Path:
        """How kubectl reaches the API."""
        return self.path / "kubeconfig"

    def prepare(self) -> None:
        """Make the folders; refuse a folder whose layout this version does not know.

        Raises:
            SerinError: The folder was written by another version of Serin.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # somebody else's folder
            self.path.chmod(0o700)  # logs, models, keys and tokens are one user's
        layout = self.path / "layout"
        found = layout.read_text("utf-8").strip() if layout.exists() else None
        if found not in {None, LAYOUT}:
            raise SerinError(
                f"The state folder {self.path} has layout {found!r} and this Serin writes "
                f"{LAYOUT!r}: stop what runs with the version that made it, move the folder away, "
                "and run again."
            )
        for folder in (self.logs, self.models, self.store):
            folder.mkdir(exist_ok=True)
        if found is None:
            write_text(layout, LAYOUT + "\n")


def tidy_logs(where: Home) -> None:
    """Forget the logs of pods that ended long ago."""
    pods = sorted(where.logs.glob("*-predictor-*.log*"), key=lambda path: path.stat().st_mtime)
    for path in pods[:-KEPT_POD_LOGS]:
        path.unlink(missing_ok=True)


def home() -> Home:
    """The state folder: SERIN_HOME, or .serin in the repository."""
    return Home(Path(os.environ.get("SERIN_HOME") or ROOT / ".serin").absolute())


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a text file in one step."""
    write_bytes(path, text.encode(), mode)


def write_bytes(path: Path, content: bytes, mode: int = 0o644, *, synced: bool = True) -> None:
    """Replace a file in one step: a reader sees the old content or the new one.

    Args:
        path: The file.
        content: Its new content.
        mode: Its permissions.
        synced: Whether it outlives the machine's fall; on a busy disk that takes seconds.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if synced:
                os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and not error.filename:
            # A write does not say which file it was; the person needs to know which disk.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """Replace a JSON file in one step."""
    write_text(path, json.dumps(value, indent=1) + "\n", mode)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing or unreadable file is an empty one."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def hold(where: Home, patience_seconds: float = 2) -> int:
    """Take the supervisor's lock for the life of this process and write the process id into it.

    Waits a moment, because a verb that asks whether the lock is held touches it too.

    Raises:
        AlreadyRunning: Another supervisor holds it.
    """
    handle = os.open(where.lock, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                raise AlreadyRunning(f"Serin already runs in {where.path}.") from None
            time.sleep(0.02)
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    return handle


def running(where: Home) -> int | None:
    """The supervisor's process id, or None where nobody holds the lock."""
    try:
        handle = os.open(where.lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(handle, 32).decode().strip()
        return int(text) if text.isdigit() else 0  # 0: it is between taking the lock and writing
    else:
        return None
    finally:
        os.close(handle)


def is_starting(where: Home) -> bool:
    """Whether a verb is changing desired.json, or waits for the supervisor that it started."""
    try:
        handle = os.open(where.path / "desired.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


@contextlib.contextmanager
def exclusive(where: Home) -> Iterator[None]:
    """Let one verb at a time change desired.json."""
    handle = os.open(where.path / "desired.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
