"""HTTPRoutes that mirror: which are taken, what Envoy makes of them, and which parts of a log."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.kubernetes.kinds import by_name
from controlplane.kubernetes.refusals import BadRequest
from controlplane.local.api.kubectl import podlogs
from controlplane.local.api.rules import gateway
from controlplane.local.api.schemas import validation
from controlplane.local.controllers import inference
from controlplane.local.controllers.plan import plan
from controlplane.local.gateway import envoy
from controlplane.rollout.steps.mirror import change, mirror_route
from controlplane.rollout.steps.seen import PARKED, read
from tests.support.manifests import RUNTIME, canary, service

URI = "s3://models/iris/v2"


def both() -> dict[str, Any]:
    """Iris with a canary of weight 0."""
    return service(canary=[canary(0, "v2")])


def routes() -> list[dict[str, Any]]:
    return inference.routes(both(), {"iris-predictor": 1, "iris-canary-predictor": 1})


def mirrored() -> dict[str, Any]:
    """What a rollout makes, as it is stored."""
    kind = by_name("HTTPRoute")
    assert kind is not None
    one = mirror_route(both(), routes()[0], "abc", URI)
    validation.prune(kind, one)
    validation.fill_defaults(kind, one)
    validation.check(kind, one)
    return one


def test_the_rollouts_own_route_is_taken() -> None:
    """What the engine makes is of the form that the gateway carries out."""
    assert list(gateway.causes(mirrored(), routes())) == []


def set_at(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(one: Any) -> None:
        for name in path[:-1]:
            one = one[name]
        one[path[-1]] = value

    return change


RULE = ("spec", "rules", 0)
MIRROR = (*RULE, "filters", 1, "requestMirror")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_at(*MIRROR, "percent", value=10), "spec.rules[0].filters[1].requestMirror"),
        (
            set_at(*MIRROR, "backendRef", "name", value="nobody"),
            "spec.rules[0].filters[1].requestMirror.backendRef.name",
        ),
        (
            set_at(*RULE, "backendRefs", 0, "port", value=80),
            "spec.rules[0].backendRefs[0].port",
        ),
        (
            set_at(*RULE, "matches", 0, "path", "type", value="PathPrefix"),
            "spec.rules[0].matches[0].path.type",
        ),
        (
            set_at(*RULE, "filters", 1, value={"type": "URLRewrite"}),
            "spec.rules[0].filters[1].type",
        ),
        (set_at("spec", "hostnames", value=["example.org"]), "spec.hostnames"),
        (set_at("spec", "parentRefs", 0, "name", value="other"), "spec.parentRefs[0].name"),
        (
            set_at("metadata", "ownerReferences", value=[{"controller": True}]),
            "metadata.ownerReferences",
        ),
    ],
)
def test_what_would_not_be_carried_out_is_refused_by_its_field(
    change: Callable[[dict[str, Any]], None], field: str
) -> None:
    """Shares of requests, other Services, other filters, other hosts, other Gateways."""
    one = mirrored()
    change(one)

    found = list(gateway.causes(one, routes()))

    assert [cause.field for cause in found] == [field], found


def envoys(*, with_canary: bool = True) -> dict[str, Any]:
    """The virtual hosts, by name, with the mirror among the HTTPRoutes."""
    deployments = inference.deployments(both(), {"serin-iris": RUNTIME})
    if not with_canary:
        deployments = deployments[-1:]
    for one in deployments:
        one["spec"]["replicas"] = 1
    (found,) = envoy.routes(plan(deployments, [*routes(), mirrored()]))["resources"]
    return {host["name"]: host for host in found["virtual_hosts"]}


@pytest.mark.parametrize("host", ["iris", "any-host"])
def test_envoy_copies_to_the_canary_what_stable_answers(host: str) -> None:
    """At the exact path, before the model's own routes, with the header on both."""
    rest = [
        one for one in envoys()[host]["routes"] if "route" in one and "grpc" not in one["match"]
    ]
    first = rest[0]

    assert first["match"] == {"path": "/v2/models/iris/infer"}
    assert first["route"]["cluster"] == "iris-predictor-http"
    (policy,) = first["route"]["request_mirror_policies"]
    assert policy["cluster"] == "iris-canary-predictor-http"
    assert first["request_headers_to_add"][0]["header"] == {
        "key": "serin-shadow",
        "value": "abc/v2",
    }


