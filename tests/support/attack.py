"""What the attacks share: bounds, the memory of a process, and an honest client beside them."""

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from predictors.runtime.lean_kserve import pb
from tests.support import attack_figures as figures
from tests.support.honest import LIMIT_SECONDS, Honest
from tests.support.predictor import Predictor
from tests.support.wire import (
    METHOD,
)

HELD_BYTES = 100 << 20  # what a pod of 512 MiB holds for its clients
GROWN_MIB = 330  # beside what it has when idle: a pod of 512 MiB lives
WORST_SECONDS = 3.0  # for the honest client; a quiet machine shows a thirtieth, a stall was ten
FLOOD_SECONDS = 0.7
SHARED_SECONDS = 2.5
TOP = 8 << 20
GZIP = (b"grpc-encoding", b"gzip")
INFER, STREAM = METHOD + "ModelInfer", METHOD + "ModelStreamInfer"
FLOWER = {
    "inputs": [{"name": "input-0", "datatype": "FP32", "shape": [1, 4], "data": [5, 3, 1, 0]}]
}


def say(figures: object) -> None:
    """Print figures, for who looks."""
    print(figures)  # noqa: T201  figures are for who runs it with -s


class Memory:
    """The most that a process had since the last look, beside its base, in MiB."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        self.base = self._read("VmRSS")
        self.clear()

    def clear(self) -> None:
        (self._proc / "clear_refs").write_text("5")

    def peak(self) -> int:
        return self._read("VmHWM") - self.base

    def _read(self, name: str) -> int:
        status = (self._proc / "status").read_text()
        return int(status.split(f"{name}:")[1].split()[0]) // 1024


@contextmanager
def watched(pid: int, client: Honest, name: str) -> Iterator[None]:
    """Hold an attack to what others and the memory may see of it."""
    client.take()
    if figures.PATH:
        time.sleep(figures.QUIET_SECONDS)
    quiet = client.take()
    memory = Memory(pid)
    process = psutil.Process(pid)
    processor = sum(process.cpu_times()[:2])
    yield
    processor = sum(process.cpu_times()[:2]) - processor
    time.sleep(0.1)
    answers = client.take()
    end = time.monotonic() + LIMIT_SECONDS
    while not answers and time.monotonic() < end:  # who was held up is answered in the end
        time.sleep(0.1)
        answers = client.take()
    worst = max(seconds for _, seconds in answers)
    statuses = {status for status, _ in answers}
    say(
        f"{name}: +{memory.peak()} MiB, {processor:.1f} s CPU, honest {len(answers)} "
        f"worst {1000 * worst:.0f} ms {statuses}"
    )
    figures.add(name, figures.Round(quiet, answers, memory.base, memory.peak()))
    assert process.is_running()
    assert process.status() != psutil.STATUS_ZOMBIE
    assert statuses == {200}
    assert memory.peak() < GROWN_MIB
    assert worst < WORST_SECONDS


def rows(count: int = 500_000) -> bytes:
    """A valid request of equal rows."""
    request = pb.ModelInferRequest(model_name="iris")
    request.inputs.add(name="input-0", datatype="FP32", shape=[count, 4])
    request.raw_input_contents.append(np.ones((count, 4), np.float32).tobytes())
    serialized: bytes = request.SerializeToString()
    return serialized


def packed(message: bytes) -> bytes:
    """A gzip file with a name so long that it is not refused for how even its content is."""
    found = gzip.compress(message)
    return found[:3] + b"\x08" + found[4:10] + b"n" * (len(message) // 240) + b"\0" + found[10:]


def called(predictor: Predictor, message: bytes, count: int) -> set[str]:
    """So many calls at once; the codes of their ends."""
    with predictor.channel() as channel:
        call = channel.unary_unary(INFER, None, None)
        futures = [call.future(message, 60) for _ in range(count)]
        return {future.code().name for future in futures}
