"""Which routes an API key guards: all of the model's, whatever else happens."""

import base64
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from controlplane.kubernetes.meta import Object
from controlplane.local.controllers import inference
from controlplane.local.controllers.plan import Keys, Mirror, Plan
from controlplane.local.gateway import envoy, keys
from controlplane.local.gateway.policies import Verdict
from controlplane.local.gateway.trial import Trial
from tests.support.manifests import canary, planned, service

SERVICE = service(canary=[canary(10, "b2")])
LABELS = {"app.kubernetes.io/name": "iris"}
SERVICE["metadata"]["labels"] = LABELS
NAMED: Object = {"targetRefs": [{"kind": "HTTPRoute", "name": "iris-predictor"}]}
SELECTED: Object = {"targetSelectors": [{"kind": "HTTPRoute", "matchLabels": LABELS}]}


def run(_about: Object, action: Callable[[], Any], _otherwise: Any) -> Any:
    """A fence that lets everything through."""
    return action()


def fails(about: Object, action: Callable[[], Any], otherwise: Any) -> Any:
    """A fence in which every look at keys fails."""
    found = action()
    return found if isinstance(found, set) else otherwise


def policy(target: Object, name: str = "keys", **changes: Any) -> Object:
    """A SecurityPolicy whose keys are in the Secret `callers`."""
    asked = {
        "credentialRefs": [{"name": "callers"}],
        "extractFrom": [{"headers": ["x-api-key"]}, {"params": ["key"]}, {"cookies": ["key"]}],
        **changes,
    }
    metadata = {"name": name, "namespace": "models", "creationTimestamp": name}
    return {"kind": "SecurityPolicy", "metadata": metadata, "spec": {**target, "apiKeyAuth": asked}}


def secret(**data: bytes) -> Object:
    """The Secret `callers`."""
    encoded = {client: base64.b64encode(key).decode() for client, key in data.items()}
    return {"metadata": {"name": "callers", "namespace": "models"}, "data": encoded}


def guard(
    *policies: Object, secrets: tuple[Object, ...] = (secret(alice=b"k"),), fence: Any = run
) -> tuple[Plan, Mapping[str, Verdict]]:
    """The plan of iris with a canary and a mirror, guarded."""
    plan = planned(SERVICE, {"iris-canary-predictor": 1})
    mirror = Mirror(
        *("iris-shadow", "iris", "/v2/models/iris/infer", "http"),
        *("iris-predictor", "iris-canary-predictor", (), 60),
    )
    plan = dataclasses.replace(plan, mirrors=(mirror,))
    return keys.guarded(plan, policies, inference.routes(SERVICE, {}), secrets, fence)


def models_routes(plan: Plan) -> list[dict[str, Any]]:
    """Every route of Envoy that leads to the model, but those that ask about the server."""
    answering = {"iris-predictor", "iris-canary-predictor"}
    (configuration,) = envoy.routes(plan, {"iris": True}, answering)["resources"]
    found = [
        route
        for host in configuration["virtual_hosts"]
        for route in host["routes"]
        if "/Server" not in route["match"].get("prefix", "")
        and "Health" not in route["match"].get("prefix", "")
    ]
    return [
        one
        for one in found
        if "iris" in str(one.get("route")) or "closed" in str(one.get("direct_response"))
    ]


@pytest.mark.parametrize("target", [NAMED, SELECTED])
def test_every_route_of_a_guarded_model_has_its_keys(target: Object) -> None:
    """Hosts, paths of versions, mirrors, gRPC by message: none is forgotten."""
    plan, verdicts = guard(policy(target))

    routes = models_routes(plan)
    assert len(routes) > 8
    for route in routes:
        told = route["typed_per_filter_config"][keys.FILTER]
        assert told["credentials"] == [{"key": "k", "client": "alice"}]
        assert told["key_sources"] == [{"header": "x-api-key"}, {"query": "key"}, {"cookie": "key"}]
    assert verdicts["keys"].accepted


@pytest.mark.parametrize(
    ("secrets", "changes"),
    [
        ((), {}),
        ((secret(alice=b"\n"),), {}),
        ((secret(alice=b"k", bob=b"k"),), {}),
        ((secret(),), {}),
        ((secret(alice=b"k"),), {"extractFrom": [{"headers": ["a b"]}]}),
        ((secret(alice=b"k"),), {"forwardClientIDHeader": "Content-Length"}),
        ((secret(alice=b"k"),), {"forwardClientIDHeader": ":path"}),
    ],
)
def test_a_policy_that_cannot_be_followed_closes_every_route(
    secrets: tuple[Object, ...], changes: Object
) -> None:
    """Not one is left open, and the verdict says why without a key."""
    plan, verdicts = guard(policy(SELECTED, **changes), secrets=secrets)

    assert {one["direct_response"]["status"] for one in models_routes(plan)} == {500}
    assert verdicts["keys"].reason == "Invalid"


def test_a_fault_of_our_own_closes_every_route() -> None:
    """What reads the keys fails, for whatever reason: nobody is let in."""
    plan, _ = guard(policy(SELECTED), fence=fails)

    assert {one["direct_response"]["status"] for one in models_routes(plan)} == {500}


def test_kserves_routes_do_not_have_the_laptops_own_label() -> None:
    """A selector that finds nothing in a cluster finds nothing here either, and says so."""
    labels = {"serving.kserve.io/inferenceservice": "iris"}
    plan, verdicts = guard(
        policy({"targetSelectors": [{"kind": "HTTPRoute", "matchLabels": labels}]})
    )

    assert plan.routes[0].keys is None
    assert verdicts["keys"].reason == "TargetNotFound"


def test_the_older_policy_counts() -> None:
    """Whatever order they come in."""
    newer = policy(SELECTED, "z", credentialRefs=[{"name": "nowhere"}])
    plan, verdicts = guard(newer, policy(NAMED, "a"))

    assert plan.routes[0].keys
    assert not plan.routes[0].keys.refused
    assert verdicts["z"].reason == "Conflicted"


def test_keys_are_not_in_a_routes_text() -> None:
    """A route may be logged; its keys are not in what is printed of it."""
    plan, _ = guard(policy(SELECTED), secrets=(secret(alice=b"very-secret"),))

    assert "very-secret" not in repr(plan)


def test_a_model_whose_keys_envoy_refuses_is_closed() -> None:
    """It does not keep the open route that it had, nor keys that were taken away."""
    (open_route,) = planned(SERVICE).routes
    first, second = (Keys((("alice", key),), (("header", "x"),)) for key in ("one", "two"))
    for before in (open_route, dataclasses.replace(open_route, keys=first)):
        wanted = dataclasses.replace(open_route, keys=second)
        trial = Trial()
        trial.accepted([before])
        trial.rejected([wanted], "no")
        (chosen,) = trial.choose([wanted])
        assert chosen.keys
        assert chosen.keys.refused
        trial.accepted([chosen])
        assert list(trial.choose([wanted])) == [chosen]
