"""HorizontalPodAutoscalers in autoscaling/v1, which older runbooks and kubectl 1.30 write."""

import asyncio
from typing import Any

import orjson
import pytest

from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.autoscalers import served, stored
from controlplane.kubernetes.kinds import OLD_AUTOSCALER, by_name
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import BadRequest, Invalid
from controlplane.local.api.kubectl import answers, discovery, protobuf
from controlplane.local.api.resources import Resources, Write
from tests.unit.autoscale.test_horizontal import CPU, EXTERNAL, hpa
from tests.unit.controlplane.test_horizontal import bytes_of, envelope, store

METRICS = "autoscaling.alpha.kubernetes.io/metrics"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
BEHAVIOUR = {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}}
STATUS: Object = {
    "currentReplicas": 1,
    "desiredReplicas": 2,
    "conditions": [{"type": "AbleToScale", "status": "True"}],
    "currentMetrics": [
        {"type": ""},
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 9}}},
    ],
}
STRICT = Write(validation="Strict")


def old(**spec: Any) -> Object:
    """One of autoscaling/v1, as `kubectl autoscale` of 1.30 makes it."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    metadata: Object = {"name": "web", "namespace": "models"}
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {"scaleTargetRef": target, "maxReplicas": 3, **spec},
    }


def noted(**annotations: str) -> Object:
    """One whose annotations hold metrics or a behaviour."""
    one = old()
    names = {"metrics": METRICS, "behavior": BEHAVIOR}
    one["metadata"]["annotations"] = {names[key]: value for key, value in annotations.items()}
    return one


@pytest.fixture
def resources() -> Resources:
    """The verbs on a store with a Deployment."""

    async def resolve(uri: str, kept: str) -> None:
        return None

    return Resources(store(), resolve, lambda pod: None)


def made(resources: Resources, one: Object, how: Write = STRICT) -> tuple[Object, list[str]]:
    return asyncio.run(resources.create(OLD_AUTOSCALER, "models", one, how))


def test_what_v1_has_no_field_for_is_in_annotations_and_comes_back() -> None:
    """In the API server's names; the CPU's share has a field of its own."""
    one = hpa(metrics=[EXTERNAL, CPU], behavior=BEHAVIOUR)

    shown = served(OLD_AUTOSCALER, one)

    assert shown["apiVersion"] == "autoscaling/v1"
    assert shown["spec"]["targetCPUUtilizationPercentage"] == 80
    assert not {"metrics", "behavior"} & shown["spec"].keys()
    notes = shown["metadata"]["annotations"]
    assert orjson.loads(notes[METRICS])[0]["external"]["metricName"] == "s0-prometheus"
    policies = [{"Type": "Pods", "Value": 1, "PeriodSeconds": 15}]
    assert orjson.loads(notes[BEHAVIOR]) == {"ScaleDown": {"Policies": policies}}
    assert stored(shown, "autoscaling/v2") == one


def test_a_status_is_shown_as_v1_has_it() -> None:
    """The CPU that was measured, and conditions in an annotation."""
    shown = served(OLD_AUTOSCALER, {**hpa(), "status": STATUS})

    assert shown["status"] == {
        "currentReplicas": 1,
        "desiredReplicas": 2,
        "currentCPUUtilizationPercentage": 9,
    }
    conditions = shown["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/conditions"]
    assert orjson.loads(conditions) == STATUS["conditions"]


def test_v1_is_stored_as_v2_and_read_in_both(resources: Resources) -> None:
    """A list of v1 and one of v2 show the same object, each in its version."""
    made(resources, old(targetCPUUtilizationPercentage=70))
    kind = by_name("HorizontalPodAutoscaler")
    assert kind
    found = resources.list_of(OLD_AUTOSCALER, "models", "", "")

    new = answers.many_as("", kind, found, 1, "")["items"]
    before = answers.many_as("", OLD_AUTOSCALER, found, 1, "")["items"]

    assert [one["spec"]["metrics"][0]["resource"]["target"] for one in new] == [
        {"type": "Utilization", "averageUtilization": 70}
    ]
    assert [one["spec"]["targetCPUUtilizationPercentage"] for one in before] == [70]
    assert [one["apiVersion"] for one in (*new, *before)] == ["autoscaling/v2", "autoscaling/v1"]


def test_a_patch_of_v1_is_laid_over_v1s_fields(resources: Resources) -> None:
    """Each kind of patch, and a replacement; the rest stays, and so does what was measured."""
    made(resources, old(targetCPUUtilizationPercentage=70, minReplicas=2))
    resources.objects.set_status("HorizontalPodAutoscaler", "models", "web", STATUS)

    async def patched(media_type: str, patch: Any) -> Object:
        one, _, _ = await resources.patch(
            OLD_AUTOSCALER, "models", "web", media_type, patch, STRICT, status=False
        )
        return served(OLD_AUTOSCALER, one)["spec"]

    def share(percent: int) -> Object:
        return {"spec": {"targetCPUUtilizationPercentage": percent}}

    operation = {"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 53}
    whole = old(targetCPUUtilizationPercentage=54, minReplicas=2)
    for media_type, patch, expected in (
        (patchtypes.MERGE, share(51), 51),
        (patchtypes.STRATEGIC, share(52), 52),
        (patchtypes.JSON, [operation], 53),
        (patchtypes.APPLY, whole, 54),
    ):
        if media_type == patchtypes.APPLY:
            asyncio.run(resources.delete(OLD_AUTOSCALER, "models", "web", {}, dry_run=False))
        spec = asyncio.run(patched(media_type, patch))
        assert (spec["targetCPUUtilizationPercentage"], spec["minReplicas"]) == (expected, 2)
        if media_type != patchtypes.APPLY:
            state = resources.get(OLD_AUTOSCALER, "models", "web")["status"]
            assert state == STATUS

    resources.objects.set_status("HorizontalPodAutoscaler", "models", "web", STATUS)
    replaced, _ = asyncio.run(
        resources.update(
            *(OLD_AUTOSCALER, "models", "web", old(targetCPUUtilizationPercentage=55), STRICT),
            status=False,
        )
    )
    assert served(OLD_AUTOSCALER, replaced)["spec"]["targetCPUUtilizationPercentage"] == 55
    assert replaced["status"] == STATUS


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (old(metrics=[CPU]), 'unknown field "spec.metrics"'),
        (old(targetCPUUtilizationPercentage="70"), "must be of type integer"),
        (old(targetCPUUtilizationPercentage=0), "expected more than 0"),
        (noted(metrics="{"), "is not JSON"),
        (noted(metrics="[1]"), "must be a list of metrics"),
        (noted(metrics='[{"type": "Pods", "pods": {"metricName": "x"}}]'), "expected Resource or"),
        (noted(metrics='[{"type": []}]'), "must be of type string"),
        (noted(behavior="[]"), "must be an object"),
        (noted(behavior='{"ScaleDown": 3}'), "must be of type object"),
        (noted(behavior='{"a":' * 700 + "1" + "}" * 700), "annotations|unknown field"),
    ],
)
def test_what_v1_does_not_know_is_refused(resources: Resources, one: Object, said: str) -> None:
    """By the field or the annotation that is wrong, and nothing is stored."""
    with pytest.raises((BadRequest, Invalid), match=said):
        made(resources, one)
    assert resources.list_of(OLD_AUTOSCALER, "models", "", "") == []


def test_unknown_fields_of_v1_are_warned_of(resources: Resources) -> None:
    """Where they are not refused."""
    _, warnings = made(resources, old(metrics=[CPU]), Write())

    assert warnings == ['unknown field "spec.metrics"']


def test_v2_is_the_version_that_is_preferred() -> None:
    """Discovery names both; kubectl reads the first where none is named."""
    group = discovery.group_of("autoscaling")

    assert [one["version"] for one in group["versions"]] == ["v2", "v1"]
    assert group["preferredVersion"]["version"] == "v2"


def test_what_kubectl_130_sends_is_read() -> None:
    """`autoscale` sends v1 in protobuf, where the fourth field of the spec is a number."""
    target = bytes_of(1, b"Deployment") + bytes_of(2, b"web") + bytes_of(3, b"apps/v1")
    spec = bytes_of(1, target) + bytes([2 << 3, 1, 3 << 3, 3, 4 << 3, 70])
    whole = bytes_of(1, bytes_of(1, b"web")) + bytes_of(2, spec) + bytes_of(3, bytes([3 << 3, 0]))

    found = protobuf.decoded(envelope("autoscaling/v1", "HorizontalPodAutoscaler", whole))

    assert found["spec"] == old(targetCPUUtilizationPercentage=70, minReplicas=1)["spec"]
