"""How many requests a model takes: what a BackendTrafficPolicy becomes for Envoy."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.kubernetes.meta import Object
from controlplane.local.controllers import inference
from controlplane.local.controllers.plan import Limits, Mirror, Plan, RateLimit
from controlplane.local.gateway import envoy, limits
from controlplane.local.gateway.policies import Verdict
from tests.support.manifests import canary, planned, service

SERVICE = service(canary=[canary(10, "b2")])
LABELS = {"app.kubernetes.io/name": "iris"}
SERVICE["metadata"]["labels"] = LABELS
CLIENT = {"name": "x-client", "type": "Distinct"}


def run(about: Object, action: Callable[[], Any], otherwise: Any) -> Any:
    """A fence that lets everything through."""
    return action()


def rule(requests: int = 5, unit: str = "Minute", *headers: Object) -> Object:
    """One rule of a policy."""
    selectors = {"clientSelectors": [{"headers": [*headers]}]} if headers else {}
    return {**selectors, "limit": {"requests": requests, "unit": unit}}


def limited(*rules: Object) -> tuple[Plan, Verdict]:
    """The plan of iris with a canary and a mirror, with a policy of these rules."""
    plan = planned(SERVICE, {"iris-canary-predictor": 1})
    mirror = Mirror(
        *("iris-shadow", "iris", "/v2/models/iris/infer", "http"),
        *("iris-predictor", "iris-canary-predictor", (), 60),
    )
    plan = dataclasses.replace(plan, mirrors=(mirror,))
    policy = {
        "metadata": {"name": "limits", "namespace": "models"},
        "spec": {
            "targetSelectors": [{"kind": "HTTPRoute", "matchLabels": LABELS}],
            "rateLimit": {"type": "Local", "local": {"rules": [*rules]}},
        },
    }
    plan, verdicts = limits.limited(plan, [policy], inference.routes(SERVICE, {}), run)
    return plan, verdicts["limits"]


def configured(plan: Plan) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Envoy's configuration of routes, and those of its routes that lead to iris."""
    answering = {"iris-predictor", "iris-canary-predictor"}
    (found,) = envoy.routes(plan, {"iris": True}, answering)["resources"]
    routes = [route for host in found["virtual_hosts"] for route in host["routes"]]
    return found, [
        route
        for route in routes
        if "iris" in str(route.get("route")) or "closed" in str(route.get("direct_response"))
    ]


def is_of_server(route: dict[str, Any]) -> bool:
    """Whether it asks about the server, and not a model."""
    prefix = route["match"].get("prefix", "")
    return "/Server" in prefix or "Health" in prefix


def test_all_addresses_of_a_model_share_its_limit() -> None:
    """The limits lie beside all routes; hosts, paths, versions, mirrors and gRPC name the model."""
    plan, verdict = limited(rule(5, "Minute", CLIENT))

    configuration, routes = configured(plan)
    assert verdict.accepted
    assert len(routes) > 8
    told = {"serin.limits": {"model": "iris", "again": "12"}}
    for route in routes:
        metadata = route.get("metadata", {}).get("filter_metadata")
        assert metadata == (None if is_of_server(route) else told)
        assert limits.FILTER not in route.get("typed_per_filter_config", {})
    content = configuration["typed_per_filter_config"][limits.FILTER]
    (descriptor,) = content["descriptors"]
    bucket = descriptor["token_bucket"]
    assert (bucket["max_tokens"], bucket["tokens_per_fill"]) == (5, 5)
    assert bucket["fill_interval"] == "60s"


@pytest.mark.parametrize(
    ("header", "entry"),
    [
        (CLIENT, {"key": "x-client"}),
        ({"name": "X-Client", "value": "alice"}, {"key": "x-client", "value": "alice"}),
    ],
)
def test_a_rule_counts_what_its_headers_select(header: Object, entry: dict[str, str]) -> None:
    """Each value of a Distinct header apart; of an Exact one, the requests that have the value."""
    plan, _ = limited(rule(1, "Second", header))

    configuration, _ = configured(plan)
    content = configuration["typed_per_filter_config"][limits.FILTER]
    (descriptor,), (read,) = content["descriptors"], content["rate_limits"]
    assert descriptor["entries"][1:] == [entry]
    assert read["actions"][1]["request_headers"]["header_name"] == header["name"]


def test_the_wait_is_that_of_the_slowest_rule() -> None:
    """Retry-After never names a time at which another rule still refuses."""
    plan, _ = limited(rule(100, "Second"), rule(2, "Hour", CLIENT))

    _, routes = configured(plan)
    waits = {
        route["metadata"]["filter_metadata"]["serin.limits"]["again"]
        for route in routes
        if not is_of_server(route)
    }
    assert waits == {"1800"}


def test_models_are_counted_apart() -> None:
    """Two models with the same rules have no key in common."""
    own = Limits((RateLimit(5, 60, (("x-client", None),)),))
    content = limits.everywhere({"iris": own, "nli": own, "open": None})
    told = content["typed_per_filter_config"][limits.FILTER]

    keys = {descriptor["entries"][0]["key"] for descriptor in told["descriptors"]}
    assert len(keys) == len(told["rate_limits"]) == 2
    assert limits.everywhere({"open": None}) == {}


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (rule(0),),
        (rule(1, "Second", {"name": "a b", "value": "c"}),),
        (rule(1, "Second", {"name": ":path", "value": "/"}),),
        (rule(1, "Second", {**CLIENT, "value": "alice"}),),
        (rule(1, "Second", {"name": "x-client"}),),
    ],
)
def test_a_policy_that_cannot_be_followed_closes_every_route(rules: tuple[Object, ...]) -> None:
    """As in Envoy Gateway; the verdict and the answer say why."""
    plan, verdict = limited(*rules)

    _, routes = configured(plan)
    assert {route["direct_response"]["status"] for route in routes} == {500}
    assert "BackendTrafficPolicy" in routes[0]["direct_response"]["body"]["inline_string"]
    assert verdict.reason == "Invalid"
