"""Requests that cost far more than they weigh: what memory and honest clients see of them.

Each attack is within every limit of a single request. `PEAK_MIB` is what its memory may grow by;
before there was a budget it grew by several times that, or was killed at its limit of 512 MiB.
"""

import gzip
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from predictors.runtime.lean_kserve import pb
from tests.support import trained
from tests.support.attack import Memory
from tests.support.predictor import JSON, Predictor, running

HELD_BYTES = 100 << 20  # what a pod of 512 MiB holds for its clients
PEAK_MIB = 330  # what it has beside what it takes when idle
FLOWER = {
    "inputs": [{"name": "input-0", "datatype": "FP32", "shape": [1, 4], "data": [5, 3, 1, 0]}]
}
ROWS = 500_000  # 8 MB of FP32, unpacked
METHOD = "/inference.GRPCInferenceService/ModelInfer"
TOP = 8 << 20


@pytest.fixture
def iris(tmp_path: Path) -> Iterator[Predictor]:
    """A predictor of its own for each attack: memory that was once taken stays taken."""
    artifact = trained.artifact("iris", "--smoke")
    limit = {"PREDICTOR_MAX_HELD_BYTES": str(HELD_BYTES)}
    with running("iris", artifact, tmp_path / "log", **limit) as predictor:
        yield predictor


