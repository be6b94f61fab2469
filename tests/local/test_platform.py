"""`serin up` and what it serves."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelReadyRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.support.platform import FLOWER, Platform, wait_for

Fresh = Callable[..., Platform]


def stub(platform: Platform, authority: str) -> GRPCInferenceServiceStub:
    """A gRPC client of the gateway that asks for one host."""
    address = platform.url.removeprefix("http://")
    options = [("grpc.default_authority", authority)]
    return GRPCInferenceServiceStub(grpc.insecure_channel(address, options))


def test_every_model_answers_over_rest_and_grpc_through_the_gateway(trained: Platform) -> None:
    """By KServe's host, and over REST by path on any host; both protocols on one port."""
    for name in trained.state()["models"]:
        assert trained.ask(f"/v2/models/{name}")[0] == 200
        assert trained.ask(f"/v2/models/{name}", host=f"{name}-models.localhost")[0] == 200
        request = ModelReadyRequest(name=name)
        assert stub(trained, f"{name}-models.localhost").ModelReady(request, timeout=10).ready


def test_rest_and_grpc_give_the_same_answer(trained: Platform) -> None:
    """The content type of a request selects the predictor's gRPC port."""
    status, answer = trained.infer("iris-models.localhost")
    request = ModelInferRequest(model_name="iris")
    tensor = request.inputs.add(name="input-0", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend(FLOWER)
    reply = stub(trained, "iris-models.localhost").ModelInfer(request, timeout=10)

    assert status == 200
    (index,) = [output["data"] for output in answer["outputs"] if output["name"] == "class_index"]
    place = [output.name for output in reply.outputs].index("class_index")
    assert int.from_bytes(reply.raw_output_contents[place], "little") == index[0] == 0
    assert reply.model_version == answer["model_version"]


def test_a_host_that_no_model_has_gets_v2s_error_object(trained: Platform) -> None:
    """It says which hosts there are, over gRPC too."""
    status, answer = trained.ask("/v2/models/nobody/ready")
    with pytest.raises(grpc.RpcError) as caught:
        stub(trained, "nobody").ModelReady(ModelReadyRequest(name="nobody"), timeout=10)

    assert status == 404
    assert "iris-models.localhost" in answer["error"]
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert "iris-models.localhost" in str(caught.value.details())


def test_a_body_over_the_limit_is_the_predictors_413(trained: Platform, tmp_path: Path) -> None:
    """The gateway passes any size on, so the answer is V2's error object."""
    body = tmp_path / "body.json"
    body.write_bytes(b" " * (9 << 20))
    command = ["curl", "-s", "-w", "%{http_code}", "-H", "Content-Type: application/json"]
    command += ["--data-binary", f"@{body}", f"{trained.url}/v2/models/iris/infer"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert done.stdout.startswith('{"error":')
    assert done.stdout.endswith("413")


def test_the_printed_curl_works_as_it_is_pasted(trained: Platform) -> None:
    """What `up` prints is what a person tries first."""
    printed = trained.serin("up").stdout
    (line,) = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl ")]

    done = subprocess.run(["sh", "-c", f"{line} -s"], capture_output=True, check=True, timeout=30)

    assert json.loads(done.stdout)["model_name"] == line.split("/v2/models/")[1].split("/")[0]


def test_a_second_up_changes_nothing(trained: Platform) -> None:
    """The same processes serve the same versions."""
    before = trained.state()
    trained.serin("up")

    after = trained.state()

    assert after["processes"] == before["processes"]
    assert after["models"] == before["models"]


def test_status_and_logs_of_what_runs(trained: Platform) -> None:
    """A table with a row a model; a model's log holds its predictor's records."""
    table = trained.serin("status").stdout
    log = trained.serin("logs", "iris", "--tail", "-1").stdout

    assert {"iris", "mnist-forest"} <= {line.split(" ")[0] for line in table.splitlines()}
    assert '"serving"' in log


def test_nothing_listens_beyond_loopback(trained: Platform) -> None:
    """Gateway, S3 server and predictors are this machine's own."""
    ours = {process.pid for process in trained.processes()}
    addresses = {
        connection.laddr.ip
        for connection in psutil.net_connections(kind="inet")
        if connection.laddr and connection.pid in ours and connection.status == psutil.CONN_LISTEN
    }

    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert addresses


def test_a_taken_port_is_one_sentence(fresh: Fresh) -> None:
    """It names the port and the way out, and nothing is left running."""
    platform = fresh()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        failed = platform.serin("up", "iris", "--port", str(port), expect=1)

    assert failed.stderr.splitlines()[-1].startswith(f"Error: Port {port}, for the gateway, is")
    assert platform.leftovers() == []


def test_down_where_nothing_runs_is_fine(tmp_path: Path) -> None:
    """`serin down` may be run any time; `serin status` says that nothing runs."""
    platform = Platform(tmp_path / "none")

    platform.serin("down")
    found = platform.serin("status", expect=1)

    assert "Nothing runs" in found.stderr


@pytest.mark.parametrize("said", ["Training", "Starting"])
def test_ctrl_c_during_up_leaves_nothing(tmp_path: Path, trained: Platform, said: str) -> None:
    """Whatever `up` was doing: no process, port or temporary file, exit code 130."""
    platform = Platform(tmp_path / "state") if said == "Training" else trained.copy(tmp_path / "s")
    platform.home.mkdir(exist_ok=True)
    process = platform.start("up", "iris")
    assert process.stderr is not None
    for line in process.stderr:
        if said in line:
            break

    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=60)

    left = platform.leftovers()
    platform.serin("down")
    assert process.returncode == 130, rest
    assert left == []


def test_a_killed_supervisor_takes_its_children_along(fresh: Fresh) -> None:
    """After kill -9 of the supervisor nothing goes on; status says so, and `up` works."""
    platform = fresh("iris")
    (supervisor,) = [p for p in platform.processes() if "controlplane.local" in p.cmdline()]

    supervisor.kill()
    wait_for(lambda: not platform.processes(), 60, "the children's end")

    assert "was killed" in platform.serin("status", expect=1).stderr
    platform.serin("up", "iris")
    assert platform.infer()[0] == 200


@pytest.mark.parametrize("name", ["envoy", "rclone"])
def test_a_helper_that_dies_is_started_again(fresh: Fresh, name: str) -> None:
    """Envoy comes back on its port; the S3 server too."""
    platform = fresh("iris")
    (helper,) = [p for p in platform.processes() if name in Path(p.cmdline()[0]).name]

    helper.kill()

    def back() -> bool:
        found = [p for p in platform.processes() if name in Path(p.cmdline()[0]).name]
        return bool(found) and found[0].pid != helper.pid

    wait_for(back, 60, f"{name} to be back")
    if name == "envoy":
        wait_for(lambda: answers(platform), 60, "answers through the new Envoy")
    platform.serin("up", "iris")


def answers(platform: Platform) -> bool:
    """Whether iris answers; a refused connection is a no."""
    try:
        return platform.infer()[0] == 200
    except OSError:
        return False
