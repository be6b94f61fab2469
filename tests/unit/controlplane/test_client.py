"""What `down` does about a supervisor that does not end by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane import statefolder
from controlplane.errors import SerinError
from controlplane.local import client
from controlplane.statefolder import Home

HOLDER = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(handle, fcntl.LOCK_EX)
os.write(handle, str(os.getpid()).encode())
print(flush=True)
time.sleep(60)
"""


def holder(home: Home, *words: str) -> "subprocess.Popen[bytes]":
    """A process that holds the lock and does not listen."""
    home.prepare()
    command = [sys.executable, "-c", HOLDER, str(home.lock), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        said.readline()
    return process


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STOP_SECONDS", 0.3)


def test_a_supervisor_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    """Only when nobody holds the lock any more does the sentence say that it was killed."""
    home = Home(tmp_path)
    process = holder(home, "controlplane.local")

    with pytest.raises(SerinError, match="was killed"):
        client.down(home)

    assert process.wait(5) == -9
    assert statefolder.running(home) is None
    assert client.down(home) is False


def test_what_is_being_started_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that holds no lock yet is waited for, and then ended as any other."""
    home = Home(tmp_path)
    started: list[subprocess.Popen[bytes]] = []

    def start(seconds: float) -> None:
        if not started:
            started.append(holder(home, "controlplane.local"))

    with monkeypatch.context() as patch, statefolder.exclusive(home):
        patch.setattr("controlplane.local.client.time.sleep", start)
        with pytest.raises(SerinError, match="was killed"):
            client.down(home)

    assert started[0].wait(5) == -9


def test_somebody_elses_process_is_not_killed(tmp_path: Path) -> None:
    """What holds the lock and is no supervisor is named, and left alone."""
    home = Home(tmp_path)
    process = holder(home)

    with pytest.raises(SerinError, match=f"process {process.pid}, which holds"):
        client.down(home)

    assert process.poll() is None
    process.kill()
    process.wait()


def test_a_slow_start_is_explained_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes a minute: that is said, and the supervisor's word still counts."""
    read, write = os.pipe()
    said: list[str] = []

    class Screen:
        """Where the sentence appears; only then the supervisor is there."""

        def write(self, text: str) -> None:
            said.append(text)
            os.write(write, b"ok\n")

    monkeypatch.setattr(client, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", Screen())
    with subprocess.Popen(["true"]) as process:
        word = client._word(read, process, Path("supervisor.log"))
    os.close(read)
    os.close(write)

    assert word == "ok"
    assert said == ["Still starting: this machine is busy. Ctrl-C ends it.\n"]


def test_a_verb_starts_without_what_the_supervisor_is_made_of() -> None:
    """`serin status` is asked often: validation, Envoy's messages and a REPL are 0.3 s a time."""
    heavy = "{'cel', 'cel.cli', 'jsonschema', 'google.protobuf', 'httpx', 'numpy', 'asyncio'}"
    probe = f"import sys, controlplane.local.client; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "[]\n"