@contextmanager
def honest(predictor: Predictor) -> Iterator[list[int]]:
    """A client that asks for one flower after the other; the statuses of its answers."""
    statuses: list[int] = []
    over = threading.Event()
    client = http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=30)

    def ask() -> None:
        while not over.is_set():
            client.request("POST", predictor.infer_path, json.dumps(FLOWER), JSON)
            answer = client.getresponse()
            answer.read()
            statuses.append(answer.status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()
        client.close()


def calls(predictor: Predictor, message: bytes, count: int, *, packed: bool = True) -> set[str]:
    """So many calls at once, compressed as gRPC's own clients do it; the codes of their ends."""
    compression = grpc.Compression.Gzip if packed else grpc.Compression.NoCompression
    options = [("grpc.max_receive_message_length", 64 << 20)]
    with grpc.insecure_channel(f"127.0.0.1:{predictor.grpc_port}", options) as channel:
        call = channel.unary_unary(METHOD, None, None)
        running_calls = [call.future(message, 60, compression=compression) for _ in range(count)]
        return {one.code().name for one in running_calls}


def even_rows() -> bytes:
    """A valid request of equal rows, of which gzip leaves next to nothing."""
    request = pb.ModelInferRequest(model_name="iris")
    request.inputs.add(name="input-0", datatype="FP32", shape=[ROWS, 4])
    request.raw_input_contents.append(np.ones((ROWS, 4), np.float32).tobytes())
    serialized: bytes = request.SerializeToString()
    return serialized


def varied_rows() -> bytes:
    """The same size and as valid, of numbers that gzip leaves a thirtieth of."""
    request = pb.ModelInferRequest(model_name="iris")
    request.inputs.add(name="input-0", datatype="FP32", shape=[ROWS, 4])
    numbers = np.random.default_rng(0).integers(0, 8, (ROWS // 16, 4)).astype(np.float32)
    request.raw_input_contents.append(np.repeat(numbers, 16, axis=0).tobytes())
    serialized: bytes = request.SerializeToString()
    return serialized


REFUSED = {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
CALLS: dict[str, tuple[Callable[[], bytes], int, bool]] = {
    "40 compressed calls of even rows": (even_rows, 40, True),
    "40 compressed calls of varied rows": (varied_rows, 40, True),
    "40 plain calls of varied rows": (varied_rows, 40, False),
    "2 calls of empty inputs": (lambda: b"\x2a\x00" * (TOP // 2 - 10), 2, True),
    "2 plain calls of empty inputs": (lambda: b"\x2a\x00" * (TOP // 2 - 10), 2, False),
    "2 calls of empty outputs": (lambda: b"\x32\x00" * (TOP // 2 - 10), 2, True),
    "2 calls of empty parameters": (lambda: b"\x22\x00" * (TOP // 2 - 10), 2, False),
    "2 calls of empty contents": (lambda: b"\x3a\x00" * (TOP // 2 - 10), 2, False),
    "2 calls of parameters in an input": (
        lambda: b"\x2a\xf0\xff\xff\x03" + b"\x22\x00" * ((0x7FFFF0) // 2),
        2,
        False,
    ),
}


@pytest.mark.parametrize("attack", CALLS)
def test_calls_that_unpack_to_much_are_bounded(iris: Predictor, attack: str) -> None:
    """Memory grows by less than PEAK_MIB, nobody else is refused, and the process lives."""
    make, count, packed = CALLS[attack]
    message = make()
    memory = Memory(iris.process.pid)

    with honest(iris) as statuses:
        codes = calls(iris, message, count, packed=packed)
    grown = memory.peak()

    print(f"{attack}: +{grown} MiB, {codes}")  # noqa: T201 - the figure, for who looks
    assert iris.process.poll() is None
    assert codes <= REFUSED | {"OK"}
    assert codes & REFUSED
    assert set(statuses) == {200}
    assert grown < PEAK_MIB


def data(text: str, end: str = "") -> bytes:
    """An infer body whose data is `text` again and again."""
    head = '{"inputs":[{"name":"input-0","datatype":"FP32","shape":[1,4],"data":['
    room = TOP - len(head) - 20
    return (head + text * (room // len(text)) + end + "]}]}").encode()


def keys(count: int) -> bytes:
    """A JSON object of so many members."""
    return json.dumps({f"k{number}": 1 for number in range(count)}).encode()


BODIES: dict[str, Callable[[], bytes]] = {
    "lists": lambda: data("[],", "[]"),
    "objects": lambda: data("{},", "{}"),
    "strings": lambda: data('"a",', '""'),
    "nested lists": lambda: data("[[[]]],", "[]"),
    "keys": lambda: keys(700_000),
}


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("attack", BODIES)
def test_bodies_of_many_objects_are_not_parsed(iris: Predictor, attack: str, encoding: str) -> None:
    """A 4xx before a parser makes an object of every two bytes; nobody else is refused."""
    body = BODIES[attack]()
    if encoding == "gzip":
        body = gzip.compress(body)
    memory = Memory(iris.process.pid)

    with honest(iris) as statuses:
        answers = [
            iris.request("POST", iris.infer_path, body, JSON | {"Content-Encoding": encoding})
            for _ in range(2)
        ]
    grown = memory.peak()

    print(f"{attack} {encoding}: +{grown} MiB, {answers[0].json}")  # noqa: T201 - the figure
    assert {answer.status for answer in answers} <= {400, 413}
    assert set(statuses) == {200}
    assert grown < PEAK_MIB // 3


def test_one_silent_client_leaves_room_for_others(tmp_path: Path) -> None:
    """A client that never ends its bodies is refused at its share; another is answered."""
    artifact = trained.artifact("iris", "--smoke")
    limit = {"PREDICTOR_MAX_HELD_BYTES": str(8 << 20)}
    with running("iris", artifact, tmp_path / "log", **limit) as iris, socket.socket() as silent:
        silent.connect(("127.0.0.1", iris.http_port))
        head = f"POST {iris.infer_path} HTTP/1.1\r\nHost: a\r\nContent-Length: {TOP}\r\n\r\n"
        silent.sendall(head.encode() + b" " * (3 << 20))  # and not a byte more
        codes = calls(iris, small_rows(), 10)

    assert codes == {"OK"}


def small_rows() -> bytes:
    """A request of 24 KB."""
    request = pb.ModelInferRequest(model_name="iris")
    request.inputs.add(name="input-0", datatype="FP32", shape=[1500, 4])
    request.raw_input_contents.append(np.ones((1500, 4), np.float32).tobytes())
    serialized: bytes = request.SerializeToString()
    return serialized
