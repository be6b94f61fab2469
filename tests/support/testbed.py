"""The testbed beside the checkout: a real one-node Kubernetes, started, filled, and stopped.

Where a machine cannot run it (no root, no network namespaces, no package mirror), its own start
fails: that skips the tests with its words. What is built from this repository may not fail.
"""

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlplane.cluster.kubectl import FIRST_STRICT_MINOR, ClusterError, Kubectl
from tests.support.required import ROOT, binary

BED = ROOT.parent / "shared" / "testbed"
INITIALIZER = "docker.io/kserve/storage-initializer:v0.20.0"
_HOME = Path(os.environ.get("TESTBED_HOME", "/var/tmp/serin-testbed"))  # noqa: S108 - as its scripts
_DNS = ("10.96.0.10", 53)  # a Service: kube-proxy's rules lead to CoreDNS
_UP_SECONDS = 420
_BUILD_SECONDS = 600


@contextmanager
def running() -> Iterator[str]:
    """A fresh testbed with what KServe's images need; yields its kubeconfig, stops it after."""
    binary("kubectl")
    try:
        Kubectl(None).require(FIRST_STRICT_MINOR)
    except ClusterError as error:
        pytest.skip(str(error))
    if not (BED / "up").exists():
        pytest.skip("no ../shared/testbed beside the checkout: no cluster to test on")
    if os.geteuid() != 0:
        pytest.skip("the testbed needs root")
    with _alone():
        _down()  # what an aborted run left
        try:
            said = _or_skip([BED / "up"], _UP_SECONDS)
            _reachable()
            _or_skip([BED / "lib" / "base-image.sh"], _BUILD_SECONDS)
            image: list[str | Path] = [
                BED / "build-image",
                INITIALIZER,
                BED / "images" / "storage-initializer",
            ]
            _or_skip(image, _BUILD_SECONDS)
            yield said.strip().rpartition("=")[2]
        finally:
            _down()


def build(reference: str, *options: str) -> None:
    """Build an image of this repository and hand it to the testbed's node."""
    command = ["nice", "-n", "5", str(BED / "build-image"), reference, str(ROOT), *options]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@contextmanager
def _alone() -> Iterator[None]:
    """A machine has room for one testbed."""
    with _HOME.with_name(f"{_HOME.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.skip("another run of these tests uses this machine's testbed")
        yield


def _down() -> None:
    """All of it: an image store that a crash left inconsistent would spoil every later run."""
    if _HOME.exists():
        subprocess.run([BED / "down"], capture_output=True, timeout=120, check=False)


def _or_skip(command: list[str | Path], seconds: float) -> str:
    """What a script of the testbed prints; a skip with its last words where it fails."""
    name = Path(command[0]).name
    with subprocess.Popen(
        ["nice", "-n", "5", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, complaint = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.skip(f"the testbed's {name} did not end within {seconds:.0f} s on this machine")
    if process.returncode:
        words = (complaint.strip() or said.strip())[-600:]
        pytest.skip(f"the testbed cannot run on this machine, its {name} failed: {words}")
    return said


def _reachable() -> None:
    """Whether this machine reaches a Service of the cluster, as every test does."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(_DNS, timeout=5).close()
        except OSError as error:
            if time.monotonic() > deadline:
                pytest.skip(f"the testbed's network does not work on this machine: {error}")
            time.sleep(1)
        else:
            return
