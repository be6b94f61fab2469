"""API keys and limits per key in a cluster: Envoy Gateway carries out the components' policies."""

import base64
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import pytest
import yaml

from controlplane.cluster.kubectl import Document, render
from predictors.runtime.lean_kserve import pb
from tests.support.cluster import FLOWER, HOST, MODEL, Cluster, serin, wait
from tests.support.required import ROOT, binary

ALICE, BOB = "alice-0123456789abcdef", "bob-" + "x" * 400
INFER = f"/v2/models/{MODEL}/infer"
PATHS = (INFER, f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/ready")
BODY = json.dumps({"inputs": [FLOWER]})
SECONDS = 120
REQUESTS = 5
"""That the limit of the test admits in an hour."""


@pytest.fixture(scope="module")
def guarded(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Every model wants a key."""
    policy = component(tmp_path_factory.mktemp("keys"), "api-keys")
    secret = keys(alice=ALICE, bob=BOB)
    try:
        cluster.api.apply([secret, *policy])
        wait(lambda: ask(cluster)[0] == 401, SECONDS, "the guard")
        yield cluster
    finally:
        cluster.api.delete([*policy, secret], SECONDS)
        wait(lambda: ask(cluster)[0] == 200, SECONDS, "the guard to be gone")


def component(folder: Path, name: str) -> list[Document]:
    """What a component adds to an overlay."""
    found = os.path.relpath(ROOT / "kserve" / "components" / name, folder)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"components": [found]}), "utf-8")
    return render(folder)


def keys(**clients: str) -> Document:
    """The Secret."""
    data = {name: base64.b64encode(key.encode()).decode() for name, key in clients.items()}
    metadata = {"name": "api-keys", "namespace": "models"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def ask(cluster: Cluster, path: str = INFER, **fields: str) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of one request over REST."""
    connection = http.client.HTTPConnection(cluster.address, timeout=30)
    headers = {"Host": HOST, "Content-Type": "application/json"}
    headers |= {name.replace("_", "-"): value for name, value in fields.items()}
    method, body = ("POST", BODY) if path == INFER else ("GET", None)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def code(cluster: Cluster, **fields: str) -> grpc.StatusCode:
    """The status of one ModelInfer."""
    tensor = {"name": FLOWER["name"], "datatype": "FP32", "shape": [1, 4]}
    message = pb.ModelInferRequest(model_name=MODEL)
    message.inputs.add(**tensor, contents={"fp32_contents": FLOWER["data"]})
    options = [("grpc.default_authority", HOST)]
    metadata = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    with grpc.insecure_channel(cluster.address, options) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", None, None)
        try:
            call(message.SerializeToString(), timeout=30, metadata=metadata)
        except grpc.RpcError as error:
            found: grpc.StatusCode = error.code()
            return found
    return grpc.StatusCode.OK


@pytest.mark.parametrize("path", PATHS)
def test_rest_wants_a_key(guarded: Cluster, path: str) -> None:
    """V2's error with 401 without one and with a wrong one; with one in either header: 200."""
    for fields in ({}, {"authorization": "Bearer wrong"}, {"x_api_key": "wrong"}):
        status, headers, body = ask(guarded, path, **fields)
        assert status == 401
        assert headers["content-type"] == "application/json"
        assert "no valid API key" in json.loads(body)["error"]
    assert ask(guarded, path, authorization=f"Bearer {ALICE}")[0] == 200
    assert ask(guarded, path, x_api_key=BOB)[0] == 200


def test_grpc_wants_a_key(guarded: Cluster) -> None:
    """UNAUTHENTICATED without one and with a wrong one."""
    for fields in ({}, {"authorization": "Bearer wrong"}, {"x_api_key": "wrong"}):
        assert code(guarded, **fields) is grpc.StatusCode.UNAUTHENTICATED
    assert code(guarded, authorization=f"Bearer {BOB}") is grpc.StatusCode.OK
    assert code(guarded, x_api_key=ALICE) is grpc.StatusCode.OK


def test_tritonclient_sends_a_key_in_a_header(guarded: Cluster) -> None:
    """Over REST and gRPC; without it the client's own error says what is missing."""
    program = f"""
import numpy as np, tritonclient.http, tritonclient.grpc
host = {{"Host": {HOST!r}}}
rest = tritonclient.http.InferenceServerClient({guarded.address!r})
rpc = tritonclient.grpc.InferenceServerClient(
    {guarded.address!r}, channel_args=[("grpc.default_authority", {HOST!r})]
)
for module, client, more in ((tritonclient.http, rest, host), (tritonclient.grpc, rpc, {{}})):
    tensor = module.InferInput("input-0", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.array([[5.1, 3.5, 1.4, 0.2]], np.float32))
    try:
        client.infer("iris", [tensor], headers=more)
    except Exception as error:
        print(error)
    answer = client.infer("iris", [tensor], headers=more | {{"authorization": "Bearer {ALICE}"}})
    print(answer.as_numpy("class_name"))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "no valid API key" in done.stdout
    assert "StatusCode.UNAUTHENTICATED" in done.stdout
    assert done.stdout.count("setosa") == 2, done.stdout


def test_curl_sends_a_key_in_a_header(guarded: Cluster) -> None:
    """As docs/api-keys.md writes it."""
    command: list[str | Path] = [binary("curl"), "-s", "-w", " %{http_code}", "-d", BODY]
    command += [f"http://{guarded.address}{INFER}", "-H", f"Host: {HOST}"]
    command += ["-H", "Content-Type: application/json"]
    for more, status in (([], 401), (["-H", f"Authorization: Bearer {ALICE}"], 200)):
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=True)
        assert done.stdout.endswith(f" {status}")


@pytest.mark.parametrize("more", [(), ("--grpc",)])
def test_infer_takes_the_key_from_the_environment(guarded: Cluster, more: tuple[str, ...]) -> None:
    """One sentence without it and with a wrong one, which is not printed; an answer with it."""
    words = ("infer", MODEL, "5.1,3.5,1.4,0.2", "--host", f"http://{guarded.address}", *more)
    environment = dict(guarded.environment)
    missing = serin(environment, *words, expect=1)
    wrong = serin(environment | {"SERIN_API_KEY": "very-wrong"}, *words, expect=1)
    answer = serin(environment | {"SERIN_API_KEY": ALICE}, *words)

    assert missing == (
        "Error: iris wants an API key: put one into the environment variable SERIN_API_KEY\n"
    )
    assert wrong == "Error: iris refuses the API key in SERIN_API_KEY\n"
    assert "setosa" in answer


def test_no_log_has_a_key(guarded: Cluster) -> None:
    """Neither a right nor a wrong one: in the proxy, its controller, the model's pods, Events."""
    wrong = "wrong-0123456789abcdef"
    assert ask(guarded, x_api_key=ALICE)[0] == 200
    assert ask(guarded, authorization=f"Bearer {wrong}")[0] == 401
    told = ""
    for space in ("envoy-gateway-system", "models"):
        for pod in json.loads(guarded.kubectl("-n", space, "get", "pods", "-o", "json"))["items"]:
            if pod["status"]["phase"] == "Running":
                name = pod["metadata"]["name"]
                told += guarded.kubectl("-n", space, "logs", name, "--all-containers")
    told += guarded.kubectl("get", "events", "-A", "-o", "json")
    policies = ("get", "securitypolicies,backendtrafficpolicies,httproutes", "-o", "json")
    told += guarded.kubectl("-n", "models", *policies)

    assert len(told) > 1000
    assert not any(key in told for key in (ALICE, BOB, wrong))


def test_a_rotated_secret_takes_effect(guarded: Cluster) -> None:
    """The new key opens and the old one does not any more; then the other way round."""
    try:
        guarded.api.apply([keys(alice="rotated")])
        wait(lambda: ask(guarded, x_api_key="rotated")[0] == 200, SECONDS, "the new key")
        wait(lambda: ask(guarded, x_api_key=ALICE)[0] == 401, SECONDS, "the old key's end")
    finally:
        guarded.api.apply([keys(alice=ALICE, bob=BOB)])
    wait(lambda: ask(guarded, x_api_key=ALICE)[0] == 200, SECONDS, "the old key")
    wait(lambda: ask(guarded, x_api_key="rotated")[0] == 401, SECONDS, "the new key's end")


def test_each_client_has_a_limit_of_its_own(guarded: Cluster, tmp_path: Path) -> None:
    """Past it V2's error with 429, over gRPC UNAVAILABLE; whatever name a client gives itself."""
    (policy,) = component(tmp_path, "rate-limits")
    (rule,) = policy["spec"]["rateLimit"]["local"]["rules"]
    rule["limit"] = {"requests": REQUESTS, "unit": "Hour"}
    try:
        guarded.api.apply([policy])
        wait(lambda: ask(guarded, x_api_key=BOB)[0] == 429, SECONDS, "the limit")
        told = [ask(guarded, x_api_key=ALICE, x_client="bob") for _ in range(2 * REQUESTS)]
        assert (told[0][0], {status for status, _, _ in told}) == (200, {200, 429})
        _, headers, body = next(one for one in told if one[0] == 429)
        assert headers["content-type"] == "application/json"
        assert json.loads(body)["error"].startswith("too many requests: ")
        codes = {code(guarded, x_api_key=ALICE) for _ in range(2 * REQUESTS)}
        assert codes == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        assert ask(guarded)[0] == 401
    finally:
        guarded.api.delete([policy], SECONDS)
    wait(lambda: ask(guarded, x_api_key=ALICE)[0] == 200, SECONDS, "the limit to be gone")
