"""API keys on the inference path: Envoy Gateway's SecurityPolicy, carried out by the real Envoy."""

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from predictors.runtime.lean_kserve import pb
from tests.support import tiny_lm, trained
from tests.support.documents import ROOT
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, flower, wait_for
from tests.support.required import binary

V2 = "/inference.GRPCInferenceService"
COMPONENT = ROOT / "kserve" / "components" / "api-keys" / "securitypolicy.yaml"
ALICE, BOB = "alice-0123456789abcdef", "bob-" + "x" * 400
HOSTS = ("", "iris-models.localhost", "iris-predictor-models.localhost")
INFER = "/v2/models/iris/infer"
SECONDS = 20


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Iris wants a key, causal-lm none; Envoy writes an access log."""
    folder = tmp_path_factory.mktemp("guarded")
    platform = Platform(folder / "state")
    platform.publish(trained.brief("iris"))
    platform.publish(tiny_lm.write_artifact(folder / "lm"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SERIN_ACCESS_LOG", str(folder / "access.log"))
        patched.delenv("SERIN_API_KEY", raising=False)
        try:
            platform.serin("up", "iris", "causal-lm")
            keep(platform, alice=ALICE, bob=BOB)
            apply(platform, policy("app.kubernetes.io/name", "iris"))
            wait_for(lambda: ask(platform, INFER)[0] == 401, SECONDS, "the guard")
            yield platform
        finally:
            platform.serin("down")


def policy(label: str, value: str, name: str = "api-keys") -> dict[str, Any]:
    """The component's policy, for the HTTPRoutes with one label."""
    found: dict[str, Any] = yaml.safe_load(COMPONENT.read_text("utf-8"))
    found["metadata"]["name"] = name
    found["spec"]["targetSelectors"][0]["matchLabels"] = {label: value}
    return found


def apply(platform: Platform, *objects: Mapping[str, Any]) -> str:
    """Apply objects; what kubectl says."""
    text = yaml.safe_dump_all(objects)
    done = Kubectl(platform).run("apply", "-n", "models", "-f", "-", text=text)
    return done.stdout + done.stderr


