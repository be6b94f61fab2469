"""A full queue: who is refused, how, and what is left of it in log and metrics."""

import array
import fcntl
import http.client
import json
import os
import signal
import socket
import termios
from collections import Counter
from pathlib import Path

import psutil
import pytest

from predictors.runtime.lean_kserve import pb
from tests.support.platform import wait_for
from tests.support.predictor import JSON, Predictor, metric, running
from tests.support.slow_model import write_artifact

MODULE = "tests.support.slow_model"
QUEUE = 4
CLIENTS = 12
ROWS = 2000  # too many for the event loop
PADDING = " " * 100_000  # a refused body is thrown away as it comes, not kept


def body(padding: str = "") -> str:
    """One row that takes a hundredth of a second."""
    tensor = {"name": "seconds", "datatype": "FP32", "shape": [1], "data": [0.01]}
    return json.dumps({"inputs": [tensor]}) + padding


def clients_of(predictor: Predictor, count: int) -> list[http.client.HTTPConnection]:
    """Clients that connect with their first request."""
    port = predictor.http_port
    return [http.client.HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(count)]


@pytest.mark.parametrize("golden_seconds", [0.0, 0.005], ids=["inline", "queued"])
def test_of_what_comes_at_once_a_queue_full_is_answered(
    tmp_path: Path, golden_seconds: float
) -> None:
    """Twelve at once to a queue of four: four answers, eight 429s, counted and told together."""
    artifact = write_artifact(tmp_path / "artifact", golden_seconds)
    with running(
        "slow", artifact, tmp_path / "log", module=MODULE, PREDICTOR_QUEUE_SIZE=str(QUEUE)
    ) as predictor:
        clients = clients_of(predictor, CLIENTS)
        for client in clients:  # accepted now: only their requests come at once
            client.request("GET", "/v2/health/live")
            client.getresponse().read()
        all_over(predictor)
        os.kill(predictor.process.pid, signal.SIGSTOP)
        try:
            for number, client in enumerate(clients):
                padding = PADDING if number == CLIENTS - 1 else ""
                client.request("POST", predictor.infer_path, body(padding), JSON)
            # The kernel may take a while to hand over what was sent, and not in this order.
            wait_for(lambda: not any(map(unsent, clients[:-1])), 60, "the requests to come")
            wait_for(lambda: unsent(clients[-1]) < len(PADDING), 60, "the padded one's head")
        finally:
            os.kill(predictor.process.pid, signal.SIGCONT)
        answers = [client.getresponse() for client in clients]
        texts = [answer.read() for answer in answers]
        counted = {
            outcome: metric(predictor.metrics(), "predictor_requests_total", outcome=outcome)
            for outcome in ("ok", "rejected")
        }
        again = []
        for client in clients:  # a refusal leaves the connection as good as an answer does
            client.request("POST", predictor.infer_path, body(), JSON)
            answer = client.getresponse()
            answer.read()
            again.append(answer.status)
            client.close()
        predictor.stop()

    assert Counter(answer.status for answer in answers) == {200: QUEUE, 429: CLIENTS - QUEUE}
    refused = [one for one in zip(answers, texts, strict=True) if one[0].status == 429]
    assert {answer.getheader("retry-after") for answer, _ in refused} == {"1"}
    assert {json.loads(text)["error"] for _, text in refused} == {
        "model 'slow': its queue of 4 requests is full"
    }
    assert counted == {"ok": QUEUE, "rejected": CLIENTS - QUEUE}
    assert again == [200] * CLIENTS
    lines = predictor.log_lines()
    told = [line for line in lines if line["event"] == "queue full"]
    assert {(line["level"], line["outcome"]) for line in told} == {("WARNING", "rejected")}
    assert sum(line["requests"] for line in told) == CLIENTS - QUEUE
    assert len(told) <= 2  # the log's thread may write amid the refusals, and the rest at the end
    assert {line["status"] for line in lines if line["event"] == "infer"} == {200}


def unsent(client: http.client.HTTPConnection) -> int:
    """Bytes of a client's that the server's kernel does not have yet."""
    count = array.array("i", [0])
    assert client.sock is not None
    fcntl.ioctl(client.sock.fileno(), termios.TIOCOUTQ, count)
    return count[0]


def all_over(predictor: Predictor) -> None:
    """Wait until the server has forgotten every request that was answered."""
    with socket.create_connection(("127.0.0.1", predictor.http_port), 20) as garbage:
        garbage.sendall(b"no HTTP\r\n\r\n")  # refused without a task, after all others ended
        assert b" 400 " in garbage.recv(100)


def test_a_request_handed_to_the_worker_fills_the_queue_once(tmp_path: Path) -> None:
    """Seventy at once to a queue of seventy, each too long for the event loop: seventy answers."""
    rows = {"name": "seconds", "datatype": "FP32", "shape": [ROWS], "data": [0.0] * ROWS}
    text = json.dumps({"inputs": [rows]})
    many = 70  # a turn hands over after 64: the others must not meet those twice
    artifact = write_artifact(tmp_path / "artifact", 0.0)
    with running(
        "slow", artifact, tmp_path / "log", module=MODULE, PREDICTOR_QUEUE_SIZE=str(many)
    ) as predictor:
        clients = clients_of(predictor, many)
        for client in clients:  # one by one: a turn that handed over leaves nothing behind
            client.request("POST", predictor.infer_path, text, JSON)
            client.getresponse().read()
        all_over(predictor)
        os.kill(predictor.process.pid, signal.SIGSTOP)
        try:
            for client in clients:
                client.request("POST", predictor.infer_path, text, JSON)
        finally:
            os.kill(predictor.process.pid, signal.SIGCONT)
        statuses = [client.getresponse().status for client in clients]
        for client in clients:
            client.close()

    assert Counter(statuses) == {200: many}


def test_artificial_load_costs_processor_time_and_is_seen(tmp_path: Path) -> None:
    """Each row of a batch costs what was set; metadata and a warning tell of it."""
    artifact = write_artifact(tmp_path / "artifact", 0.0)
    rows = {"name": "seconds", "datatype": "FP32", "shape": [4], "data": [0.0] * 4}
    burnt = {"PREDICTOR_ARTIFICIAL_CPU_SECONDS": "0.1"}
    with running("slow", artifact, tmp_path / "log", module=MODULE, **burnt) as predictor:
        before = used_seconds(predictor)
        answer = predictor.infer({"inputs": [rows]})
        used = used_seconds(predictor) - before
        metadata = predictor.request("GET", "/v2/models/slow").json
        over_grpc = predictor.call("ModelMetadata", pb.ModelMetadataRequest(name="slow"))
    (warning,) = [line for line in predictor.log_lines() if line["level"] == "WARNING"]

    assert answer.status == 200
    assert used > 0.38  # the kernel counts in ticks of a hundredth
    assert metadata["platform"] == "sleep, slowed down by 0.1 CPU seconds a row"
    assert over_grpc.platform == metadata["platform"]
    assert "PREDICTOR_ARTIFICIAL_CPU_SECONDS=0.1" in warning["event"]


def used_seconds(predictor: Predictor) -> float:
    """Processor time of the process so far."""
    times = psutil.Process(predictor.process.pid).cpu_times()
    return times.user + times.system
