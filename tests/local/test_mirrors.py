"""HTTPRoutes of one's own on the laptop: a mirror by kubectl, through the real Envoy."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.rollout.steps.mirror import mirror_route
from tests.support import trained
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for

STABLE, CANARY = "iris-predictor", "iris-canary-predictor"
FLOWER = ("5.1", "3.5", "1.4", "0.2")


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """Iris with a canary without weight, of the same version."""
    platform = Platform(tmp_path_factory.mktemp("mirrors") / "state")
    platform.publish(trained.brief("iris"))
    try:
        platform.serin("up", "iris")
        found = Kubectl(platform)
        uri = found.get("isvc/iris")["spec"]["predictor"]["model"]["storageUri"]
        model = {"modelFormat": {"name": "iris"}, "storageUri": uri}
        predictor = {"name": "canary", "minReplicas": 1, "model": model}
        found.patch("isvc/iris", {"canary": [{"trafficPercent": 0, "predictor": predictor}]})
        found.run("rollout", "status", f"deployment/{CANARY}", "--timeout=60s")
        yield found
    finally:
        platform.serin("down")
        assert platform.leftovers() == []


def route(kubectl: Kubectl, mark: str) -> dict[str, Any]:
    """A mirror as rollouts make it."""
    uri = f"s3://models/iris/{mark}"
    return mirror_route(kubectl.get("isvc/iris"), kubectl.get("httproute/iris"), "abc", uri)


def answers(kubectl: Kubectl, deployment: str, mark: str) -> dict[str, str]:
    """The mirrored requests that a Deployment's pods tell of: id → protocol."""
    logs = kubectl.out("logs", "-l", f"app=isvc.{deployment}", "--tail=-1")
    lines = [json.loads(line) for line in logs.splitlines()]
    found = [one for one in lines if one["event"] == "shadow" and one["shadow"] == f"abc/{mark}"]
    return {one["x_request_id"]: one["protocol"] for one in found}


def test_envoy_copies_requests_under_the_same_id_until_the_route_is_deleted(
    kubectl: Kubectl,
) -> None:
    """REST and gRPC; the mark that is set reaches the copy, and the client gets one answer."""
    serin = kubectl.platform.serin
    kubectl.run("apply", "-f", "-", text=json.dumps(route(kubectl, "one")))

    def both() -> bool:
        serin("infer", "iris", *FLOWER)
        serin("infer", "iris", *FLOWER, "--grpc")
        return set(answers(kubectl, CANARY, "one").values()) == {"rest", "grpc"}

    wait_for(both, 60, "copies of both protocols")
    copies = answers(kubectl, CANARY, "one")
    wait_for(
        lambda: copies.items() <= answers(kubectl, STABLE, "one").items(), 60, "stable's lines"
    )
    assert "iris-shadow" in kubectl.out("describe", "httproute", "iris-shadow")
    kubectl.run("delete", "httproute", "iris-shadow")

    def ended() -> bool:
        before = answers(kubectl, STABLE, "one")
        serin("infer", "iris", *FLOWER)
        return answers(kubectl, STABLE, "one") == before

    wait_for(ended, 60, "the end of the mirror")
    assert kubectl.weights()[STABLE] > 0


def test_what_the_gateway_cannot_carry_out_is_refused_by_its_field(kubectl: Kubectl) -> None:
    """With what is expected; nothing is stored."""
    one = route(kubectl, "two")
    one["spec"]["rules"][0]["filters"][1]["requestMirror"]["percent"] = 10
    one["spec"]["rules"][1]["matches"][0]["path"]["type"] = "PathPrefix"

    said = kubectl.run("apply", "-f", "-", text=json.dumps(one), expect=1).stderr

    assert "spec.rules[0].filters[1].requestMirror" in said
    assert "'percent' was unexpected" in said
    assert 'spec.rules[1].matches[0].path.type: Unsupported value: "PathPrefix"' in said
    assert "iris-shadow" not in kubectl.out("get", "httproutes")


def test_kserves_routes_come_back_and_lose_no_request(kubectl: Kubectl) -> None:
    """As its controller writes them again."""
    before = kubectl.get("httproute/iris")

    kubectl.run("delete", "httproute", "iris")
    kubectl.platform.serin("infer", "iris", *FLOWER)

    wait_for(
        lambda: kubectl.get("httproutes")["items"][0]["metadata"]["name"] == "iris", 60, "the route"
    )
    after = kubectl.get("httproute/iris")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"] == before["spec"]


def weights(kubectl: Kubectl) -> set[tuple[int, ...]]:
    """The shares that Envoy routes by, of every route that it has."""
    dump = json.loads(kubectl.platform.envoy("/config_dump?resource=dynamic_route_configs"))
    (routes,) = [one["route_config"] for one in dump["configs"]]
    return {
        tuple(cluster["weight"] for cluster in route["route"]["weighted_clusters"]["clusters"])
        for host in routes["virtual_hosts"]
        for route in host["routes"]
        if "weighted_clusters" in route.get("route", {})
    }


def test_a_route_that_envoy_refuses_is_named_and_the_others_follow(kubectl: Kubectl) -> None:
    """It is taken out; a canary's weight reaches Envoy meanwhile, and status says whose fault."""
    bad = route(kubectl, "two")
    for rule in bad["spec"]["rules"]:
        for one in rule["filters"]:
            for field in one.get("requestHeaderModifier", {}).get("set", ()):
                field["name"] = "Host"
    kubectl.run("apply", "-f", "-", text=json.dumps(bad))

    def said() -> list[dict[str, Any]]:
        parents = (kubectl.get("httproute/iris-shadow").get("status") or {}).get("parents", ())
        return [one for parent in parents for one in parent["conditions"]]

    wait_for(lambda: [one["status"] for one in said()] == ["False"], 60, "Envoy's word")
    assert "host headers may not be modified" in said()[0]["message"]
    assert "host headers" in kubectl.out("describe", "httproute/iris-shadow")
    (fault,) = kubectl.platform.state()["faults"]
    assert (fault["kind"], fault["name"]) == ("HTTPRoute", "iris-shadow")

    kubectl.run(
        *("patch", "isvc/iris", "--type=json", "-p"),
        json.dumps([{"op": "replace", "path": "/spec/canary/0/trafficPercent", "value": 50}]),
    )
    wait_for(lambda: weights(kubectl) == {(50, 50)}, 60, "the canary's share in Envoy")
    kubectl.run("wait", "isvc/iris", "--for=condition=Ready", "--timeout=10s")
    kubectl.run("delete", "httproute", "iris-shadow")
    wait_for(lambda: kubectl.platform.state()["faults"] == [], 60, "the fault to go")
