"""The testbed beside the checkout: a real one-node Kubernetes, started, filled, and stopped.

Without a testbed there the tests skip. Where it is there, whatever keeps it from working fails
them: a skip would be a green run that checked nothing.
"""

import fcntl
import hashlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlplane.cluster.kubectl import FIRST_STRICT_MINOR, ClusterError, Kubectl
from tests.support.required import ROOT, binary

BED = ROOT.parent / "shared" / "testbed"
INITIALIZER = "docker.io/kserve/storage-initializer:v0.20.0"
_HOME = Path(os.environ.get("TESTBED_HOME", "/var/tmp/serin-testbed"))  # noqa: S108 - as its scripts
_CTR = ("ctr", "--address", str(_HOME / "run" / "containerd.sock"), "-n", "k8s.io")
_CACHE = Path(os.environ.get("TESTBED_CACHE", "/var/tmp/serin-testbed-cache")) / "images"  # noqa: S108  root alone writes there
_DNS = ("10.96.0.10", 53)  # a Service: kube-proxy's rules lead to CoreDNS
# Limits of what hangs, not of what is slow: other work may have the processors.
_UP_SECONDS = 1200
_TIMED_OUT = 124  # as timeout(1)
_BUILD_SECONDS = 2400
_DOWN_SECONDS = 300


def is_there() -> bool:
    """Whether there is a testbed beside the checkout."""
    return (BED / "up").exists()


@contextmanager
def running() -> Iterator[str]:
    """A fresh testbed with what KServe's images need; yields its kubeconfig, stops it after.

    One that is up and was not started here is somebody's: it is left alone, and the tests fail.
    """
    if not is_there():
        pytest.skip("no ../shared/testbed beside the checkout: no cluster to test on")
    binary("kubectl")
    try:
        Kubectl(None).require(FIRST_STRICT_MINOR)
    except ClusterError as error:
        pytest.fail(str(error))
    if os.geteuid() != 0:
        pytest.fail("the testbed beside the checkout needs root")
    with _alone():
        kept = ["--keep"] if _HOME.exists() else []  # somebody's unpacked binaries stay
        try:
            said = _must([BED / "up"], _UP_SECONDS)
            _reachable()
            _must([BED / "lib" / "base-image.sh"], _BUILD_SECONDS)
            context = BED / "images" / "storage-initializer"
            words = _build(INITIALIZER, context, context / "Dockerfile")
            assert not words, f"{INITIALIZER} was not built: {words[-4000:]}"
            yield said.strip().rpartition("=")[2]
        finally:
            _run([BED / "down", *kept], _DOWN_SECONDS)


def build_model(folder: str, model: str, reference: str) -> None:
    """Build a model's image by the Dockerfile in a folder, and hand it to the testbed's node."""
    build(folder, reference, "--build-arg", f"MODEL={model}")


def build(folder: str, reference: str, *options: str) -> None:
    """Build an image by the Dockerfile in a folder, and hand it to the testbed's node."""
    dockerfile = ROOT / folder / "Dockerfile"
    words = _build(reference, ROOT, dockerfile, "-f", str(dockerfile), *options)
    assert not words, words[-4000:]


def _build(reference: str, context: Path, dockerfile: Path, *options: str) -> str:
    """Build an image and hand it to the node; where that fails, what was said.

    What was built of the same Dockerfile, requirements and sources is not built again.
    """
    name = reference.rpartition("/")[2].replace(":", "_")
    kept = _CACHE / f"{name}-{_content(context, dockerfile, *options)}.tar"
    give = (*_CTR, "images", "import", "--index-name", reference, kept)
    if kept.is_file() and not _run(give, _BUILD_SECONDS)[0]:
        return ""
    words = _built(reference, context, *options)
    if not words:
        _CACHE.mkdir(parents=True, exist_ok=True)
        for older in _CACHE.glob(f"{name}-*.tar"):
            older.unlink()
        if _run((*_CTR, "images", "export", kept, reference), _BUILD_SECONDS)[0]:
            kept.unlink(missing_ok=True)
    return words


def _content(context: Path, dockerfile: Path, *options: str) -> str:
    """A hash of all that an image is made of: the Dockerfile, what it copies, its arguments."""
    text = dockerfile.read_text("utf-8")
    found = hashlib.sha256(repr((text, options)).encode())
    for source in re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE):
        path = context / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(str(file.relative_to(context)).encode() + file.read_bytes())
    return found.hexdigest()[:16]


def _built(reference: str, context: Path, *options: str) -> str:
    command: list[str | Path] = [BED / "build-image", reference, context, *options]
    if wheels := os.environ.get("PIP_FIND_LINKS"):  # torch for processors, where there is one
        command += ["--build-arg", f"PIP_FIND_LINKS={wheels}"]
    code, said, complaint = _run(command, _BUILD_SECONDS)
    if code == 0 or _imported(reference, complaint):
        return ""
    return said + complaint


def _imported(reference: str, complaint: str) -> bool:
    """Whether only the index's unpacking failed.

    `ctr images import` gives the archive's index the image's name, then the image itself; the
    index, nameless again, may be collected before it is unpacked. The node unpacks when it starts.
    """
    if "ctr: content digest" not in complaint:
        return False
    known = subprocess.run(
        [*_CTR, "images", "ls", "-q"], capture_output=True, text=True, timeout=30, check=False
    )
    return reference in known.stdout.split()


def alias(reference: str, name: str) -> None:
    """Let an image of the node be known by another name, too."""
    subprocess.run(
        [*_CTR, "images", "tag", "--force", reference, name],
        check=True,
        capture_output=True,
        timeout=30,
    )


@contextmanager
def _alone() -> Iterator[None]:
    """A machine has room for one testbed; the lock's file tells whether a run of tests began."""
    lock = _HOME.with_name(f"{_HOME.name}.lock")
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.fail(f"another run of these tests uses this machine's testbed ({lock} is held)")
        aborted = lock.stat().st_size > 0
        if (_HOME / "pki" / "admin.conf").exists() and not aborted:
            pytest.fail(
                "the testbed is up already, for somebody else. To test on it: KUBECONFIG="
                f"{_HOME}/pki/admin.conf ./serin test tests/cluster; to start it anew: {BED}/down"
            )
        if aborted and _HOME.exists():
            _run([BED / "down"], _DOWN_SECONDS)
        file.write("started by tests/cluster\n")
        file.flush()
        try:
            yield
        finally:  # a run that was killed does not get here
            file.truncate(0)


def _must(command: list[str | Path], seconds: float) -> str:
    """What a script of the testbed prints; its last words are the failure where it fails."""
    code, said, complaint = _run(command, seconds)
    if code:
        words = (complaint.strip() or said.strip())[-600:]
        name = Path(command[0]).name
        pytest.fail(f"the testbed's {name} failed: {words}")
    return said


def _run(command: Sequence[str | Path], seconds: float) -> tuple[int, str, str]:
    """Exit code, output, complaints; past the limit its whole session is killed."""
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
            return _TIMED_OUT, "", f"it did not end within {seconds:.0f} s"
    return process.returncode, said, complaint


def _reachable() -> None:
    """Whether this machine reaches a Service of the cluster, as every test does."""
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(_DNS, timeout=5).close()
        except OSError as error:
            if time.monotonic() > deadline:
                pytest.fail(f"the testbed's network does not work on this machine: {error}")
            time.sleep(1)
        else:
            return
