"""What is read out of a cluster's objects: shares, rollouts, other canaries, a digest."""

from typing import Any

from controlplane.kubernetes.names import SOURCE
from controlplane.rollout.steps.seen import Seen, digest, read

OLD, NEW = "s3://models/iris/old", "s3://models/iris/new"


def service(*canaries: dict[str, Any], **predictor: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "iris",
            "annotations": {"serving.kserve.io/autoscalerClass": "external"},
        },
        "spec": {
            "predictor": {"model": {"runtime": "serin-iris", "storageUri": OLD}, **predictor},
            "canary": list(canaries),
        },
    }


def canary(percent: int, name: str = "canary") -> dict[str, Any]:
    return {"trafficPercent": percent, "predictor": {"name": name, "model": {"storageUri": NEW}}}


def route(*weights: int, status: dict[str, Any] | None = None) -> dict[str, Any]:
    rules = [
        {
            "backendRefs": [
                {"name": "iris-predictor", "weight": 100 - weight},
                {"name": "iris-canary-predictor", "weight": weight},
            ]
        }
        for weight in weights
    ]
    return {"metadata": {"generation": 3}, "spec": {"rules": rules}, "status": status or {}}


def deployment(name: str, uri: str, wanted: int, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "generation": 2},
        "spec": {
            "replicas": wanted,
            "template": {"metadata": {"annotations": {SOURCE: uri}}, "spec": {}},
        },
        "status": {"observedGeneration": 2, **status},
    }


def seen(found: dict[str, Any] | None, *deployments: dict[str, Any]) -> Seen:
    return read(service(canary(25)), found, deployments, [])


def test_the_share_is_what_every_rule_says_once_the_gateway_accepted_it() -> None:
    """Rules that differ, a route that is not there or not accepted yet: no share."""
    accepted = {"type": "Accepted", "status": "True", "observedGeneration": 3}

    assert seen(route(25, 25)).routed == 25
    assert seen(route(25, 5)).routed is None
    assert seen(None).routed is None
    assert seen(route(25, status={"parents": [{"conditions": [accepted]}]})).routed == 25
    for late in ({**accepted, "observedGeneration": 2}, {**accepted, "status": "False"}):
        assert seen(route(25, status={"parents": [{"conditions": [late]}]})).routed is None


def test_a_rollout_is_done_when_all_pods_are_new_and_available() -> None:
    """And observed; a Deployment that gave up says why."""
    full = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    name = "iris-canary-predictor"
    stopped = {"type": "Progressing", "status": "False", "message": "is not published"}

    done = seen(None, deployment(name, NEW, 2, **full)).canary
    assert (done.rolled, done.available, done.uri) == (True, 2, NEW)
    assert not seen(None, deployment(name, NEW, 3, **full)).canary.rolled
    assert not seen(None, deployment(name, NEW, 2, **{**full, "updatedReplicas": 1})).canary.rolled
    unobserved = deployment(name, NEW, 2, **full)
    unobserved["metadata"]["generation"] = 9
    assert not seen(None, unobserved).canary.rolled
    assert seen(None, deployment(name, NEW, 2, conditions=[stopped])).canary.failed == (
        "is not published"
    )
    assert seen(None).canary.uri == ""


def test_only_our_own_canary_counts_as_ours() -> None:
    """A second one, or one of another name, is somebody else's."""
    ours = read(service(canary(25)), None, (), [])
    assert (ours.canary_uri, ours.percent, ours.others) == (NEW, 25, False)
    assert read(service(canary(25), canary(5, "b")), None, (), []).others
    assert read(service(canary(5, "b")), None, (), []).others
    assert not read(service(), None, (), []).others


def test_the_digest_is_of_all_that_a_rollout_does_not_write() -> None:
    """The version and the canary may change; nothing else."""
    base = digest(service()["spec"])

    assert digest(service(canary(25))["spec"]) == base
    assert digest({**service()["spec"], "predictor": {"model": {"runtime": "x"}}}) != base
    assert digest(service(timeout=5)["spec"]) != base
