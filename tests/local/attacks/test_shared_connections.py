"""Through the gateway, where one connection carries many clients.

An honest client asks every 20 ms from a process of its own, all through each attack. Figures are
printed; the bounds are far above what a quiet machine shows, and far below what was met before:
waits of 1 to 10 s, 200 to 700 MiB, broken streams.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Self

import grpc
import pytest

from predictors.runtime.lean_kserve import pb
from tests.support import tiny_lm, trained
from tests.support.attack import (
    FLOWER,
    GZIP,
    INFER,
    SHARED_SECONDS,
    STREAM,
    packed,
    rows,
    say,
    watched,
)
from tests.support.honest import honest
from tests.support.platform import Platform
from tests.support.predictor import wait_until
from tests.support.wire import (
    DATA,
    RESET,
    Attacker,
    body,
    head,
    number,
    raw,
)

pytestmark = pytest.mark.calm


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
        wait_until(lambda: self.whole or self.broken, 60, "the first story")
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


HOST, IRIS = "causal-lm-models.localhost", "iris-models.localhost"
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
    pod = platform.pods("causal-lm")[0]["pid"]
    connections = 0
    with (
        Stories(port) as stories,
        honest(port, "/v2/models/iris/infer", FLOWER) as client,
        watched(pod, client, f"{what}, through Envoy"),
    ):
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
            opened = head(stream, INFER, GZIP, authority=IRIS)
            attacker.send(opened + body(stream, message, ended=True, packed=True))
        attacker.wait(40, 20)
    attacker.close()
    assert attacker.ended == 40


def test_bodies_without_an_end_through_the_gateway(platform: Platform) -> None:
    """S6: 90 messages of 4 MB whose streams do not end; 24 KB of others pass beside them."""
    port = int(platform.url.rpartition(":")[2])
    pod = platform.pods("iris")[0]["pid"]
    message = rows(250_000)
    attackers = [Attacker(port) for _ in range(3)]
    codes: Counter[str] = Counter()
    with (
        honest(port, "/v2/models/iris/infer", FLOWER) as client,
        watched(pod, client, "90 bodies without an end, through Envoy"),
        grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.default_authority", IRIS)]) as channel,
    ):
        for attacker in attackers:
            for stream in range(1, 61, 2):
                opened = head(stream, INFER, authority=IRIS)
                attacker.send(opened + body(stream, message, ended=False), 1)
        call = channel.unary_unary(INFER, None, None)
        for _ in range(10):
            try:
                call(rows(1_500), timeout=10)
                codes["OK"] += 1
            except grpc.RpcError as error:
                codes[f"{error.code().name} {error.details()}"] += 1
    for attacker in attackers:
        attacker.close()
    say(codes)
    assert codes.keys() == {"OK"}
