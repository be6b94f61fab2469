"""What strangers did to a served model, again and with its neighbours: nobody else may notice.

An honest client asks every 20 ms from a process of its own, all through each attack. Figures are
printed; the bounds are far above what a quiet machine shows, and far below what was met before:
waits of 1 to 10 s, 200 to 700 MiB, broken streams.
"""

import gzip
import itertools
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
import psutil
import pytest
from PIL import Image

from predictors.runtime.lean_kserve import pb
from tests.support import tiny_lm, trained
from tests.support.honest import Honest, honest
from tests.support.platform import Platform
from tests.support.predictor import JSON, Predictor, running, wait_until
from tests.support.wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    METHOD,
    PING,
    RESET,
    SETTINGS,
    WINDOW,
    Attacker,
    body,
    head,
    raw,
)

pytestmark = pytest.mark.calm

HELD_BYTES = 100 << 20  # what a pod of 512 MiB holds for its clients
GROWN_MIB = 330  # beside what it has when idle: a pod of 512 MiB lives
WORST_SECONDS = 3.0  # for the honest client; a quiet machine shows a thirtieth, a stall was ten
FLOOD_SECONDS = 0.7
SHARED_SECONDS = 2.5
TOP = 8 << 20
INFER, STREAM = METHOD + "ModelInfer", METHOD + "ModelStreamInfer"
FLOWER = {
    "inputs": [{"name": "input-0", "datatype": "FP32", "shape": [1, 4], "data": [5, 3, 1, 0]}]
}


def say(figures: object) -> None:
    """Print figures, for who looks."""
    print(figures)  # noqa: T201


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
    memory = Memory(pid)
    process = psutil.Process(pid)
    client.take()
    processor = sum(process.cpu_times()[:2])
    yield
    processor = sum(process.cpu_times()[:2]) - processor
    time.sleep(0.1)
    answers = client.take()
    worst = max(seconds for _, seconds in answers)
    statuses = {status for status, _ in answers}
    say(
        f"{name}: +{memory.peak()} MiB, {processor:.1f} s CPU, honest {len(answers)} "
        f"worst {1000 * worst:.0f} ms {statuses}"
    )
    assert process.is_running()
    assert process.status() != psutil.STATUS_ZOMBIE
    assert statuses == {200}
    assert memory.peak() < GROWN_MIB
    assert worst < WORST_SECONDS


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A predictor with the budget of its manifest's limit."""
    limit = {"PREDICTOR_MAX_HELD_BYTES": str(HELD_BYTES)}
    log = tmp_path_factory.mktemp("iris") / "log"
    with running("iris", trained.artifact("iris", "--smoke"), log, **limit) as predictor:
        yield predictor


@pytest.fixture(scope="module")
def client(iris: Predictor) -> Iterator[Honest]:
    """Asks iris all the while."""
    with honest(iris.http_port, iris.infer_path, FLOWER) as found:
        yield found


# --- requests that cost more than they weigh ---


def rows(count: int = 500_000) -> bytes:
    """A valid request of equal rows."""
    request = pb.ModelInferRequest(model_name="iris")
    request.inputs.add(name="input-0", datatype="FP32", shape=[count, 4])
    request.raw_input_contents.append(np.ones((count, 4), np.float32).tobytes())
    serialized: bytes = request.SerializeToString()
    return serialized


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def inside(*tags: int, content: bytes) -> bytes:
    """Content as a field of a field, and so on."""
    for tag in reversed(tags):
        content = bytes([tag]) + varint(len(content)) + content
    return content