def keep(platform: Platform, **keys: str | bytes) -> None:
    """Write the Secret of keys, whole."""
    data = {
        client: base64.b64encode(key.encode() if isinstance(key, str) else key).decode()
        for client, key in keys.items()
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api-keys"}, "data": data}
    apply(platform, secret)


def ask(
    platform: Platform, path: str, host: str = "", /, body: object = None, **headers: str
) -> tuple[int, Any, Message]:
    """One REST request, of a flower where the path infers: status, JSON and headers."""
    if path == INFER:
        body = {"inputs": [flower()]}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(platform.url + path, data)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        request.add_header(name.replace("_", "-"), value)
    if host:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def code(
    platform: Platform, message: bytes, host: str = "", method: str = "ModelInfer", **fields: str
) -> grpc.StatusCode:
    """The status of one gRPC call."""
    options = [("grpc.default_authority", host)] if host else []
    address = platform.url.removeprefix("http://")
    with grpc.insecure_channel(address, options) as channel:
        call = channel.unary_unary(f"{V2}/{method}", None, None)
        metadata = tuple((name.replace("_", "-"), value) for name, value in fields.items())
        try:
            call(message, timeout=30, metadata=metadata)
        except grpc.RpcError as error:
            found: grpc.StatusCode = error.code()
            return found
    return grpc.StatusCode.OK


def flower_message() -> bytes:
    """A ModelInferRequest to iris."""
    request = pb.ModelInferRequest(model_name="iris")
    contents = {"fp32_contents": [5.1, 3.5, 1.4, 0.2]}
    request.inputs.add(name="input-0", datatype="FP32", shape=[1, 4], contents=contents)
    found: bytes = request.SerializeToString()
    return found


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", [INFER, "/v2/models/iris", "/v2/models/iris/ready"])
def test_every_address_of_the_model_wants_a_key(guarded: Platform, path: str, host: str) -> None:
    """Without one and with a wrong one: V2's error with 401; with one in either header: 200."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"x_serin_open": "open"}):
        status, body, answered = ask(guarded, path, host, **headers)
        assert (status, list(body)) == (401, ["error"])
        assert "no valid API key" in body["error"]
        assert answered["www-authenticate"] == "Bearer"
    assert ask(guarded, path, host, Authorization=f"Bearer {ALICE}")[0] == 200
    assert ask(guarded, path, host, x_api_key=BOB)[0] == 200


@pytest.mark.parametrize("host", ["", "iris-models.localhost"])
def test_grpc_wants_a_key(guarded: Platform, host: str) -> None:
    """UNAUTHENTICATED, whether the message or the authority names the model."""
    message = flower_message()
    for fields in ({}, {"authorization": "Bearer wrong"}, {"x_serin_open": "open"}):
        assert code(guarded, message, host, **fields) is grpc.StatusCode.UNAUTHENTICATED
    assert code(guarded, message, host, authorization=f"Bearer {BOB}") is grpc.StatusCode.OK
    assert code(guarded, message, host, x_api_key=ALICE) is grpc.StatusCode.OK


def test_what_no_policy_names_stays_open(guarded: Platform) -> None:
    """Another model over both protocols, and what the gateway says about all models."""
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models"):
        assert ask(guarded, path)[0] == 200
    text = {"text_input": "The", "max_tokens": 2}
    assert ask(guarded, "/v2/models/causal-lm/generate", body=text)[0] == 200
    ready = pb.ModelReadyRequest(name="causal-lm").SerializeToString()
    assert code(guarded, ready, method="ModelReady") is grpc.StatusCode.OK
    assert code(guarded, b"", method="ServerReady") is grpc.StatusCode.OK
    nothing = pb.ModelReadyRequest(name="nothing").SerializeToString()
    assert code(guarded, nothing, method="ModelReady") is grpc.StatusCode.NOT_FOUND


def test_openais_routes_have_openais_error(
    guarded: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The envelope that the openai package reads, at each of the paths; a key opens them."""
    kubectl = Kubectl(guarded)
    apply(guarded, policy("app.kubernetes.io/name", "causal-lm", "chat"))
    said = {"model": "causal-lm", "max_tokens": 2, "messages": [{"role": "user", "content": "a"}]}
    try:
        for base in ("/v1", "/openai/v1", "/v2/models/causal-lm/openai/v1"):
            path = f"{base}/chat/completions"
            wait_for(partial(_answers, guarded, path, said, 401), SECONDS, "the guard")
            _, body, _ = ask(guarded, path, body=said)
            error = body["error"]
            assert error.pop("message").startswith("no valid API key")
            kind = "invalid_request_error"
            assert error == {"type": kind, "param": None, "code": "invalid_api_key"}
            assert ask(guarded, path, body=said, Authorization=f"Bearer {ALICE}")[0] == 200
        assert "wants an API key" in guarded.serin("chat", expect=1).stderr
        monkeypatch.setenv("SERIN_API_KEY", ALICE)
        guarded.serin("chat")
    finally:
        kubectl.run("delete", "-n", "models", "securitypolicy", "chat")


def test_tritonclient_sends_a_key_in_a_header(guarded: Platform) -> None:
    """Over REST and gRPC; without it the client's own error says what is missing."""
    program = f"""
import numpy as np, tritonclient.http, tritonclient.grpc
for module in (tritonclient.http, tritonclient.grpc):
    client = module.InferenceServerClient({guarded.url.removeprefix("http://")!r})
    tensor = module.InferInput("input-0", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.array([[5.1, 3.5, 1.4, 0.2]], np.float32))
    try:
        client.infer("iris", [tensor])
    except Exception as error:
        print(error)
    answer = client.infer("iris", [tensor], headers={{"authorization": "Bearer {ALICE}"}})
    print(answer.as_numpy("class_name"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no valid API key") == 2, done.stdout
    assert done.stdout.count("setosa") == 2, done.stdout


def test_curl_sends_a_key_in_a_header(guarded: Platform) -> None:
    """As docs/api-keys.md writes it."""
    url, body = guarded.url + INFER, json.dumps({"inputs": [flower()]})
    command: list[str | Path] = [binary("curl"), "-s", "-w", " %{http_code}", url, "-d", body]
    command += ["-H", "Content-Type: application/json"]
    for more, status in (([], 401), (["-H", f"Authorization: Bearer {ALICE}"], 200)):
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=True)
        assert done.stdout.endswith(f" {status}")


@pytest.mark.parametrize("more", [(), ("--grpc",), ("--json",)])
def test_infer_takes_the_key_from_the_environment(
    guarded: Platform, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    """One sentence without it and with a wrong one, which is not printed; an answer with it."""
    words = ("infer", "iris", "5.1,3.5,1.4,0.2", *more)
    missing = guarded.serin(*words, expect=1).stderr
    monkeypatch.setenv("SERIN_API_KEY", "very-wrong")
    wrong = guarded.serin(*words, expect=1).stderr
    monkeypatch.setenv("SERIN_API_KEY", ALICE)
    answer = guarded.serin(*words).stdout

    assert missing == (
        "Error: iris wants an API key: put one into the environment variable SERIN_API_KEY\n"
    )
    assert wrong == "Error: iris refuses the API key in SERIN_API_KEY\n"
    assert "setosa" in answer


def test_load_takes_the_key_from_the_environment(
    guarded: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request of a load carries it, over REST and gRPC, however long it is."""
    monkeypatch.setenv("SERIN_API_KEY", BOB)
    for more in ((), ("--grpc",)):
        words = ("load", "iris", "--rate", "20", "--duration", "1", "--json", *more)
        assert json.loads(guarded.serin(*words).stdout)["errors"] == {}
    monkeypatch.delenv("SERIN_API_KEY")
    words = ("load", "iris", "--rate", "5", "--duration", "1", "--json")
    assert set(json.loads(guarded.serin(*words, expect=1).stdout)["errors"]) == {"HTTP 401"}


def test_a_rotated_secret_takes_effect(guarded: Platform) -> None:
    """The new key opens and the old one does not any more; then the other way round."""
    try:
        keep(guarded, alice="rotated")
        new, old = {"x_api_key": "rotated"}, {"x_api_key": ALICE}
        wait_for(lambda: ask(guarded, INFER, **new)[0] == 200, SECONDS, "the new key")
        assert ask(guarded, INFER, **old)[0] == 401
    finally:
        keep(guarded, alice=ALICE, bob=BOB)
    wait_for(lambda: ask(guarded, INFER, **old)[0] == 200, SECONDS, "the old key")


def test_a_policy_without_its_secret_lets_nobody_in(guarded: Platform) -> None:
    """500 with the reason, which the policy's condition and `serin status` say too."""
    kubectl = Kubectl(guarded)
    kubectl.run("delete", "-n", "models", "secret", "api-keys")
    try:
        wait_for(lambda: ask(guarded, INFER, x_api_key=ALICE)[0] == 500, SECONDS, "500")
        status, body, _ = ask(guarded, INFER)
        assert (status, "Secret models/api-keys not found" in body["error"]) == (500, True)
        wait_for(lambda: condition(kubectl)["status"] == "False", SECONDS, "the condition")
        assert "Secret models/api-keys not found" in condition(kubectl)["message"]
        faults = {(one["kind"], one["name"]) for one in guarded.state()["faults"]}
        assert ("SecurityPolicy", "api-keys") in faults
        assert ask(guarded, "/v2/models/causal-lm")[0] == 200
    finally:
        keep(guarded, alice=ALICE, bob=BOB)
    wait_for(lambda: ask(guarded, INFER, x_api_key=ALICE)[0] == 200, SECONDS, "the key")


def condition(kubectl: Kubectl) -> dict[str, str]:
    """The policy's condition Accepted."""
    found = kubectl.get("-n", "models", "securitypolicy", "api-keys")
    ancestors = found.get("status", {}).get("ancestors", [{"conditions": [{"status": ""}]}])
    first: dict[str, str] = ancestors[0]["conditions"][0]
    return first


HOSTILE: list[tuple[dict[str, str | bytes], int]] = [
    ({"alice": ALICE, "x": b"\n"}, 200),
    ({"alice": ALICE, "x": b"\xff\x00"}, 200),
    ({"alice": ALICE, "x": b"k" * 100_000}, 200),
    ({"alice": "other", "x": b"\r\nx: y"}, 401),
    ({"alice": ALICE, "x": f"{ALICE}\n"}, 200),
    ({"alice": ALICE, "x": ALICE}, 500),
    ({"alice": ALICE, "x": b""}, 200),
    ({"x": b"\n"}, 500),
    ({"alice": ALICE, **{f"c{n}": f"k{n}" for n in range(1000)}}, 500),
]
"""Secrets, each another than the one before, and what alice gets with her key."""


def alices(platform: Platform) -> int:
    """The status of a request with alice's key."""
    return ask(platform, INFER, x_api_key=ALICE)[0]


def test_a_hostile_secret_harms_its_own_model_alone(guarded: Platform) -> None:
    """A key that no request can carry opens nothing; nobody enters by it, and Envoy goes on."""
    try:
        for place, (keys, status) in enumerate(HOSTILE):
            keep(guarded, **keys)
            wait_for(partial(_enters, guarded, status), SECONDS, f"{place}: {status}")
            assert ask(guarded, INFER)[0] in {401, 500}
            assert ask(guarded, "/v2/models/causal-lm")[0] == 200
    finally:
        keep(guarded, alice=ALICE, bob=BOB)
    wait_for(lambda: ask(guarded, INFER, x_api_key=BOB)[0] == 200, SECONDS, "the key")


def test_a_policy_that_the_laptop_cannot_follow_is_refused(guarded: Platform) -> None:
    """By its field, when it is applied: none is taken and not carried out."""
    kubectl = Kubectl(guarded)
    wrong = policy("app.kubernetes.io/name", "iris", "wrong")
    other = {**wrong["spec"], "cors": {"allowOrigins": ["*"]}}
    gateway = {**wrong["spec"], "targetSelectors": [{"kind": "Gateway"}]}
    for spec, said in ((other, "checks API keys (apiKeyAuth) only"), (gateway, "by HTTPRoute")):
        text = yaml.safe_dump({**wrong, "spec": spec})
        assert said in kubectl.run("apply", "-f", "-", text=text, expect=1).stderr


def test_the_older_policy_of_a_model_counts(guarded: Platform) -> None:
    """As in Envoy Gateway; the other one is Conflicted, and one that finds nothing says so."""
    kubectl = Kubectl(guarded)
    second, lost = (policy("app.kubernetes.io/name", n, f"z-{n}") for n in ("iris", "nothing"))
    second["spec"]["apiKeyAuth"]["credentialRefs"] = [{"name": "nowhere"}]
    apply(guarded, second, lost)
    try:
        for name, reason in (("z-iris", "Conflicted"), ("z-nothing", "TargetNotFound")):
            path = "{.status.ancestors[0].conditions[0].reason}"
            words = ("get", "-n", "models", "sp", name, "-o", f"jsonpath={path}")
            wait_for(partial(_says, kubectl, words, reason), SECONDS, reason)
        assert ask(guarded, INFER, x_api_key=ALICE)[0] == 200
    finally:
        kubectl.run("delete", "-n", "models", "sp", "z-iris", "z-nothing")


def test_keys_are_in_no_log_and_in_no_page(guarded: Platform) -> None:
    """Not in a log, the state, an Event or Envoy's dump; the file of routes is the user's alone."""
    ask(guarded, f"/v2/models/iris?key={ALICE}", x_api_key=ALICE)
    ask(guarded, "/v2/models/iris", x_api_key=f"{BOB}-almost")
    access = guarded.home.parent / "access.log"  # Envoy writes it every ten seconds
    wait_for(lambda: "/v2/models/iris" in access.read_text("utf-8"), SECONDS, "the access log")
    dumped = guarded.envoy("/config_dump").decode()
    events = Kubectl(guarded).out("get", "-n", "models", "events", "-o", "json")
    texts = [
        *(path.read_text("utf-8") for path in (guarded.home / "logs").rglob("*.log")),
        access.read_text("utf-8"),
        (guarded.home / "state.json").read_text("utf-8"),
        *(dumped, events),
    ]

    assert "api_key_auth" in dumped
    assert not [text for text in texts if ALICE in text or BOB in text]
    routes = guarded.home / "envoy" / "rds" / "routes.json"
    assert routes.stat().st_mode & 0o777 == 0o600


def test_a_policy_that_goes_opens_the_model(guarded: Platform) -> None:
    """And one that comes back closes it: what is applied is what holds."""
    kubectl = Kubectl(guarded)
    kubectl.run("delete", "-n", "models", "securitypolicy", "api-keys")
    wait_for(lambda: ask(guarded, INFER)[0] == 200, SECONDS, "an open model")
    apply(guarded, policy("app.kubernetes.io/name", "iris"))
    wait_for(lambda: ask(guarded, INFER)[0] == 401, SECONDS, "the guard")


def _answers(platform: Platform, path: str, body: dict[str, Any], status: int) -> bool:
    return ask(platform, path, body=body)[0] == status


def _enters(platform: Platform, status: int) -> bool:
    return alices(platform) == status


def _says(kubectl: Kubectl, words: tuple[str, ...], text: str) -> bool:
    return kubectl.out(*words) == text
