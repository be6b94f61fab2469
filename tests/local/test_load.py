"""`serin load` against a reference generator, real predictors, and servers that misbehave."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import required
from tests.support.platform import ROOT, Platform

REQUEST = {
    "inputs": [{"name": "input-0", "shape": [1, 2], "datatype": "FP32", "data": [[1.0, 2.0]]}]
}
CONNECTIONS = 200
"""Enough that none is asked while it is busy: wrk2 binds a request to one, `serin load` to none."""
PAIRS = 3
"""Noise makes one pair of runs differ; a fault of the generator makes all of them differ."""


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[int]:
    """A server with known delays; its port."""
    command = [sys.executable, "-m", "tests.support.delaying", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def serin_load(port: int, data: Path, *arguments: str, expect: int = 0) -> dict[str, Any]:
    """The verb's JSON result."""
    address = f"http://127.0.0.1:{port}"
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "scripts.cli", "load", "iris", "--host", address),
            *("--data", str(data), "--json", *arguments),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == expect, done.stderr
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file with one request."""
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps(REQUEST) + "\n")
    return path


@pytest.fixture(scope="session")
def wrk2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference, compiled."""
    compiler = required.binary("cc")
    program = tmp_path_factory.mktemp("wrk2") / "wrk2"
    source = ROOT / "tests" / "support" / "wrk2.c"
    subprocess.run([compiler, "-O2", "-o", program, source], check=True, timeout=60)
    return program


@pytest.mark.calm
@pytest.mark.parametrize("stall_every", [0, 150])
def test_quantiles_agree_with_wrk2s_method(
    wrk2: Path, data: Path, tmp_path: Path, stall_every: int
) -> None:
    """At one rate both tell the same p50, p90 and p99 within 5 %, also where the server stalls."""
    body = json.dumps(REQUEST).encode()
    whole = tmp_path / "request"
    head = f"POST /v2/models/iris/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    whole.write_bytes(head.encode() + body)
    rate, seconds = "200", "4"
    away: list[Any] = []
    for _ in range(PAIRS):
        with serving("--stall-every", str(stall_every)) as port:
            command = [str(wrk2), str(port), rate, seconds, str(CONNECTIONS), str(whole)]
            told = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
        with serving("--stall-every", str(stall_every)) as port:
            options = ("--rate", rate, "--duration", seconds, "--connections", str(CONNECTIONS))
            mine = serin_load(port, data, "--even", *options)
        theirs = [int(line) / 1e6 for line in told.split()]
        reference = np.quantile(theirs, [0.5, 0.9, 0.99])
        measured = np.array([mine["latency_seconds"][name] for name in ("p50", "p90", "p99")])
        away.append(np.abs(measured / reference - 1).max())
        assert (mine["requests"], mine["answered"], len(theirs)) == (800, 800, 800)
        if away[-1] <= 0.05:
            break

    assert min(away) <= 0.05, away


@pytest.mark.calm
def test_what_could_not_leave_is_late_all_the_same(data: Path) -> None:
    """Two connections, and a server that stalls: from their departure, hardly any would wait."""
    with serving("--at-once", "--stall-every", "150") as port:
        options = ("--rate", "200", "--duration", "4", "--even", "--connections", "2")
        found = serin_load(port, data, *options)

    # 0.4 s in 0.75 s are a stall; who comes within it waits for its end.
    assert found["latency_seconds"]["p75"] > 0.05
    assert found["latency_from_departure_seconds"]["p75"] < 0.05


@pytest.mark.calm
def test_five_thousand_a_second_leave_most_of_a_core(data: Path) -> None:
    """5,000 requests a second, each answered and counted, with less than one core."""
    with serving("--at-once") as port:
        found = serin_load(port, data, "--rate", "5000", "--duration", "3", "--even")

    assert (found["requests"], found["answered"]) == (15000, 15000)
    assert found["generator"]["cpu_share"] < 0.9


