"""What sleeps, read from the API's objects, and the EndpointSlice that stands in for it."""

from collections.abc import Collection
from typing import Any

import pytest

from controlplane.activator import slices
from controlplane.activator.slices import Me, Object, Target

ME = Me("activator-x", "u-1", "10.0.0.7")
NAME = "iris-predictor"
PORTS = [
    {"name": "http1", "port": 80},
    {"name": "h2c-grpc", "port": 81, "appProtocol": "kubernetes.io/h2c"},
]
POD = {"http1": [("10.0.0.9", 8080)], "h2c-grpc": [("10.0.0.9", 8081)]}


def scaled(least: int | None = 0) -> Object:
    """A ScaledObject of iris; None leaves the least out, which is 0."""
    spec: Object = {"scaleTargetRef": {"name": NAME}}
    return {"spec": spec if least is None else {**spec, "minReplicaCount": least}}


def real(**conditions: bool) -> Object:
    """The EndpointSlice of a pod, as Kubernetes makes it."""
    return {
        "metadata": {
            "labels": {slices.SERVICE: NAME, slices.MANAGED_BY: "endpointslice-controller.k8s.io"}
        },
        "endpoints": [{"addresses": ["10.0.0.9"], "conditions": conditions}],
        "ports": [{"name": "http1", "port": 8080}, {"name": "h2c-grpc", "port": 8081}],
    }


def found(
    replicas: int, *there: Object, least: int | None = 0, sleeping: Collection[str] = ()
) -> dict[str, Target]:
    """The targets among one Deployment with its Service and these slices."""
    labels = {slices.MODEL: "iris"}
    deployment = {
        "metadata": {"namespace": "models", "labels": labels},
        "spec": {"replicas": replicas},
    }
    services = {NAME: {"spec": {"ports": PORTS}}}
    return slices.targets([scaled(least)], {NAME: deployment}, services, there, sleeping)


PLACEHOLDER: dict[str, Any] = {**real(), "endpoints": None, "ports": None}


@pytest.mark.parametrize(
    ("replicas", "there", "pods"),
    [
        (0, [PLACEHOLDER], {}),
        (1, [real(ready=False)], {}),
        (1, [real(ready=True)], POD),
        (1, [real()], POD),  # unknown counts as ready
        (0, [real(ready=True, serving=True)], {}),  # it still serves; nobody wants it to
        (1, [real(ready=False, serving=True, terminating=True)], {}),
    ],
    ids=["none", "starts", "ready", "unknown", "last", "leaves"],
)
def test_asleep_is_without_a_pod_that_is_ready_and_wanted(
    replicas: int, there: list[Object], pods: dict[str, Any]
) -> None:
    """By what Kubernetes says of the pods, and by what the Deployment wants."""
    target = found(replicas, *there)[NAME]

    assert target.pods == pods
    assert target.asleep == (not pods)


def test_its_own_slice_is_no_pod() -> None:
    """Nor is another activator's: they would hand on to each other."""
    target = found(1, PLACEHOLDER)[NAME]
    own = slices.document(target, {"http1": 4001, "h2c-grpc": 4002}, ME)

    assert found(1, PLACEHOLDER, own)[NAME].asleep
    assert slices.owner(own) == ME.name
    assert slices.owner(real()) is None


def test_only_what_may_sleep_is_stood_in_for() -> None:
    """A ScaledObject that keeps a replica is nothing to us; KEDA's default keeps none."""
    assert not found(0, least=1)[NAME].asleep
    assert found(0, least=None)[NAME].asleep


def test_who_sleeps_is_looked_after_until_it_was_seen_awake() -> None:
    """Its ScaledObject may ask for a replica meanwhile, as a rollout does: it is not ready yet."""

    def kept(replicas: int, there: Object) -> dict[str, Target]:
        return found(replicas, there, least=1, sleeping=[NAME])

    assert kept(0, PLACEHOLDER)[NAME].asleep
    assert kept(1, real(ready=False))[NAME].asleep
    assert kept(1, real(ready=True))[NAME].pods == POD  # to hand on to


def test_what_is_not_there_yet_is_left_alone() -> None:
    """A canary's ScaledObject outlives its Deployment and Service."""
    assert slices.targets([scaled()], {}, {}, []) == {}


def test_the_slice_makes_the_activator_an_endpoint() -> None:
    """Under the Service's port names, at the ports it listens on, owned by its Pod."""
    target = found(0)[NAME]
    document = slices.document(target, {"http1": 4001, "h2c-grpc": 4002}, ME)
    (endpoint,) = document["endpoints"]

    assert target.ports == {"http1": True, "h2c-grpc": False}  # who can be told why not
    assert document["metadata"]["labels"][slices.SERVICE] == NAME
    assert document["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": ME.name, "uid": ME.uid}
    ]
    assert endpoint["addresses"] == [ME.address]
    assert {one["name"]: one["port"] for one in document["ports"]} == {
        "http1": 4001,
        "h2c-grpc": 4002,
    }
