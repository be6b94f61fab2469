import asyncio
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controlplane.local.controllers.plan import Backend, Plan, Route
from controlplane.local.gateway import envoy, upstreams
from controlplane.local.gateway.process import Gateway
from controlplane.local.node.fleet import Endpoint
from controlplane.statefolder import Home
from tests.support.manifests import canary, planned, service

FOLDER = Path("/state/envoy")


def route(*backends: Backend) -> Route:
    """The route of iris to these backends."""
    hosts = ("iris-models.localhost",)
    return Route("iris", hosts, backends, 30, "/v2/models/iris/ready")


def hosts_of(plan: Plan) -> dict[str, Any]:
    """The virtual hosts of a plan, by name."""
    (configuration,) = envoy.routes(plan)["resources"]
    return {host["name"]: host for host in configuration["virtual_hosts"]}


def shares(one: dict[str, Any]) -> dict[str, int]:
    """Where a route sends requests: cluster → weight."""
    return {c["name"]: c["weight"] for c in one["route"]["weighted_clusters"]["clusters"]}


def test_grpc_and_rest_of_one_host_go_to_their_own_clusters() -> None:
    """The content type decides, and the gRPC route comes first."""
    grpc, rest = hosts_of(Plan((), (route(Backend("iris-predictor", 100)),)))["iris"]["routes"]

    assert "grpc" in grpc["match"]
    assert shares(grpc) == {"iris-predictor-grpc": 100}
    assert shares(rest) == {"iris-predictor-http": 100}
    assert rest["route"]["timeout"] == "30s"


def test_weights_are_the_plans_and_zero_is_left_out() -> None:
    """A backend of weight 0 must get nothing, not a rounding error."""
    backends = (Backend("iris-predictor", 0), Backend("iris-canary-predictor", 100))

    for one in hosts_of(Plan((), (route(*backends),)))["iris"]["routes"]:
        assert list(shares(one).values()) == [100]


def test_a_path_that_names_a_version_goes_to_it_while_a_canary_answers() -> None:
    """Whatever its share, before the model's own prefix; without a canary nothing is routed so."""
    plan = planned(service(canary=[canary(10, "b2")]))
    both = {"iris-predictor", "iris-canary-predictor"}

    def targets(answering: set[str]) -> dict[str, str]:
        (configuration,) = envoy.routes(plan, {}, answering)["resources"]
        hosts = {host["name"]: host["routes"] for host in configuration["virtual_hosts"]}
        for place, one in enumerate(hosts["any-host"]):
            if one["match"].get("path_separated_prefix") == "/v2/models/iris":
                before = hosts["any-host"][:place]
        found = [
            {
                one["match"]["path_separated_prefix"]: one["route"]["cluster"]
                for one in routes
                if "/versions/" in one["match"].get("path_separated_prefix", "")
            }
            for routes in (hosts["iris"], before)
        ]
        assert found[0] == found[1]
        return found[0]

    assert targets(both) == {
        "/v2/models/iris/versions/a1": "iris-predictor-http",
        "/v2/models/iris/versions/b2": "iris-canary-predictor-http",
    }
    assert targets({"iris-predictor"}) == {}


def test_any_host_selects_a_model_by_path_and_else_says_what_there_is() -> None:
    """The last route is a 404 that names hosts and paths."""
    routes = hosts_of(Plan((), (route(Backend("iris-predictor", 100)),)))["any-host"]["routes"]
    *_, model, nothing = routes

    assert model["match"] == {"path_separated_prefix": "/v2/models/iris"}
    assert nothing["direct_response"]["status"] == 404
    said = nothing["direct_response"]["body"]["inline_string"]
    assert "iris-models.localhost" in said
    assert "metrics: on each pod's own port" in said