def test_grpc_is_copied_to_the_grpc_port() -> None:
    """By the exact path of ModelInfer."""
    first = envoys()["iris"]["routes"][0]

    assert first["match"] == {"path": "/inference.GRPCInferenceService/ModelInfer", "grpc": {}}
    (policy,) = first["route"]["request_mirror_policies"]
    assert policy["cluster"] == "iris-canary-predictor-grpc"


def test_without_the_canary_the_models_own_route_is_left() -> None:
    """A mirror to nobody must not stand before the route that answers."""
    hosts = envoys(with_canary=False)

    assert "request_mirror_policies" not in json.dumps(hosts)
    assert len(hosts["iris"]["routes"]) == 2


def lines(folder: Path, *texts: str) -> Path:
    path = folder / "log"
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


def at(second: int) -> str:
    return json.dumps({"time": f"2026-01-01T00:00:{second:02}+00:00", "n": second})


def test_a_log_since_a_time_begins_with_the_first_line_that_is_not_older(tmp_path: Path) -> None:
    """A line without a time belongs to the one before it."""
    path = lines(tmp_path, "no time", at(1), "of 1", at(2), "of 2", at(3))

    def since(text: str) -> list[str]:
        content, size = podlogs.read(path, podlogs.wanted({"sinceTime": text}, 0))
        assert size == path.stat().st_size
        return content.decode().splitlines()

    assert since("2026-01-01T00:00:02Z") == [at(2), "of 2", at(3)]
    assert since("2026-01-01T00:00:03.5Z") == []
    assert since("2025-01-01T00:00:00Z")[0] == "no time"
    assert since("2026-01-01T01:00:03+01:00") == [at(3)]


def test_limits_and_wrong_queries_of_a_log(tmp_path: Path) -> None:
    """The last lines, cut to size; numbers and times that are none are refused."""
    path = lines(tmp_path, *map(at, range(5)))

    some, _ = podlogs.read(path, podlogs.wanted({"tailLines": "2", "limitBytes": "10"}, 0))

    assert some == at(3).encode()[:10]
    for query in (
        {"sinceTime": "yesterday"},
        {"sinceSeconds": "0"},
        {"tailLines": "-1"},
        {"sinceTime": "2026-01-01T00:00:00Z", "sinceSeconds": "1"},
    ):
        with pytest.raises(BadRequest):
            podlogs.wanted(query, 0)


def test_the_route_is_no_copy_of_kserves() -> None:
    """KServe's object stays as it was."""
    own = routes()[0]
    before = copy.deepcopy(own)

    mirror_route(both(), own, "abc", URI)

    assert own == before


def test_what_is_opened_again_is_what_was_parked() -> None:
    """Parking twice is parking once, and the paths come back as they were."""
    mirror = mirror_route(both(), routes()[0], "abc", URI)
    parked = {**mirror, **change(mirror, 1.0, park=True)}
    twice = {**mirror, **change(parked, 2.0, park=True)}
    opened = change(twice, 3.0, park=False)
    paths = [rule["matches"][0]["path"]["value"] for rule in parked["spec"]["rules"]]

    assert opened["spec"]["rules"] == mirror["spec"]["rules"]
    assert twice["spec"] == parked["spec"]
    seen = [read(both(), None, (), (), one).mirror for one in (mirror, parked, opened)]
    assert [one and one.copies for one in seen] == [True, False, True]
    assert paths == [
        f"{PARKED}/inference.GRPCInferenceService/ModelInfer",
        f"{PARKED}/v2/models/iris/infer",
    ]
