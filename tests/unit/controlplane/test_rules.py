"""KServe's webhook, as its own tests have it (TestValidateCanarySpecs)."""

from typing import Any

import pytest

from controlplane.kubernetes.refusals import Forbidden
from controlplane.local.api.rules import kserve
from tests.support.manifests import canary, service

FORMAT = {"modelFormat": {"name": "iris"}}


def with_canaries(*canaries: dict[str, Any], **predictor: Any) -> dict[str, Any]:
    """Iris with these canaries; `predictor` adds to stable."""
    one = service(canary=list(canaries))
    one["spec"]["predictor"] |= predictor
    return one


@pytest.mark.parametrize(
    "one",
    [
        service(),
        with_canaries(canary(10, "b")),
        with_canaries(canary(25, "b", "v2"), canary(25, "c", "v3")),
        with_canaries(canary(50, "b", "v2"), canary(50, "c", "v3")),
        with_canaries(canary(0, "b")),
        with_canaries(canary(10, "b", minReplicas=4), minReplicas=4),
        with_canaries(canary(10, "b", minReplicas=1)),
    ],
)
def test_what_kserve_admits(one: dict[str, Any]) -> None:
    """Including a dark launch and a canary as large as stable."""
    kserve.refuse(one, None)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (with_canaries(canary(10, "b", "")), "canary[0] predictor.name is required"),
        (with_canaries(canary(10, "b"), canary(20, "c")), '"canary" is duplicated'),
        (with_canaries(canary(10, "b"), name="canary"), "conflicts with stable predictor name"),
        (
            with_canaries(canary(60, "b", "v2"), canary(50, "c", "v3")),
            "sum of canary trafficPercent values (110) must be <= 100",
        ),
        (with_canaries(canary(10, "b", maxReplicas=5)), 'canary "canary" must not set maxReplicas'),
        (with_canaries(canary(10, "b", workerSpec={})), "must not set workerSpec"),
        (
            with_canaries(canary(10, "b", minReplicas=5), minReplicas=4),
            "minReplicas (5) must not exceed stable predictor minReplicas (4)",
        ),
        (
            with_canaries(canary(10, "b", minReplicas=2)),
            "minReplicas (2) must not exceed stable predictor minReplicas (1)",
        ),
        (with_canaries(canary(10, "b", sklearn={})), "Exactly one of"),
    ],
)
def test_what_kserve_refuses(one: dict[str, Any], said: str) -> None:
    """With the webhook's words."""
    with pytest.raises(Forbidden) as caught:
        kserve.refuse(one, None)

    assert said in str(caught.value)
    assert str(caught.value).startswith('admission webhook "inferenceservice.kserve-webhook')


def test_a_canary_needs_standard_mode_and_a_model() -> None:
    """The default mode is Standard here, as setup_cluster.sh sets it."""
    one = with_canaries(canary(10, "b"))
    one["metadata"]["annotations"][kserve.MODE] = "Knative"
    with pytest.raises(Forbidden, match="only supported in Standard deployment mode"):
        kserve.refuse(one, None)
    one = service(canary=[canary(10, "b")], predictor={"containers": [{"name": "x"}]})
    with pytest.raises(Forbidden, match="requires a stable predictor with a model"):
        kserve.refuse(one, None)


def test_a_rename_needs_another_model() -> None:
    """Else the running Deployment would be deleted for nothing."""
    renamed = service()
    renamed["spec"]["predictor"]["name"] = "v2"

    with pytest.raises(Forbidden, match="change requires a model change"):
        kserve.refuse(renamed, service())
    kserve.refuse(renamed, service("b2"))


def test_the_mutating_webhook_fills_in_the_mode() -> None:
    """And rewrites its old name."""
    one: dict[str, Any] = {"metadata": {}, "spec": {}}
    kserve.default(one)
    assert one["metadata"]["annotations"] == {kserve.MODE: "Standard"}
    one["metadata"]["annotations"][kserve.MODE] = "RawDeployment"
    kserve.default(one)
    assert one["metadata"]["annotations"] == {kserve.MODE: "Standard"}
