"""gRPC clients that nobody here wrote, on a real predictor: grpcio, its asyncio side, h2load."""

import asyncio
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.datatypes import to_wire
from tests.support.predictor import Predictor, metric, running, wait_until
from tests.support.slow_model import HELD, let_go, write_artifact

MODULE = "tests.support.slow_model"
INFER = "/inference.GRPCInferenceService/ModelInfer"
MAX_BYTES = 64 << 20
Code = grpc.StatusCode


def message(*seconds: float) -> Any:
    """Rows that take `seconds` each."""
    request = pb.ModelInferRequest(model_name="slow")
    request.inputs.add(name="seconds", datatype="FP32", shape=[len(seconds)])
    request.raw_input_contents.append(to_wire(np.array(seconds, np.float32), "FP32"))
    return request


def stub(channel: Any, path: str = INFER) -> Any:
    """A method of a channel, blocking or asyncio."""
    return channel.unary_unary(
        path,
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelInferResponse.FromString,
    )


def in_flight(predictor: Predictor) -> float:
    return metric(predictor.metrics(), "predictor_requests_in_flight")


def count(predictor: Predictor, outcome: str) -> float:
    return metric(predictor.metrics(), "predictor_requests_total", outcome=outcome)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published slow model."""
    return write_artifact(tmp_path_factory.mktemp("slow"))


@pytest.fixture(scope="module")
def slow(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A running slow model that takes large messages."""
    flags = " ".join(f"--grpc_max_{way}_message_length={MAX_BYTES}" for way in ("receive", "send"))
    log = tmp_path_factory.mktemp("log") / "log"
    # Millions of rows, 64 at a time, would be half a minute of the model's own naps.
    whole = {"PREDICTOR_MAX_BATCH_ROWS": "10000000"}
    with running("slow", artifact, log, module=MODULE, flags=flags, **whole) as predictor:
        yield predictor


def test_many_streams_of_few_connections_are_all_answered(slow: Predictor) -> None:
    """1,000 calls at once over two asyncio channels, each with its own answer."""

    async def ask(call: Any, index: int) -> bool:
        answer = await call(message(*[0.0] * (index % 5)), timeout=30)
        return list(answer.outputs[0].shape) == [index % 5]

    async def scenario() -> None:
        channels = [
            grpc.aio.insecure_channel(
                f"127.0.0.1:{slow.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)]
            )
            for _ in range(2)
        ]
        calls = [stub(channel) for channel in channels]
        for start in range(0, 1_000, 200):  # the queue takes 256
            asked = [ask(calls[index % 2], index) for index in range(start, start + 200)]
            assert all(await asyncio.gather(*asked))
        for channel in channels:
            await channel.close(None)

    asyncio.run(scenario())


def test_tens_of_megabytes_both_ways(slow: Predictor) -> None:
    """Far beyond every window, plain and compressed, to the last bit."""
    rows = 6_000_000  # 24 MB in; 24 and 48 MB out, of which the first is asked for
    request = message()
    digits = np.random.default_rng(0).integers(0, 100, rows)  # evener data may not be compressed
    values = (digits * 1e-6).astype(np.float32)
    request.inputs[0].shape[0] = rows
    request.raw_input_contents[0] = to_wire(values, "FP32")
    request.outputs.add(name="seconds")
    options = [("grpc.max_receive_message_length", MAX_BYTES)]
    with grpc.insecure_channel(f"127.0.0.1:{slow.grpc_port}", options) as channel:
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            answer = stub(channel)(request, timeout=60, compression=compression)

            assert answer.raw_output_contents[0] == values.tobytes()


def test_deadline_and_departure_leave_the_queue_uncomputed(slow: Predictor) -> None:
    """Neither what waited too long nor what was cancelled; both are counted."""
    before = {name: count(slow, name) for name in ("deadline", "cancelled")}
    batches = "predictor_infer_duration_seconds_count"
    with slow.channel() as channel, ThreadPoolExecutor(1) as pool:
        first = pool.submit(stub(channel), message(HELD), timeout=60)
        wait_until(lambda: in_flight(slow) == 1, 60, "the first call in flight")
        computed = metric(slow.metrics(), batches)
        gone = stub(channel).future(message(0.01), timeout=20)
        wait_until(lambda: in_flight(slow) == 2, 60, "a call waiting behind it")
        gone.cancel()
        assert code_of(channel, 2.0) is Code.DEADLINE_EXCEEDED
        let_go(slow.folder)
        assert first.result().outputs
    wait_until(lambda: in_flight(slow) == 0, 60, "nothing in flight")
    with slow.channel() as channel:
        stub(channel)(message(0.01), timeout=20)  # behind whatever the worker still had

    # A client that sees its own deadline pass may cancel before the server has looked.
    dropped = {name: count(slow, name) - was for name, was in before.items()}
    assert sum(dropped.values()) == 2
    assert dropped["cancelled"] >= 1
    assert metric(slow.metrics(), batches) - computed <= 2


