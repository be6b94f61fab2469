"""The gateway as one V2 server, for clients that know its address and no model's host."""

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import grpc
import pytest

from predictors.runtime.lean_kserve import pb
from tests.support.documents import ROOT
from tests.support.platform import Platform

V2 = "/inference.GRPCInferenceService"
PAGES: dict[str, dict[str, Any]] = {
    "/v2": {"name": "serin"},
    "/v2/health/live": {"live": True},
    "/v2/health/ready": {"ready": True},
}


def get(platform: Platform, path: str) -> Any:
    """A page of the gateway, by its address alone."""
    with urllib.request.urlopen(platform.url + path, timeout=20) as response:
        assert response.headers["content-type"] == "application/json"
        return json.load(response)


def channel(platform: Platform) -> Any:
    """A connection whose authority is the address; grpcio's types want serializers."""
    return grpc.insecure_channel(platform.url.removeprefix("http://"))


@pytest.mark.parametrize("path", PAGES)
def test_health_and_metadata_are_answered_on_the_address(trained: Platform, path: str) -> None:
    """As a V2 server answers them, in V2's form, also where a slash ends the path."""
    assert get(trained, path).items() >= PAGES[path].items()
    assert get(trained, f"{path}/") == get(trained, path)


@pytest.mark.parametrize("path", ["", "/ready", "/config"])
def test_a_slash_at_the_end_of_a_models_page_changes_nothing(trained: Platform, path: str) -> None:
    """Clients that join addresses end them with one."""
    page = f"/v2/models/iris{path}"

    assert get(trained, f"{page}/") == get(trained, page)


def test_a_list_of_versions_says_where_versions_are(trained: Platform) -> None:
    """V2 has none, and other servers answer there."""
    code, answer = trained.ask("/v2/models/iris/versions")

    assert code == 404
    assert "V2 has no list of versions; GET /v2/models/iris names the one" in answer["error"]


def test_a_head_that_does_not_come_is_not_waited_for(trained: Platform) -> None:
    """A client that begins a request and falls silent is answered with 408 and let go."""
    host, port = trained.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(b"GET /v2 HTTP/1.1\r\nHost: here\r\nX-Slow: ")
        answer = client.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_the_models_are_listed_on_the_address(trained: Platform) -> None:
    """The list as kserve has it and Triton's index name every model of the platform."""
    models = set(trained.state()["models"])

    assert set(get(trained, "/v2/models")["models"]) == models
    request = urllib.request.Request(trained.url + "/v2/repository/index", method="POST")
    with urllib.request.urlopen(request, timeout=20) as response:
        index = json.load(response)
    assert {entry["name"]: entry["state"] for entry in index} == dict.fromkeys(models, "READY")


def test_kserves_clients_need_the_address_alone(trained: Platform) -> None:
    """Live, ready, model ready and an answer, the same over REST and gRPC."""
    address = trained.url.removeprefix("http://")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.kserve_client", address, "iris", "input-0", "4"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)

    assert got["rest"] == got["grpc"] == [True, True, True]
    assert got["outputs"][0]["class_index"] == got["outputs"][1]["class_index"]


@pytest.mark.parametrize("name", ["", "nothing", "iris-models.localhost"])
def test_a_model_that_is_not_there_is_not_found_over_grpc(trained: Platform, name: str) -> None:
    """NOT_FOUND says which models there are; an unknown path would be UNIMPLEMENTED."""
    with channel(trained) as connection:
        ask = connection.unary_unary(f"{V2}/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            ask(pb.ModelInferRequest(model_name=name).SerializeToString(), timeout=20)

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "iris-models.localhost" in str(caught.value.details())


def test_a_client_cannot_name_the_model_in_a_header(trained: Platform) -> None:
    """Only the message decides: what Envoy reads out of it replaces what a client sent."""
    with channel(trained) as connection:
        ask = connection.unary_unary(f"{V2}/ModelReady")
        message = pb.ModelReadyRequest(name="iris").SerializeToString()
        raw = ask(message, metadata=[("x-serin-model", "mnist-cnn")], timeout=20)

    assert pb.ModelReadyResponse.FromString(raw).ready


def test_a_stream_goes_to_the_model_of_its_first_message(trained: Platform) -> None:
    """ModelStreamInfer without an authority: pieces come before the client has ended its side."""
    message = pb.ModelInferRequest(model_name="causal-lm", id="seven")
    message.inputs.add(
        name="text_input", datatype="BYTES", shape=[1], contents={"bytes_contents": [b"The"]}
    )
    message.parameters["max_tokens"].int64_param = 4
    with channel(trained) as connection:
        ask = connection.stream_stream(f"{V2}/ModelStreamInfer")
        first = next(ask(iter([message.SerializeToString()]), timeout=30))

    assert b"causal-lm" in first


def test_health_of_one_model_is_asked_by_its_name(trained: Platform) -> None:
    """grpc.health.v1 with a model's name, and with none."""
    with channel(trained) as connection:
        ask = connection.unary_unary("/grpc.health.v1.Health/Check")
        named = ask(b"\n\x04iris", timeout=20)
        server = ask(b"", timeout=20)

    assert named == server == b"\x08\x01"  # SERVING
