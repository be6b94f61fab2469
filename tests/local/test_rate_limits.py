"""Rate limits of clients: Envoy Gateway's BackendTrafficPolicy, carried out by the real Envoy.

Limits are an hour's, so that no test depends on how fast it is. Envoy counts anew whenever it gets
other routes, which happens when a pod is late to a probe: counts are bounds, not equalities.
"""

import base64
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import yaml

from predictors.runtime.lean_kserve import pb
from tests.local.test_api_keys import ask, flower_message
from tests.support import tiny_lm, trained
from tests.support.documents import ROOT
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for

COMPONENTS = ROOT / "kserve" / "components"
INFER = "/v2/models/iris/infer"
HOSTS = ("", "iris-models.localhost", "iris-predictor-models.localhost")
PATHS = (INFER, "/v2/models/iris", "/v2/models/iris/ready")
REQUESTS = 3
TRIED = 12
SECONDS = 30
FRESH = 5
CLIENTS = ("rest", "rpc", "chat", "spoof", "guest", "other", *(f"fresh-{n}" for n in range(FRESH)))
"""Each has its own count."""
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def component(name: str) -> dict[str, Any]:
    """A component's one policy."""
    (path,) = (COMPONENTS / name).glob("*policy.yaml")
    policy: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return policy


def limit() -> dict[str, Any]:
    """The component's policy, with a limit that a test reaches."""
    policy = component("rate-limits")
    (rule,) = policy["spec"]["rateLimit"]["local"]["rules"]
    rule["limit"] = {"requests": REQUESTS, "unit": "Hour"}
    return policy


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Iris and causal-lm want keys, and count by client."""
    folder = tmp_path_factory.mktemp("limited")
    platform = Platform(folder / "state")
    platform.publish(trained.brief("iris"))
    platform.publish(tiny_lm.write_artifact(folder / "lm"))
    data = {client: base64.b64encode(f"key-{client}".encode()).decode() for client in CLIENTS}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api-keys"}, "data": data}
    try:
        platform.serin("up", "iris", "causal-lm")
        apply(platform, secret, component("api-keys"))
        yield platform
    finally:
        platform.serin("down")


def apply(platform: Platform, *others: dict[str, Any]) -> None:
    """Apply the limit after other objects, and wait until it holds."""
    text = yaml.safe_dump_all([*others, limit()])
    Kubectl(platform).run("apply", "-n", "models", "-f", "-", text=text)
    wait_for(lambda: accepted(platform), SECONDS, "the policy")
    wait_for(lambda: get(platform, "/v2/models/causal-lm", "guest") == 429, SECONDS, "429")


def accepted(platform: Platform) -> bool:
    """Whether the policy's condition says that it is carried out."""
    found = Kubectl(platform).get("-n", "models", "backendtrafficpolicy", "rate-limits")
    ancestors = found.get("status", {}).get("ancestors", [])
    return [one["conditions"][0]["reason"] for one in ancestors] == ["Accepted"]


def get(platform: Platform, path: str, client: str, host: str = "", **headers: str) -> int:
    """The status of one request of a client."""
    return ask(platform, path, host, x_api_key=f"key-{client}", **headers)[0]


def call(platform: Platform, client: str, host: str = "") -> Any:
    """The error of one gRPC call of a client; None where it is answered."""
    options = [("grpc.default_authority", host)] if host else []
    with grpc.insecure_channel(platform.url.removeprefix("http://"), options) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", None, None)
        try:
            infer(flower_message(), timeout=30, metadata=(("x-api-key", f"key-{client}"),))
        except grpc.RpcError as error:
            return error
    return None


def test_all_addresses_count_together(limited: Platform) -> None:
    """A client that used its requests up at one address is refused at every other."""

    def refused_everywhere() -> bool:
        client = next(fresh)
        wait_for(lambda: get(limited, INFER, client) == 429, SECONDS, "429")
        refused = [get(limited, path, client, host) == 429 for path in PATHS for host in HOSTS]
        calls = [call(limited, client, host) for host in HOSTS]
        refused += [error is not None and error.code() is EXHAUSTED for error in calls]
        return all(refused)

    # A look at all addresses fails if Envoy counts anew within it; each has a client of its own.
    fresh = (f"fresh-{place}" for place in range(FRESH))
    assert any(refused_everywhere() for _ in range(FRESH))