@pytest.mark.parametrize(("ready", "status"), [({"iris": True}, 200), ({"iris": False}, 503)])
def test_any_host_is_ready_when_every_model_is(ready: dict[str, bool], status: int) -> None:
    """Health of the gateway as one V2 server says what is, and its index says of which model."""
    plan = Plan((), (route(Backend("iris-predictor", 100)),))
    (configuration,) = envoy.routes(plan, ready)["resources"]
    pages = {
        one["match"]["safe_regex"]["regex"].removesuffix("/?"): one["direct_response"]
        for one in configuration["virtual_hosts"][-1]["routes"]
        if "safe_regex" in one["match"] and "direct_response" in one
    }

    assert pages["/v2/health/ready"]["status"] == status
    assert json.loads(pages["/v2/health/ready"]["body"]["inline_string"]) == {
        "ready": status == 200
    }
    (model,) = json.loads(pages["/v2/repository/index"]["body"]["inline_string"])
    assert model == {"name": "iris", "state": "READY" if ready["iris"] else "UNAVAILABLE"}


def test_a_grpc_request_of_any_host_goes_where_its_message_names() -> None:
    """One route a model, by the name that Envoy read; without models there is none."""
    with_model = hosts_of(Plan((), (route(Backend("iris-predictor", 100)),)))["any-host"]
    without = hosts_of(Plan((), ()))["any-host"]

    first = with_model["routes"][0]
    assert first["match"]["headers"][0]["string_match"] == {"exact": "iris"}
    assert shares(first) == {"iris-predictor-grpc": 100}
    assert not [one for one in without["routes"] if "grpc" in one["match"]]


def test_every_listening_address_is_loopback() -> None:
    """Nothing but this machine may reach the gateway, and its user alone the admin socket."""
    bootstrap = envoy.bootstrap(FOLDER, 8080, FOLDER / "admin")
    text = repr(bootstrap)

    assert text.count("'address': '127.0.0.1'") == 1
    admin = bootstrap["admin"]["address"]["pipe"]
    assert (admin["path"], admin["mode"]) == (str(FOLDER / "admin"), 0o600)
    assert "0.0.0.0" not in text
    assert "'enable_reuse_port': False" in text


def test_a_connection_with_many_calls_takes_turns_with_others() -> None:
    """Ten of its requests a turn; Envoy has no limit by default, and others wait for all."""
    (layer,) = envoy.bootstrap(FOLDER, 8080, FOLDER / "admin")["layered_runtime"]["layers"]

    assert layer["static_layer"] == {"http.max_requests_per_io_cycle": 10}


def test_a_long_paths_socket_is_in_a_folder_of_its_users_alone(tmp_path: Path) -> None:
    """A Unix socket's address has a hundred bytes; the folder goes with Envoy."""
    long = Gateway(Home(tmp_path / ("d" * 100)), 8080, lambda: None)
    folder = long.admin.parent

    assert folder.stat().st_mode & 0o777 == 0o700
    long.stop()
    assert not folder.exists()


def test_a_deployment_has_two_clusters_that_ask_the_rest_port() -> None:
    """Health of gRPC is asked over REST, where the model's readiness is."""
    files = upstreams.endpoints("iris-predictor", [Endpoint(5001, 5002)])

    ports = {}
    for name, content in files.items():
        (assignment,) = content["resources"]
        (host,) = assignment["endpoints"][0]["lb_endpoints"]
        socket = host["endpoint"]["address"]["socket_address"]
        assert host["endpoint"]["health_check_config"] == {"port_value": 5001}
        ports[name] = socket["port_value"]
    assert ports == {"iris-predictor-http.json": 5001, "iris-predictor-grpc.json": 5002}


def test_a_deployment_without_weight_is_known_before_it_gets_requests() -> None:
    """Envoy checks a canary's health while its weight still is 0."""
    found = upstreams.clusters(FOLDER, {"iris-canary-predictor": "/v2/models/iris/ready"})

    assert [cluster["name"] for cluster in found["resources"]] == [
        "iris-canary-predictor-http",
        "iris-canary-predictor-grpc",
    ]