def code_of(channel: grpc.Channel, timeout: float) -> Any:
    """The status that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        stub(channel)(message(0.01), timeout=timeout)
    error: Any = caught.value
    return error.code()


def test_metadata_is_taken_over_and_ids_come_back(slow: Predictor) -> None:
    """x-request-id and traceparent in the answer and the log; binary metadata does no harm."""
    ids = [("x-request-id", "r-77"), ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")]
    with slow.channel() as channel:
        _, call = stub(channel).with_call(
            message(0.0), timeout=20, metadata=[*ids, ("some-bin", b"\x00\xff"), ("x", "y")]
        )

    assert set(ids) <= {(name, value) for name, value in call.initial_metadata()}
    wait_until(
        lambda: any(line.get("x_request_id") == "r-77" for line in slow.log_lines()),
        60,
        "the request's log line",
    )


def test_health_service_answers_and_watches(slow: Predictor) -> None:
    """grpc.health.v1: SERVING for the server and the model, NOT_FOUND for others, a watch."""
    path = "/grpc.health.v1.Health/"
    with slow.channel() as channel:
        check = channel.unary_unary(f"{path}Check", None, None)
        watching = channel.unary_stream(f"{path}Watch", None, None)
        watch, other = (iter(watching(name, timeout=20)) for name in (b"", b"\x0a\x01x"))

        assert check(b"", timeout=20) == check(b"\x0a\x04slow", timeout=20) == b"\x08\x01"
        assert next(watch) == b"\x08\x01"
        assert next(other) == b"\x08\x03"
        with pytest.raises(grpc.RpcError) as caught:
            check(b"\x0a\x01x", timeout=20)
    error: Any = caught.value
    assert error.code() is Code.NOT_FOUND


def test_past_the_queue_calls_are_refused_and_counted(artifact: Path, tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED at once over one connection, and `rejected` in the metrics."""
    env = {"PREDICTOR_QUEUE_SIZE": "4"}
    with (
        running("slow", artifact, tmp_path / "log", module=MODULE, **env) as small,
        small.channel() as channel,
    ):
        asked = [stub(channel).future(message(1.0), timeout=20) for _ in range(20)]
        codes = Counter(one.code() for one in asked)

        assert set(codes) == {Code.OK, Code.RESOURCE_EXHAUSTED}
        assert codes[Code.OK] >= 4
        assert count(small, "rejected") == codes[Code.RESOURCE_EXHAUSTED]


def test_sigterm_loses_no_call(artifact: Path, tmp_path: Path) -> None:
    """Clients that ask on are answered, or told UNAVAILABLE before anything was computed."""
    codes: Counter[Any] = Counter()
    with running("slow", artifact, tmp_path / "log", module=MODULE) as leaving:
        stop = threading.Event()

        def ask_on() -> None:
            with leaving.channel() as channel:
                while not stop.is_set():
                    call = stub(channel).future(message(0.01), timeout=20)
                    codes[call.code()] += 1
                    if call.code() is not Code.OK:
                        return

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask_on) for _ in range(4)]
            wait_until(lambda: codes[Code.OK] > 20, 60, "calls being answered")
            assert leaving.stop() == 0
            stop.set()
            for one in asking:
                one.result()

    assert set(codes) <= {Code.OK, Code.UNAVAILABLE}
    assert codes[Code.UNAVAILABLE] <= 4
    lines = [line for line in leaving.log_lines() if line["event"] == "infer"]
    assert len(lines) == codes[Code.OK]  # what was computed was answered


def test_curl_learns_what_the_port_is_for(slow: Predictor) -> None:
    """HTTP/1.1 to the gRPC port is a 505 with a sentence."""
    answer = slow.request("GET", "/", port=slow.grpc_port)

    assert answer.status == 505
    assert b"REST is on the other" in answer.body


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not installed")
def test_h2load_has_every_call_answered(slow: Predictor, tmp_path: Path) -> None:
    """nghttp2's client, 32 streams on each of 4 connections."""
    body = message().SerializeToString()
    (tmp_path / "body").write_bytes(b"\0" + len(body).to_bytes(4) + body)
    command = [
        *("h2load", "-t1", "-c4", "-m32", "-n2000", "-d", str(tmp_path / "body")),
        *("-H", "content-type: application/grpc", "-H", "te: trailers"),
        f"http://127.0.0.1:{slow.grpc_port}{INFER}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout
