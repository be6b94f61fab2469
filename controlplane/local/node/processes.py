"""Child processes that cannot outlive their parent, and free loopback ports for them.

Every child is the leader of its own process group, so that Ctrl-C in a terminal reaches only the
verb and a stop reaches the child's own children too. On Linux the kernel also kills a child when
the process that started it dies; elsewhere `sweep` finds what a killed supervisor left.
"""

import contextlib
import ctypes
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import IO

from controlplane.errors import SerinError

LOG_BYTES = 32 * 2**20
LOOPBACK = "127.0.0.1"
_FIRST_PORT = 10_000  # above those that people know
_PORT_TRIES = 100
_MACOS_OUTGOING = 49_152  # and IANA's
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child:
    """A started process whose output goes to a log file."""

    def __init__(
        self,
        name: str,
        command: Iterable[str],
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        *,
        own_group: bool = True,
    ) -> None:
        self.name = name
        self.log = log
        self.started_at = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.log_start = output.tell()
            self.process = _start(list(command), output, env, cwd, own_group=own_group)

    @property
    def pid(self) -> int:
        """The process id, which is also its group's."""
        return self.process.pid

    def exit_code(self) -> int | None:
        """The exit status (negative: the signal), or None while it runs."""
        return self.process.poll()

    def send(self, number: int) -> None:
        """Signal the whole group; a group that is gone is no error."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def stop(self, grace_seconds: float, number: int = signal.SIGTERM) -> None:
        """Ask the group to end, wait, then end it. Blocks."""
        self.send(number)
        try:
            self.process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the group now and reap the child."""
        self.send(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)

    def log_text(self, limit_bytes: int = 65536) -> str:
        """What this process has written, at most the last `limit_bytes` of it."""
        return tail(self.log, limit_bytes, self.log_start)


def tail(path: Path, limit_bytes: int, since: int = 0) -> str:
    """The end of a file from byte `since` on; empty where there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= size else 0, size - limit_bytes))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def rotate(path: Path, limit_bytes: int = LOG_BYTES) -> None:
    """Keep a log that its process holds open from growing for ever: one older file is kept.

    Copied, then cut to nothing: the process appends, so it goes on at the new end. Lines written
    between the two steps are lost, which a development tool's request log can bear.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > limit_bytes:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)


def rotate_all(folder: Path) -> None:
    """Rotate every log of a folder."""
    for path in folder.glob("*.log"):
        rotate(path)


def free_ports(count: int) -> list[int]:
    """Loopback ports, all different, that nobody listens on now.

    They lie below those that Linux gives to outgoing connections: under load, one of these would
    often take a port before its use. Another listener still may.
    """
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(_bound()) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]


def _bound() -> socket.socket:
    """A socket on a random free port; on any that the kernel picks, where most are taken."""
    for _ in range(_PORT_TRIES):
        probe = socket.socket()
        try:
            probe.bind((LOOPBACK, _FIRST_PORT + secrets.randbelow(_outgoing() - _FIRST_PORT)))
        except OSError:
            probe.close()
        else:
            return probe
    probe = socket.socket()
    probe.bind((LOOPBACK, 0))
    return probe


@cache
def _outgoing() -> int:
    """The first port of outgoing connections."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("utf-8").split()[0])
    except (OSError, ValueError):
        first = _MACOS_OUTGOING
    return max(first, _FIRST_PORT + _PORT_TRIES)


def is_free(port: int) -> bool:
    """Whether a listener on loopback could take this port now.

    Raises:
        SerinError: Ports this low are the administrator's.
    """
    with socket.socket() as probe:
        # Connections of an earlier listener may linger (TIME_WAIT) and are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except PermissionError:
            raise SerinError(f"Port {port} needs root: choose one above 1023.") from None
        except OSError:
            return False
        return True


def wait_until(
    ready: Callable[[], bool], seconds: float, what: str, child: Child | None = None
) -> None:
    """Poll until `ready`, at most so many seconds.

    Raises:
        SerinError: Time is up, or the child it depends on has ended; names what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if child and (code := child.exit_code()) is not None:
            last = child.log_text().strip().rsplit("\n", 1)[-1]
            raise SerinError(f"{child.name} ended (exit status {code}) while starting: {last}")
        if time.monotonic() > deadline:
            raise SerinError(f"Waited {seconds:.0f} s for {what}; see {child.log if child else ''}")
        time.sleep(0.05)


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: one connection is one file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def sweep(pids: Iterable[int], marker: str) -> list[int]:
    """Kill groups that a killed supervisor left: recorded ids whose command line has the marker.

    The marker (the state folder's path) keeps a number that now belongs to someone else safe.
    """
    found = [pid for pid in pids if marker in command_line(pid)]
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started and they started, whatever their groups are.

    It is stopped first: so it starts nothing while its children are looked for.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGSTOP)
    tree = [pid]
    children: dict[int, list[int]] = {}
    for line in _ps("-A", "-o", "pid=,ppid=").splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    for parent in tree:  # grows by what it finds
        tree += children.get(parent, ())
    for one in tree:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGKILL)


def command_line(pid: int) -> str:
    """A process's words; empty where there is none."""
    return _ps("-ww", "-o", "args=", "-p", str(pid))  # whole, however wide the terminal is


def _ps(*options: str) -> str:
    result = subprocess.run(
        ["ps", *options],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return result.stdout


def _start(
    command: list[str],
    output: IO[bytes],
    env: Mapping[str, str],
    cwd: Path | None,
    *,
    own_group: bool,
) -> subprocess.Popen[bytes]:
    parent = os.getpid()

    def die_with_parent() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # the parent died before the line above
                os._exit(1)

    with contextlib.ExitStack() as ends:
        with one_step():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                process_group=0 if own_group else None,
                # Between fork and exec it makes two system calls and takes no lock.
                preexec_fn=die_with_parent if _libc else None,  # noqa: PLW1509  one system call
            )
            ends.callback(process.wait)
            ends.callback(process.kill)
        ends.pop_all()
    return process


@contextlib.contextmanager
def one_step() -> Iterator[None]:
    """A block that Ctrl-C ends after its last line: a process is made, and known, or neither.

    Python drops an exception that is raised in a hook around a fork, and a process whose making
    ends by one is nobody's.
    """
    asked: list[int] = []
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.default_int_handler
        and threading.current_thread() is threading.main_thread()
    ]
    for number in numbers:
        signal.signal(number, lambda given, _: asked.append(given))
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.default_int_handler)
    if asked:
        raise KeyboardInterrupt
