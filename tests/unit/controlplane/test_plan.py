from typing import Any

import pytest

from controlplane.errors import ManifestError
from controlplane.local.plan import Backend, Plan, plan
from tests.support.manifests import canary, manifests, scaled_object, service

VERSIONS = {"s3://models/iris": "a1"}


def planned(*documents: dict[str, Any], **facts: Any) -> Plan:
    """Plan iris from these documents."""
    return plan(
        manifests(*documents),
        {"iris": facts.get("replicas")},
        facts.get("versions", VERSIONS),
        facts.get("ready", {}),
    )


def test_a_service_becomes_kserves_deployment_and_route() -> None:
    """Names and hosts are those that KServe gives in a cluster."""
    found = planned(service())

    (deployment,) = found.deployments
    (route,) = found.routes
    assert deployment.name == "iris-predictor"
    assert deployment.storage_uri == "s3://models/iris/a1"
    assert deployment.version == "a1"
    assert route.hosts == ("iris-models.localhost", "iris-predictor-models.localhost")
    assert route.backends == (Backend("iris-predictor", 100),)


@pytest.mark.parametrize(
    ("ready", "weights"),
    [
        ({}, {"iris-predictor": 100}),
        ({"iris-predictor": 2}, {"iris-predictor": 100}),
        ({"iris-canary-predictor": 1}, {"iris-predictor": 70, "iris-canary-predictor": 30}),
    ],
)
def test_weights_follow_readiness(ready: dict[str, int], weights: dict[str, int]) -> None:
    """A canary without a ready pod gets no request."""
    found = planned(service(canary=[canary(30, "b2")]), ready=ready)

    assert {b.deployment: b.weight for b in found.routes[0].backends} == weights
    assert [d.name for d in found.deployments] == ["iris-predictor", "iris-canary-predictor"]
    assert [d.version for d in found.deployments] == ["a1", "b2"]


@pytest.mark.parametrize(
    ("documents", "asked", "replicas"),
    [
        ([], None, 1),
        ([scaled_object("iris-predictor", 3)], None, 3),
        ([scaled_object("iris-predictor", 0)], None, 1),
        ([scaled_object("iris-predictor", 3)], 2, 2),
        ([scaled_object("iris-canary-predictor", 3)], None, 1),
    ],
)
def test_replicas_come_from_the_scaled_object(
    documents: list[dict[str, Any]], asked: int | None, replicas: int
) -> None:
    """Unless the command line says a number; nothing would wake a zero."""
    found = planned(service(), *documents, replicas=asked)

    assert found.deployments[0].replicas == replicas


def test_a_version_in_the_uri_is_kept() -> None:
    """An overlay that names a version decides it."""
    model = {"runtime": "serin-iris", "storageUri": "s3://models/iris/c3"}

    found = planned(service(predictor={"model": model}))

    assert found.deployments[0].version == "c3"


def test_an_unpublished_model_has_a_route_and_no_deployment() -> None:
    """Its hosts answer 503 until it is published, and `up` learns that it is to be trained."""
    found = planned(service(), versions={})

    assert found.deployments == ()
    assert found.unpublished == ("iris",)
    assert found.routes[0].service == "iris"


def test_the_template_hash_changes_with_the_version_only_where_it_should() -> None:
    """Replicas are not part of a pod's template; the version is."""
    one = planned(service(), replicas=1).deployments[0]
    two = planned(service(), replicas=2).deployments[0]
    other = planned(service(), versions={"s3://models/iris": "b2"}).deployments[0]

    assert one.template_hash == two.template_hash
    assert one.template_hash != other.template_hash


def test_the_services_arguments_and_env_come_last() -> None:
    """KServe appends arguments and lets the service's variables win."""
    model = {
        "runtime": "serin-iris",
        "storageUri": "s3://models/iris",
        "args": ["--max_threads=2"],
        "env": [{"name": "PREDICTOR_THREADS", "value": "2"}],
    }

    (found,) = planned(service(predictor={"model": model})).deployments

    assert found.container.args[-1] == "--max_threads=2"
    assert dict(found.container.env) == {"PREDICTOR_THREADS": "2"}


def test_a_missing_runtime_is_named() -> None:
    """The error says which service names which runtime."""
    document = service(predictor={"model": {"runtime": "other", "storageUri": "s3://models/iris"}})

    with pytest.raises(ManifestError, match=r"iris names the ServingRuntime other"):
        planned(document)