def test_a_dead_pod_may_cost_many_retries_at_once() -> None:
    """Envoy's default of 3 retries at a time loses requests when a pod dies under load."""
    (http, _) = upstreams.clusters(FOLDER, {"iris-predictor": "/ready"})["resources"]

    (limits,) = http["circuit_breakers"]["thresholds"]
    assert limits["max_retries"] >= 1024
    assert http["ignore_health_on_host_removal"] is True


def clusters_of(gateway: Gateway) -> set[str]:
    """The Deployments that Envoy has been told of."""
    found = json.loads((gateway.folder / "cds" / "clusters.json").read_text("utf-8"))
    return {cluster["name"].removesuffix("-http") for cluster in found["resources"][::2]}


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """One whose Envoy takes every file of routes at once."""

    async def takes(_self: Gateway, _version: str) -> str:
        return ""

    monkeypatch.setattr(Gateway, "_verdict", takes)
    return Gateway(Home(tmp_path), 8080, lambda: None)


async def told(gateway: Gateway, plan: Plan, pods: Mapping[str, list[Endpoint]]) -> set[str]:
    """Which Deployments Envoy knows once it has a plan's routes."""
    gateway.apply(plan, pods)
    known = clusters_of(gateway)
    for _ in range(5):
        await asyncio.sleep(0)
    return known


def test_a_cluster_outlives_the_routes_to_it(gateway: Gateway) -> None:
    """Envoy reads clusters before routes: what goes at once is missed by what is on its way."""
    stable, canary = Backend("iris-predictor", 80), Backend("iris-canary-predictor", 20)
    both, alone = Plan((), (route(stable, canary),)), Plan((), (route(stable),))
    pod = [Endpoint(5001, 5002)]
    names = {"iris-predictor", "iris-canary-predictor"}

    async def follow() -> None:
        await told(gateway, both, {"iris-predictor": pod, "iris-canary-predictor": pod})
        for _ in range(3):  # its pod is leaving
            pods = {"iris-predictor": pod, "iris-canary-predictor": []}
            assert await told(gateway, alone, pods) == names
        assert await told(gateway, alone, {"iris-predictor": pod}) == {"iris-predictor"}

    asyncio.run(follow())


def test_a_cluster_without_pods_goes_after_the_routes_to_it(gateway: Gateway) -> None:
    """Such as that of a canary that slept."""
    stable, canary = Backend("iris-predictor", 80), Backend("iris-canary-predictor", 20)
    pod = {"iris-predictor": [Endpoint(5001, 5002)]}

    async def follow() -> list[set[str]]:
        await told(gateway, Plan((), (route(stable, canary),)), pod)
        return [await told(gateway, Plan((), (route(stable),)), pod) for _ in range(3)]

    first, *_, last = asyncio.run(follow())
    assert (first, last) == ({"iris-predictor", "iris-canary-predictor"}, {"iris-predictor"})


def test_openais_paths_go_to_the_only_model_that_answers_them() -> None:
    """On any host; of several nothing but the body would say which, so neither has them."""
    plan = planned(service())
    (iris,) = plan.deployments
    speaking = dataclasses.replace(iris, api="openai")

    def bases(plan: Plan) -> list[str]:
        prefixes = (
            one["match"].get("path_separated_prefix", "")
            for one in hosts_of(plan)["any-host"]["routes"]
        )
        return [prefix for prefix in prefixes if prefix.endswith("/v1")]

    assert bases(plan) == []
    alone = dataclasses.replace(plan, deployments=(speaking,))
    assert bases(alone) == ["/openai/v1", "/v1"]
    other = dataclasses.replace(speaking, name="other-predictor", service="other")
    backends = (Backend("other-predictor", 100),)
    route_to_it = dataclasses.replace(plan.routes[0], service="other", backends=backends)
    several = dataclasses.replace(
        plan, deployments=(speaking, other), routes=(*plan.routes, route_to_it)
    )
    assert bases(several) == []
