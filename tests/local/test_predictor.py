"""A predictor's life: what it refuses to load, how it sheds load, how it leaves."""

import gzip
import http.client
import json
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.datatypes import to_wire
from tests.support.predictor import (
    JSON,
    Answer,
    Predictor,
    metric,
    reason,
    running,
    start_refused,
    wait_until,
)
from tests.support.slow_model import HELD, let_go, write_artifact

MODULE = "tests.support.slow_model"


def ask(predictor: Predictor, *seconds: float, **headers: str) -> Answer:
    """Rows that take `seconds` each, as raw FP32 so that NaN can be sent."""
    raw = to_wire(np.array(seconds, np.float32), "FP32")
    parameters = {"binary_data_size": len(raw)}
    shape = [len(seconds)]
    tensor = {"name": "seconds", "datatype": "FP32", "shape": shape, "parameters": parameters}
    header = json.dumps({"inputs": [tensor]}).encode()
    length = {"Inference-Header-Content-Length": str(len(header))}
    return predictor.request("POST", predictor.infer_path, header + raw, length | headers)


def start(artifact: Path, *flags: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Start a slow model that is expected to refuse."""
    return start_refused("slow", MODULE, artifact, *flags, **env)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published slow model."""
    folder = write_artifact(tmp_path_factory.mktemp("slow"))
    (folder / "weights.bin").write_bytes(b"x" * 1000)
    return write_artifact(folder)


@pytest.fixture
def slow(artifact: Path, tmp_path: Path) -> Iterator[Predictor]:
    """A running slow model with a queue of four."""
    with running(
        "slow", artifact, tmp_path / "log", module=MODULE, PREDICTOR_QUEUE_SIZE="4"
    ) as predictor:
        yield predictor


def test_changed_missing_and_foreign_artifacts_are_refused_by_name(
    artifact: Path, tmp_path: Path
) -> None:
    """A flipped byte, a lost file, a lost manifest, a prefix of versions, another model's name."""
    copies = {name: tmp_path / name for name in ("flip", "lost", "bare", "prefix")}
    for folder in copies.values():
        shutil.copytree(artifact, folder)
    (copies["flip"] / "weights.bin").write_bytes(b"x" * 999 + b"y")
    (copies["lost"] / "weights.bin").unlink()
    (copies["bare"] / "MANIFEST.json").unlink()
    shutil.move(copies["prefix"], tmp_path / "all" / "0123456789ab")
    refused = {name: start(folder) for name, folder in copies.items()}
    refused["prefix"] = start(tmp_path / "all")
    refused["name"] = start(artifact, "--model_name=iris")

    assert {done.returncode for done in refused.values()} == {1}
    assert "weights.bin" in reason(refused["flip"])
    assert "sha256" in reason(refused["flip"])
    assert "weights.bin is missing" in reason(refused["lost"])
    assert "MANIFEST.json" in reason(refused["bare"])
    assert "storageUri must end in one version" in reason(refused["prefix"])
    assert "'slow'" in reason(refused["name"])


def test_wrong_golden_answer_is_refused(artifact: Path, tmp_path: Path) -> None:
    """A model that does not answer its golden sample never becomes ready."""
    folder = shutil.copytree(artifact, tmp_path / "golden")
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["golden_sample"]["outputs"][1]["data"] = [2]
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    done = start(folder)

    assert done.returncode == 1
    assert "golden sample: output 'shared' expected [2]" in reason(done)


def test_taken_port_and_bad_settings_are_one_sentence(artifact: Path) -> None:
    """Exit 1 for a port in use, exit 2 for settings, each naming the culprit."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start(artifact, f"--http_port={port}")
    wrong = start(artifact, PREDICTOR_QUEUE_SIZE="0", PREDICTOR_LOG_LEVEL="loud")
    workers = start(artifact, "--workers=0")

    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in reason(done)
    assert (workers.returncode, wrong.returncode) == (2, 2)
    assert "--workers=0: expected 1 or more" in reason(workers)
    assert "PREDICTOR_QUEUE_SIZE" in reason(wrong)
    assert "PREDICTOR_LOG_LEVEL" in reason(wrong)


def test_what_arrives_during_a_call_shares_the_next(slow: Predictor) -> None:
    """While one call runs, waiting requests gather into one batch; a lone one waits for none."""
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, slow, HELD)
        wait_until(lambda: taken(slow) == 1, 60, "the first request under way")
        others = [pool.submit(ask, slow, 0.01) for _ in range(3)]
        wait_until(lambda: in_flight(slow) == 4, 60, "three requests waiting behind it")
        let_go(slow.folder)
        shared = [one.result().json["outputs"][1]["data"] for one in [first, *others]]

    assert shared == [[1], [3], [3], [3]]


def test_one_that_holds_all_the_memory_leaves_small_requests_in(
    artifact: Path, tmp_path: Path
) -> None:
    """What is small is not counted: it waits in the queue beside one that may be alone."""
    limit = {"PREDICTOR_MAX_HELD_BYTES": str(1 << 20)}
    with (
        running("slow", artifact, tmp_path / "log", module=MODULE, **limit) as predictor,
        ThreadPoolExecutor(8) as pool,
    ):
        large = pool.submit(ask, predictor, HELD, *[0.0] * 100_000)
        wait_until(lambda: taken(predictor) == 1, 60, "the large request under way")
        small = pool.submit(ask, predictor, 0.01)
        wait_until(lambda: in_flight(predictor) == 2 or small.done(), 60, "the small one")
        let_go(predictor.folder)
        statuses = [one.result().status for one in (large, small)]

    assert statuses == [200, 200]


def test_one_bad_row_does_not_fail_its_neighbours(slow: Predictor) -> None:
    """In a shared batch the invalid row is a 400, the crashing one a 500, the others 200."""
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, slow, HELD)
        wait_until(lambda: taken(slow) == 1, 60, "the first request under way")
        others = [pool.submit(ask, slow, value) for value in (0.01, float("nan"), -1.0)]
        wait_until(lambda: in_flight(slow) == 4, 60, "three requests waiting behind it")
        let_go(slow.folder)
        statuses = sorted(one.result().status for one in [first, *others])

    assert statuses == [200, 200, 400, 500]


def test_large_request_is_cut_and_does_not_hold_up_small_ones(slow: Predictor) -> None:
    """400 rows run as batches of 64, and a small request gets its turn between them."""
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(ask, slow, *[0.1] * 400)
        wait_until(lambda: in_flight(slow) == 1, 60, "the large request in flight")
        small = ask(slow, 0.1)
        done_first = not large.done()
        answer = large.result()

    assert small.status == 200
    assert done_first
    assert answer.json["outputs"][0]["shape"] == [400]


def test_batch_of_no_rows_never_reaches_the_model(slow: Predictor) -> None:
    """The model would fail on it (the maximum of nothing); the answer is empty outputs."""
    tensor = {"name": "seconds", "datatype": "FP32", "shape": [0], "data": []}
    answer = slow.infer({"inputs": [tensor]})

    assert [output["shape"] for output in answer.json["outputs"]] == [[0], [0]]


def test_past_the_queue_requests_are_refused_at_once(slow: Predictor) -> None:
    """429 with Retry-After over REST and RESOURCE_EXHAUSTED over gRPC, while others wait."""
    with ThreadPoolExecutor(16) as pool:
        first = pool.submit(ask, slow, HELD)
        wait_until(lambda: taken(slow) == 1, 60, "the first request under way")
        waiting = [pool.submit(ask, slow, 0.01) for _ in range(3)]
        wait_until(lambda: in_flight(slow) == 4, 60, "three requests waiting behind it")
        refused = ask(slow, 0.01)
        let_go(slow.folder)
        accepted = [one.result().status for one in [first, *waiting]]

    assert refused.status == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.json["error"]
    assert accepted == [200] * 4
    rejected = metric(slow.metrics(), "predictor_requests_total", outcome="rejected")
    assert rejected == 1


def test_grpc_past_the_queue_is_resource_exhausted(slow: Predictor) -> None:
    """The C core refuses what is over the limit."""
    message = pb.ModelInferRequest(model_name="slow")
    message.inputs.add(name="seconds", datatype="FP32", shape=[1])
    message.raw_input_contents.append(to_wire(np.array([0.01], np.float32), "FP32"))

    def code() -> Any:
        try:
            slow.call("ModelInfer", message)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    with ThreadPoolExecutor(13) as pool:
        first = pool.submit(ask, slow, HELD)
        wait_until(lambda: taken(slow) == 1, 60, "the first request under way")
        asked = [pool.submit(code) for _ in range(12)]
        wait_until(lambda: sum(one.done() for one in asked) == 9, 60, "nine refusals")
        let_go(slow.folder)
        codes = Counter(one.result() for one in asked)
        assert first.result().status == 200

    assert codes == {grpc.StatusCode.OK: 3, grpc.StatusCode.RESOURCE_EXHAUSTED: 9}


def test_expired_deadlines_and_departed_clients_are_not_computed(slow: Predictor) -> None:
    """What waits past its deadline is a 504; what its client left is dropped; both are counted."""
    body = json.dumps(
        {"inputs": [{"name": "seconds", "datatype": "FP32", "shape": [1], "data": [0.01]}]}
    )
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, slow, HELD)
        wait_until(lambda: taken(slow) == 1, 60, "the first request under way")
        late = pool.submit(ask, slow, 0.01, **{"x-request-timeout-ms": "50"})
        wait_until(lambda: in_flight(slow) == 2, 60, "another behind it")
        gone = http.client.HTTPConnection("127.0.0.1", slow.http_port, timeout=20)
        gone.request("POST", slow.infer_path, body, JSON)
        wait_until(lambda: in_flight(slow) == 3, 60, "both in the queue")
        gone.close()
        statuses = [late.result().status]  # while the call before it is still under way
        let_go(slow.folder)
        statuses.append(first.result().status)
    wait_until(lambda: in_flight(slow) == 0, 60, "nothing in flight")
    ask(slow, 0.01)  # behind whatever the worker still had

    assert statuses == [504, 200]
    for outcome, count in (("ok", 2), ("deadline", 1), ("cancelled", 1)):
        assert metric(slow.metrics(), "predictor_requests_total", outcome=outcome) == count
    assert calls(slow) == 2


def calls(predictor: Predictor) -> float:
    """Calls of the model that have ended."""
    return metric(predictor.metrics(), "predictor_infer_duration_seconds_count")


def test_deadline_that_passes_while_the_call_is_under_way_is_answered_then(slow: Predictor) -> None:
    """A 504 by header and by the body's `timeout`, on both ways; what is computed goes on."""
    tensor = {"name": "seconds", "datatype": "FP32", "shape": [1], "data": [HELD]}
    whole = json.dumps({"inputs": [tensor]}).encode()
    timed = json.dumps({"inputs": [tensor], "parameters": {"timeout": 50_000}}).encode()
    header = JSON | {"x-request-timeout-ms": "50"}
    packed = header | {"Content-Encoding": "gzip"}
    asked = [(whole, header), (gzip.compress(whole), packed), (timed, JSON)]
    answers = []
    for count, one in enumerate(asked, 1):
        answers.append(slow.request("POST", slow.infer_path, *one))
        let_go(slow.folder)
        wait_until(lambda: calls(slow) == count, 60, "the call's end")  # noqa: B023  # in this turn

    assert [answer.status for answer in answers] == [504] * 3
    assert all("deadline passed" in answer.json["error"] for answer in answers)
    assert ask(slow, 0.01).status == 200
    assert metric(slow.metrics(), "predictor_requests_total", outcome="deadline") == 3


def test_sigterm_finishes_what_is_in_flight_unready_first(slow: Predictor) -> None:
    """Readiness goes first, the running request is answered, then the process exits 0."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, slow, HELD)
        wait_until(lambda: in_flight(slow) == 1, 60, "the request in flight")
        slow.process.terminate()
        ready = "/v2/models/slow/ready"
        wait_until(lambda: slow.request("GET", ready).status == 503, 60, "unready while draining")
        assert slow.request("GET", "/v2/health/live").status == 200
        let_go(slow.folder)
        assert asked.result().status == 200

    assert slow.process.wait(60) == 0


def test_sigint_ends_a_drain(artifact: Path, tmp_path: Path) -> None:
    """Whoever sends it knows of no proxy: requests that still come do not keep the predictor."""
    log, patient = tmp_path / "log", {"PREDICTOR_DRAIN_SECONDS": "600"}
    with running("slow", artifact, log, module=MODULE, **patient) as slow:

        def keep_asking() -> None:
            while slow.process.poll() is None:
                with suppress(OSError, http.client.HTTPException):
                    ask(slow, 0.0)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(keep_asking)
            try:
                slow.process.terminate()
                ready = "/v2/models/slow/ready"
                wait_until(lambda: slow.request("GET", ready).status == 503, 60, "a drain")
                slow.process.send_signal(signal.SIGINT)
                assert slow.process.wait(60) == 0
            finally:
                slow.process.kill()


def test_every_request_leaves_a_line(slow: Predictor) -> None:
    """One JSON line a request: id, model, version, status, rows, seconds, the proxy's ids."""
    ask(slow, 0.01, **{"x-request-id": "envoy-1"})
    ask(slow, float("nan"))
    slow.stop()
    lines = [line for line in slow.log_lines() if line["event"] == "infer"]

    assert [line["status"] for line in lines] == [200, 400]
    assert lines[0]["x_request_id"] == "envoy-1"
    assert (lines[0]["model"], lines[0]["rows"], lines[0]["outcome"]) == ("slow", 1, "ok")
    assert lines[0]["model_version"] == slow.manifest.version
    assert 0.01 <= lines[0]["duration_seconds"] < 5
    assert "NaN" in lines[1]["error"]


def taken(predictor: Predictor) -> float:
    """Requests that the model's thread has taken from the queue: none joins them any more."""
    return metric(predictor.metrics(), "predictor_queue_duration_seconds_count")


def in_flight(predictor: Predictor) -> float:
    """The gauge that the model is scaled on."""
    return metric(predictor.metrics(), "predictor_requests_in_flight")