ROOM = TOP - 64
IRIS = b"\x0a\x04iris"
MESSAGES: dict[str, Callable[[], bytes]] = {
    "even rows": rows,
    "empty inputs": lambda: b"\x2a\x00" * (ROOM // 2),
    "dimensions of a shape": lambda: IRIS + inside(0x2A, 0x1A, content=b"\x01" * ROOM),
    "empty bytes_contents": lambda: IRIS + inside(0x2A, 0x2A, content=b"\x42\x00" * (ROOM // 2)),
    "packed int_contents": lambda: (
        IRIS + inside(0x2A, 0x2A, content=inside(0x12, content=b"\1" * ROOM))
    ),
    "packed bool_contents": lambda: (
        IRIS + inside(0x2A, 0x2A, content=inside(0x0A, content=b"\1" * ROOM))
    ),
    "parameters of an input": lambda: IRIS + inside(0x2A, content=b"\x22\x00" * (ROOM // 2)),
    "parameters of an output": lambda: IRIS + inside(0x32, content=b"\x1a\x00" * (ROOM // 2)),
    "unknown fields": lambda: IRIS + b"\x78\x01" * (ROOM // 2),
    "nested groups": lambda: IRIS + b"\x7b" * ROOM,
}


GZIP = (b"grpc-encoding", b"gzip")


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


@pytest.mark.parametrize("what", MESSAGES)
def test_message_that_costs_more_than_it_weighs(iris: Predictor, client: Honest, what: str) -> None:
    """S1, S2: 20 compressed calls at once are answered or refused, and others are answered."""
    message = packed(MESSAGES[what]())
    attacker = Attacker(iris.grpc_port)
    with watched(iris.process.pid, client, f"20 × {what}"):
        for stream in range(1, 41, 2):
            attacker.send(
                head(stream, INFER, GZIP) + body(stream, message, ended=True, packed=True)
            )
        attacker.wait(20, 20)
    attacker.close()
    assert attacker.ended == 20


def data(text: str, end: str = "") -> bytes:
    """An infer body whose data is `text` again and again."""
    start = '{"inputs":[{"name":"input-0","datatype":"FP32","shape":[1,4],"data":['
    return (start + text * ((ROOM - 256) // len(text)) + end + "]}]}").encode()


BODIES: dict[str, Callable[[], bytes]] = {
    "lists": lambda: data("[],", "[]"),
    "nested": lambda: b"[" * ROOM,
    "numbers": lambda: data("1,", "1"),
    "escapes": lambda: b'{"id":"' + b"\\u0041" * (ROOM // 6 - 10) + b'"}',
    "dimensions": lambda: (
        b'{"inputs":[{"name":"input-0","datatype":"FP32","shape":['
        + b"1," * (ROOM // 2 - 100)
        + b'1],"data":[1]}]}'
    ),
    "keys": lambda: json.dumps({f"k{number}": 1 for number in range(600_000)}).encode(),
    "parameters": lambda: b'{"parameters":' + b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_001,
}


@pytest.mark.parametrize("what", BODIES)
def test_body_that_costs_more_than_it_weighs(iris: Predictor, client: Honest, what: str) -> None:
    """S2 over REST, compressed, 4 at once."""
    content = packed(BODIES[what]())
    statuses: list[int] = []

    def ask() -> None:
        headers = JSON | {"Content-Encoding": "gzip"}
        statuses.append(iris.request("POST", iris.infer_path, content, headers).status)

    with watched(iris.process.pid, client, f"4 × {what}"):
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    say(statuses)
    assert set(statuses) <= {400, 413, 429}


# --- HTTP/2: floods ---


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def streams(first: int = 1) -> Iterator[int]:
    return itertools.count(first, 2)


def repeated(frame: bytes, first: bytes = b"") -> Iterator[bytes]:
    """A frame over and over, 64 KB at a time."""
    return itertools.chain([first], itertools.repeat(frame * max(1, 65_536 // len(frame))))


def in_order(make: Callable[[int], bytes], together: int = 50) -> Iterator[bytes]:
    """A frame or several on each stream, in order."""
    numbers = streams()
    while True:
        yield b"".join(make(next(numbers)) for _ in range(together))


def block(stream: int, content: bytes) -> bytes:
    """A header block of up to four frames."""
    parts = [content[start : start + 16_384] for start in range(0, len(content), 16_384)]
    last = len(parts) - 1
    return b"".join(
        raw(
            CONTINUATION if index else HEADERS,
            (END_HEADERS if index == last else 0) | (0 if index else END_STREAM),
            stream,
            part,
        )
        for index, part in enumerate(parts)
    )


def bomb() -> Iterator[bytes]:
    """HPACK: a field of 4 KB in the table, then thousands of references to it."""
    value = b"\x40\x01a\x7f\x81\x1f" + b"v" * 4_000  # a literal to be indexed
    yield block(1, value)
    yield from in_order_from(3, lambda stream: block(stream, b"\xbe" * 16_000))


def in_order_from(first: int, make: Callable[[int], bytes]) -> Iterator[bytes]:
    return (make(stream) for stream in streams(first))


CLOSED = head(1, INFER) + raw(RESET, 0, 1, number(8))
EIGHT_MIB = gzip.compress(bytes(TOP - 1_000))
FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "WINDOW_UPDATE": lambda: repeated(raw(WINDOW, 0, 0, number(1))),
    "WINDOW_UPDATE of a closed stream": lambda: repeated(raw(WINDOW, 0, 1, number(1)), CLOSED),
    "answers to SETTINGS": lambda: repeated(raw(SETTINGS, 1, 0)),
    "answers to PING": lambda: repeated(raw(PING, 1, 0, bytes(8))),
    "PING": lambda: repeated(raw(PING, 0, 0, bytes(8))),
    "SETTINGS of 2,730 values": lambda: repeated(
        raw(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535) * 2_730)
    ),
    "DATA behind the end": lambda: repeated(
        raw(DATA, 0, 1, b"x"), head(1, INFER, ended=True) + raw(DATA, 0, 1, b"x")
    ),
    "rapid reset": lambda: in_order(lambda n: head(n, INFER) + raw(RESET, 0, n, number(8))),
    "unknown path before its body": lambda: in_order(lambda n: head(n, "/no/such")),
    "unknown path with its body": lambda: in_order(
        lambda n: head(n, "/no/such") + raw(DATA, END_STREAM, n, b"x" * 100)
    ),
    "malformed heads": lambda: in_order(lambda n: head(n, INFER, (b"X", b"y"))),
    "HPACK references": bomb,
    "HPACK empty inserts": lambda: in_order_from(1, lambda n: block(n, b"\x40\x00\x00" * 5_000)),
    "HPACK size updates": lambda: in_order_from(1, lambda n: block(n, b"\x20" * 15_000)),
    "HPACK table churn": lambda: in_order_from(
        1, lambda n: block(n, (b"\x40\x01a\x7f\x81\x0f" + b"v" * 2_048) * 7)
    ),
    "HPACK huffman": lambda: in_order_from(
        1, lambda n: block(n, b"\x00\x01a\xff\xe9\x76" + b"\x07" * 15_200)
    ),
    "heads of 15 KB": lambda: in_order_from(
        1, lambda n: head(n, INFER, *[(b"x%d-%d" % (n, i), b"y" * 400) for i in range(33)])
    ),
    "empty messages": lambda: in_order(lambda n: head(n, INFER) + body(n, b"", ended=True)),
    "one byte a frame": lambda: itertools.chain(
        [head(1, INFER) + raw(DATA, 0, 1, b"\0\0\x70\0\0")], repeated(raw(DATA, 0, 1, b"x"))
    ),
    "padding alone": lambda: repeated(raw(DATA, 8, 1, b"\xff" + bytes(255)), head(1, INFER)),
    "gzip that unpacks to 8 MiB": lambda: in_order_from(
        1,
        lambda n: (
            head(n, INFER, (b"grpc-encoding", b"gzip"))
            + body(n, EIGHT_MIB, ended=True, packed=True)
        ),
    ),
}


@pytest.mark.parametrize("what", FLOODS)
def test_flood_stalls_nobody(iris: Predictor, client: Honest, what: str) -> None:
    """S8: two connections that send as fast as they can."""
    attackers = [Attacker(iris.grpc_port) for _ in range(2)]
    with watched(iris.process.pid, client, what):
        threads = [
            threading.Thread(target=attacker.flood, args=(FLOODS[what](), FLOOD_SECONDS))
            for attacker in attackers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        say(f"{[a.sent for a in attackers]} bytes, cut {[a.cut for a in attackers]}")
        for attacker in attackers:
            attacker.close()


# --- clients that take their time ---


def test_answers_that_nobody_takes_are_bounded(iris: Predictor, client: Honest) -> None:
    """S5: 60 large answers on each of 4 connections without a window."""
    message = rows(60_000)
    attackers = [Attacker(iris.grpc_port, (4, 0)) for _ in range(4)]
    with watched(iris.process.pid, client, "240 answers, no window"):
        for attacker in attackers:
            for stream in range(1, 121, 2):
                attacker.send(head(stream, INFER) + body(stream, message, ended=True), 2)
        time.sleep(1)
    for attacker in attackers:
        attacker.close()


@pytest.mark.parametrize("path", [INFER, STREAM, "/grpc.health.v1.Health/Watch"])
def test_bodies_without_an_end_are_bounded(iris: Predictor, client: Honest, path: str) -> None:
    """S5, S6: 30 messages of 4 MB, whole, whose streams do not end; others' 24 KB still pass."""
    message = rows(250_000)
    attackers = [Attacker(iris.grpc_port) for _ in range(3)]
    with watched(iris.process.pid, client, f"90 bodies without an end {path}"):
        for attacker in attackers:
            for stream in range(1, 61, 2):
                attacker.send(head(stream, path) + body(stream, message, ended=False), 1)
        codes = called(iris, rows(1_500), 10)
    for attacker in attackers:
        attacker.close()
    say(codes)
    assert codes == {"OK"}


def test_connections_that_only_greet_leave_room(iris: Predictor, client: Honest) -> None:
    """S5: 1,200 of them, and a new client is answered."""
    with ExitStack() as opened, watched(iris.process.pid, client, "1,200 connections"):
        for _ in range(1_200):
            attacker = Attacker(iris.grpc_port)
            opened.callback(attacker.close)
        codes = called(iris, rows(10), 10)
    assert codes == {"OK"}


# --- HTTP/1.1 ---

HEAD = "POST /v2/models/iris/infer HTTP/1.1\r\nHost: a\r\n"
ENDLESS: dict[str, tuple[str, str]] = {
    "head": (HEAD, "x: y\r\n" * 1_000),
    "value": (HEAD + "x: ", "y" * 6_000),
    "path": ("GET /", "a" * 6_000),
    "trailers": (HEAD + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "x: y\r\n" * 1_000),
    "chunk extension": (HEAD + "Transfer-Encoding: chunked\r\n\r\n1;", "e" * 6_000),
    "one-byte chunks": (HEAD + "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n" * 1_000),
    "pipelined": ("", "GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n" * 200),
    "empty lines": ("", "\r\n" * 3_000),
}


def send_all(port: int, start: str, more: str, seconds: float) -> int:
    """Send without end or reading; the bytes that were taken."""
    sent = 0
    end = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as plain:
        try:
            plain.sendall(start.encode())
            while time.monotonic() < end and sent < 100 << 20:
                sent += plain.send(more.encode())
        except OSError:
            pass
    return sent


@pytest.mark.parametrize("what", ENDLESS)
def test_request_without_an_end_harms_nobody(iris: Predictor, client: Honest, what: str) -> None:
    """S9: heads, values, paths, trailers, chunks."""
    start, more = ENDLESS[what]
    with watched(iris.process.pid, client, what):
        sent = send_all(iris.http_port, start, more, FLOOD_SECONDS)
    say(f"{sent} bytes")


def test_slow_heads_leave_room(iris: Predictor, client: Honest) -> None:
    """S9: 1,500 connections that begin a head."""
    with ExitStack() as opened, watched(iris.process.pid, client, "1,500 slow heads"):
        for _ in range(1_500):
            plain = socket.create_connection(("127.0.0.1", iris.http_port))
            opened.callback(plain.close)
            plain.send(b"GET /v2 HT")
        assert iris.infer(FLOWER).status == 200


def test_half_asked_scrapes_cost_no_threads(iris: Predictor) -> None:
    """S10: 400 of them; a scrape is answered."""
    process = psutil.Process(iris.process.pid)
    before = process.num_threads()
    with ExitStack() as opened:
        for _ in range(400):
            plain = socket.create_connection(("127.0.0.1", iris.metrics_port))
            opened.callback(plain.close)
            plain.send(b"GET /metr")
        assert "predictor_requests_total" in iris.metrics()
        threads = process.num_threads()
    say(f"threads {before} → {threads}")
    assert threads < before + 20


# --- images ---


def png(width: int, height: int, mode: str = "1") -> bytes:
    out = BytesIO()
    Image.new(mode, (width, height)).save(out, "PNG", optimize=False)
    return out.getvalue()


def deep_png(side: int) -> bytes:
    """RGBA of 16 bits, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    size = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    packer = zlib.compressobj(9)
    line = b"\0" + bytes(side * 8)
    content = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    )


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    out = BytesIO()
    Image.new("L", (2_048, 2_048), 128).save(out, "JPEG", progressive=True)
    jpeg = out.getvalue()
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * count + jpeg[-2:]


IMAGES: dict[str, Callable[[], list[bytes]]] = {
    "a strip": lambda: [png(1, 16_777_216)],
    "100 of 4096×4096": lambda: [png(4_096, 4_096)] * 100,
    "12 of 16 bits RGBA": lambda: [deep_png(4_096)] * 12,
    "one of 16 bits RGBA": lambda: [deep_png(4_096)],
    "1,000 scans": lambda: [scans(1_000)],
    "60 scans, 20 times": lambda: [scans(50)] * 20,
    "strips of 16,384": lambda: [png(16_384, 1_024), png(1_024, 16_384)],
    "3,000 small": lambda: [png(150, 150)] * 3_000,
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A predictor of images."""
    limit = {"PREDICTOR_MAX_HELD_BYTES": str(HELD_BYTES)}
    log = tmp_path_factory.mktemp("digits") / "log"
    with running("mnist-cnn", trained.artifact("mnist-cnn", "--smoke"), log, **limit) as predictor:
        yield predictor


@pytest.mark.parametrize("what", IMAGES)
def test_images_that_cost_more_than_they_weigh(digits: Predictor, what: str) -> None:
    """S7: refused by their heads, or decoded while others are answered."""
    files = IMAGES[what]()
    request = pb.ModelInferRequest(model_name="mnist-cnn")
    request.inputs.add(
        name="image", datatype="BYTES", shape=[len(files)], contents={"bytes_contents": files}
    )
    message = request.SerializeToString()
    document = {"inputs": digits.golden_inputs()}
    with (
        honest(digits.http_port, digits.infer_path, document) as client,
        watched(digits.process.pid, client, f"{what}, {len(message)} bytes"),
    ):
        codes = called(digits, message, 2)
    say(codes)


# --- causal-lm ---


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A language model, tiny."""
    folder = tmp_path_factory.mktemp("lm")
    with running("causal-lm", tiny_lm.write_artifact(folder / "a"), folder / "log") as predictor:
        yield predictor


def prompts(count: int, text: str = "the quick", **parameters: Any) -> dict[str, Any]:
    tensor = {"name": "text_input", "shape": [count], "datatype": "BYTES", "data": [text] * count}
    return {"inputs": [tensor], "parameters": parameters}


@pytest.mark.parametrize("count", [1_500, 64, 250])
def test_many_prompts_of_one_request_lock_nobody_out(lm: Predictor, count: int) -> None:
    """S4: refused, or taken in turns with the requests of others."""
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(lm.infer(prompts(count, max_tokens=100)).status)

    with honest(lm.http_port, lm.infer_path, prompts(1, max_tokens=4)) as client:
        attack = threading.Thread(target=ask)
        with watched(lm.process.pid, client, f"{count} prompts"):
            attack.start()
            attack.join(5)
            time.sleep(1)
        attack.join(30)
    say(statuses)


# --- through the gateway ---


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Envoy in front of iris and the tiny language model."""
    folder = tmp_path_factory.mktemp("attacked")
    platform = Platform(folder / "state")
    platform.publish(trained.brief("iris"))
    platform.publish(tiny_lm.write_artifact(folder / "lm"))
    try:
        platform.serin("up", "iris", "causal-lm")
        yield platform
    finally:
        platform.serin("down")


class Stories:
    """A client of the gateway that streams one answer after the other over gRPC."""

    def __init__(self, port: int) -> None:
        self.whole = 0
        self.broken: list[str] = []
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.whole or self.broken, 20, "the first story")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _tell(self) -> None:
        request = pb.ModelInferRequest(model_name="causal-lm")
        contents = {"bytes_contents": [b"the quick"]}
        request.inputs.add(name="text_input", datatype="BYTES", shape=[1], contents=contents)
        request.parameters["max_tokens"].int64_param = 200
        message = request.SerializeToString()
        options = [("grpc.default_authority", HOST)]
        with grpc.insecure_channel(f"127.0.0.1:{self._port}", options) as channel:
            call = channel.stream_stream(STREAM, None, None)
            while not self._over.is_set():
                try:
                    pieces = list(call(iter([message]), timeout=60))
                except grpc.RpcError as error:
                    self.broken.append(str(error))
                else:
                    assert len(pieces) > 1
                    self.whole += 1


HOST = "causal-lm-models.localhost"
WATCH = "/grpc.health.v1.Health/Watch"
SHARED: dict[str, Callable[[int], bytes]] = {
    "unknown method": lambda n: head(n, "/no/such", authority=HOST),
    "cancelled behind some bytes": lambda n: (
        head(n, INFER, authority=HOST) + raw(DATA, 0, n, b"\0\0\0\1") + raw(RESET, 0, n, number(8))
    ),
    "Watch cancelled": lambda n: (
        head(n, WATCH, authority=HOST) + body(n, b"", ended=True) + raw(RESET, 0, n, number(8))
    ),
    "malformed grpc-timeout": lambda n: head(
        n, INFER, (b"grpc-timeout", b"1234567890S"), authority=HOST
    ),
}


@pytest.mark.parametrize("what", SHARED)
def test_calls_of_one_client_break_no_stream_of_another(platform: Platform, what: str) -> None:
    """S3: 450 calls on one connection after the other, and every story is told to its end."""
    port = int(platform.url.rpartition(":")[2])
    connections = 0
    with Stories(port) as stories:
        told = stories.whole
        end = time.monotonic() + SHARED_SECONDS
        while time.monotonic() < end:
            attacker = Attacker(port)
            for stream in range(1, 901, 2):
                if not attacker.send(SHARED[what](stream), 1):
                    break
            attacker.wait(450, 0.15)
            attacker.close()
            connections += 1
    told = stories.whole - told
    say(f"{what}: {connections} connections, {told} stories, {stories.broken}")
    assert connections > 1
    assert told
    assert stories.broken == []


def test_compressed_rows_through_the_gateway(platform: Platform) -> None:
    """S1: 40 calls of 8 MiB that weigh 40 KB each; the pod lives, others are answered."""
    port = int(platform.url.rpartition(":")[2])
    pod = platform.pods("iris")[0]["pid"]
    attacker = Attacker(port)
    message = packed(rows())
    with honest(port, "/v2/models/iris/infer", FLOWER) as client, watched(pod, client, "40 × rows"):
        for stream in range(1, 81, 2):
            opened = head(stream, INFER, GZIP, authority="iris-models.localhost")
            attacker.send(opened + body(stream, message, ended=True, packed=True))
        attacker.wait(40, 20)
    attacker.close()
    assert attacker.ended == 40


# --- streams of a model that streams ---


def test_answers_of_a_stream_that_nobody_reads_are_bounded(lm: Predictor) -> None:
    """S5's neighbour: small requests, each refused at once, of a client without a window."""
    attacker = Attacker(lm.grpc_port, (4, 0))
    bad = pb.ModelInferRequest(model_name="x", id="y").SerializeToString()
    with honest(lm.http_port, lm.infer_path, prompts(1, max_tokens=4)) as client:
        memory = Memory(lm.process.pid)
        with watched(lm.process.pid, client, "answers that nobody reads"):
            attacker.send(head(1, STREAM))
            attacker.flood(repeated(body(1, bad, ended=False)), 3 * FLOOD_SECONDS)
        say(f"{attacker.sent} bytes")
        assert memory.peak() < 60
    attacker.close()


def test_large_texts_of_streams_are_bounded(lm: Predictor) -> None:
    """S1's neighbour: 90 streams of 7 MB of text each, whole."""
    request = pb.ModelInferRequest(model_name="causal-lm")
    contents = {"bytes_contents": [b"the quick " * 700_000]}
    request.inputs.add(name="text_input", datatype="BYTES", shape=[1], contents=contents)
    request.parameters["truncate_prompt_tokens"].bool_param = True
    message = request.SerializeToString()
    attackers = [Attacker(lm.grpc_port) for _ in range(3)]
    with (
        honest(lm.http_port, lm.infer_path, prompts(1, max_tokens=4)) as client,
        watched(lm.process.pid, client, "90 large texts"),
    ):
        for attacker in attackers:
            for stream in range(1, 61, 2):
                attacker.send(head(stream, STREAM) + body(stream, message, ended=True), 1)
        time.sleep(0.5)
    for attacker in attackers:
        attacker.close()