def test_a_refusal_has_v2s_form_and_a_wait(limited: Platform) -> None:
    """429 for the one who asked too often; another is answered."""
    answers: list[Any] = []

    def refused() -> bool:
        answers.append(ask(limited, INFER, x_api_key="key-rest"))
        return answers[-1][0] == 429

    wait_for(refused, SECONDS, "429")
    _, body, headers = answers[-1]
    assert answers[0][0] == 200
    assert list(body) == ["error"]
    assert "rate limit" in body["error"]
    assert headers["retry-after"] == str(3600 // REQUESTS)
    assert get(limited, INFER, "other") == 200


@pytest.mark.parametrize("host", ["", "iris-models.localhost"])
def test_grpc_is_refused_as_exhausted(limited: Platform, host: str) -> None:
    """RESOURCE_EXHAUSTED with the same wait, whether the message or the authority has the model."""
    errors: list[Any] = []

    def refused() -> bool:
        errors.append(call(limited, "rpc", host))
        return errors[-1] is not None

    wait_for(refused, SECONDS, "a refusal")
    error = errors[-1]
    assert error.code() is EXHAUSTED
    assert "rate limit" in error.details()
    told = dict([*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())])
    assert told["retry-after"] == str(3600 // REQUESTS)


def test_openais_routes_are_refused_in_openais_form(limited: Platform) -> None:
    """The envelope that the openai package reads, at each of the paths."""
    said = {"model": "causal-lm", "max_tokens": 2, "messages": [{"role": "user", "content": "a"}]}
    for base in ("/v1", "/openai/v1", "/v2/models/causal-lm/openai/v1"):
        path = f"{base}/chat/completions"
        answers: list[Any] = []

        def refused(path: str = path, answers: list[Any] = answers) -> bool:
            answers.append(ask(limited, path, body=said, x_api_key="key-chat"))
            return bool(answers[-1][0] == 429)

        wait_for(refused, SECONDS, "a refusal")
        error = answers[-1][1]["error"]
        assert "rate limit" in error.pop("message")
        kind, code = "rate_limit_error", "rate_limit_exceeded"
        assert error == {"type": kind, "param": None, "code": code}


def test_a_client_cannot_count_as_another(limited: Platform) -> None:
    """What it sends as x-client is overwritten, so a new name at each request helps nothing."""
    answers = [get(limited, INFER, "spoof", x_client=f"new-{place}") for place in range(24)]
    assert answers.count(200) <= 12
    wait_for(lambda: get(limited, INFER, "spoof", x_client="newest") == 429, SECONDS, "429")


def test_what_is_not_a_models_is_not_counted(limited: Platform) -> None:
    """The gateway's own pages, and gRPC's questions about the server."""
    paths = ("/v2", "/v2/health/live", "/v2/models")
    assert {ask(limited, path)[0] for path in paths for _ in range(TRIED)} == {200}
    with grpc.insecure_channel(limited.url.removeprefix("http://")) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive", None, None)
        for _ in range(TRIED):
            assert pb.ServerLiveResponse.FromString(call(b"", timeout=30)).live


def test_a_limit_that_the_laptop_cannot_keep_is_refused(limited: Platform) -> None:
    """By its field, when it is applied: none is taken and not carried out."""
    wrong = limit()
    wrong["metadata"]["name"] = "wrong"
    spec, (rule,) = wrong["spec"], wrong["spec"]["rateLimit"]["local"]["rules"]
    cidr = {"clientSelectors": [{"sourceCIDR": {"value": "10.0.0.0/8"}}], "limit": rule["limit"]}
    for changed, said in (
        ({"rateLimit": {"type": "Global", "global": {}}}, "no service of global limits"),
        ({"rateLimit": {"type": "Local", "local": {"rules": [cidr]}}}, "counts by headers"),
        ({"circuitBreaker": {"maxConnections": 1}}, "limits rates (rateLimit) only"),
    ):
        text = yaml.safe_dump({**wrong, "spec": {**spec, **changed}})
        done = Kubectl(limited).run("apply", "-n", "models", "-f", "-", text=text, expect=1)
        assert said in done.stderr


def test_a_policy_that_goes_ends_the_limit(limited: Platform) -> None:
    """All requests are answered again."""
    try:
        Kubectl(limited).run("delete", "-n", "models", "backendtrafficpolicy", "rate-limits")
        wait_for(
            lambda: {get(limited, INFER, "rest") for _ in range(TRIED)} == {200}, SECONDS, "answers"
        )
    finally:
        apply(limited)