def test_nothing_there(data: Path) -> None:
    """A gateway that nobody listens at is a failure with a sentence, not a report."""
    with serving() as port:
        pass
    assert serin_load(port, data, "--duration", "1", expect=1) == {}


def test_a_server_that_dies_is_counted(data: Path) -> None:
    """What a dead server does not answer is an error; the load goes on to its end."""
    command = [sys.executable, "-m", "tests.support.delaying"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "scripts.cli", "load", "iris", "--json", "--data"),
                *(str(data), "--host", f"http://127.0.0.1:{port}", "--duration", "4"),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        ) as load:
            with contextlib.suppress(subprocess.TimeoutExpired):
                load.wait(3)
            process.kill()
            out, _ = load.communicate(timeout=60)
    found = json.loads(out)

    assert found["answered"] > 0
    assert set(found["errors"]) <= {"connection lost", "unreachable"}
    assert found["answered"] + sum(found["errors"].values()) == found["requests"]
    assert found["errors"]["unreachable"] > 0
    assert found["requests"] == pytest.approx(400, rel=0.2)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_a_real_model_is_loaded_with_its_golden_sample(trained: Platform, protocol: str) -> None:
    """Both protocols through Envoy: every request answered, by the version that is served."""
    arguments = ["--rate", "50", "--duration", "2", "--json"]
    if protocol == "grpc":
        arguments.append("--grpc")
    found = json.loads(trained.serin("load", "mnist-forest", *arguments).stdout)

    served = trained.state()["models"]["mnist-forest"]["version"]
    assert found["errors"] == {}
    assert found["versions"] == {served: found["requests"]}
    assert found["protocol"] == protocol
    assert found["different_requests"] > 1


def test_a_refused_request_counts_by_its_status(trained: Platform, tmp_path: Path) -> None:
    """Refusals are errors by their HTTP or gRPC status, and no answer at all is a failure."""
    path = tmp_path / "wrong.jsonl"
    path.write_text(json.dumps(REQUEST))
    options = ("--data", str(path), "--rate", "20", "--duration", "1", "--json")
    rest = json.loads(trained.serin("load", "iris", *options, expect=1).stdout)
    grpc = json.loads(trained.serin("load", "iris", "--grpc", *options, expect=1).stdout)

    assert list(rest["errors"]) == ["HTTP 400"]
    assert list(grpc["errors"]) == ["INVALID_ARGUMENT"]


def test_a_report_is_text_json_and_picture(trained: Platform, tmp_path: Path) -> None:
    """The files hold what the terminal tells; lines go to stderr while it runs."""
    trace = tmp_path / "trace.csv"
    trace.write_text("seconds,requests_per_second\n0,20\n1,60\n2,0\n")
    outputs = ("-o", str(tmp_path / "r.svg"), "-o", str(tmp_path / "r.json"))
    done = trained.serin("load", "iris", "5.1", "3.5", "1.4", "0.2", "--load", str(trace), *outputs)
    found = json.loads((tmp_path / "r.json").read_text())

    assert f"{found['requests']} requests in" in done.stdout
    assert "latency from the planned time" in done.stdout
    assert found["by_second"][1]["requests"] > found["by_second"][0]["requests"]
    assert (tmp_path / "r.svg").read_text().startswith("<svg")


def test_ctrl_c_ends_a_load_early_with_its_result(data: Path) -> None:
    """What was sent is answered and counted; exit 0, as of a load that was to be so short."""
    with serving() as port:
        load = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "scripts.cli", "load", "iris", "--data", str(data)),
                *("--host", f"http://127.0.0.1:{port}", "--rate", "50", "--duration", "80"),
                "--json",
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert load.stderr is not None
        assert "0 failed" in load.stderr.readline()  # it is under way
        load.send_signal(signal.SIGINT)
        out, said = load.communicate(timeout=30)

    assert load.returncode == 0, said
    found = json.loads(out)
    assert found["errors"] == {}
    assert 0 < found["answered"] == found["requests"] < 50 * 80
