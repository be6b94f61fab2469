"""HPAs that somebody wrote, on a store: who may write one, and what becomes of a Deployment."""

import asyncio
from typing import Any

import httpx
import pytest

from controlplane.autoscale.rule import Controller
from controlplane.kubernetes.kinds import by_name
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Forbidden, Invalid
from controlplane.local.api.kubectl import protobuf, tables
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources, Write
from controlplane.local.controllers.autoscaling.horizontal import Horizontal
from controlplane.local.controllers.fence import Fence
from tests.support.rules import document
from tests.unit.autoscale.test_horizontal import CPU, EXTERNAL, hpa

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:09Z"}
POD: Object = {
    "kind": "Pod",
    "metadata": {"name": "web-1", "namespace": "models", "labels": {"app": "isvc.web"}},
    "spec": {
        "containers": [{"name": "m", "resources": {"requests": {"cpu": "1", "memory": "1Ki"}}}]
    },
    "status": {"phase": "Running", "startTime": "2020-01-01T00:00:00Z", "conditions": [READY]},
}


def store(replicas: int = 1) -> Objects:
    """A Deployment with one pod."""
    objects = Objects()
    objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}})
    objects.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "models"},
            "spec": {
                "replicas": replicas,
                "template": {"spec": {"containers": [{"name": "m"}]}},
            },
        }
    )
    status = {"replicas": replicas, "readyReplicas": replicas}
    objects.set_status("Deployment", "models", "web", status)
    objects.create(POD)
    return objects


def applied(objects: Objects, one: Object) -> Object:
    """An object as the API stores it."""

    async def resolve(uri: str, kept: str) -> None:
        return None

    kind = by_name(one["kind"])
    assert kind
    made, _ = asyncio.run(
        Resources(objects, resolve, lambda pod: None).create(
            kind, "models", one, Write(validation="Strict")
        )
    )
    return made


def looked(objects: Objects, value: float | None) -> Object:
    """The HPA after one look, with a Prometheus that knows one value, or none."""
    sample = {"metric": {"pod": "web-1"}, "value": [0, str(value)]}
    result = [] if value is None else [sample]
    answer = {"status": "success", "data": {"resultType": "vector", "result": result}}

    async def run() -> None:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer))
        async with httpx.AsyncClient(transport=transport) as client:
            watch = Horizontal(objects, client, Fence(objects), Controller())
            watch.look("http://p")
            await asyncio.gather(*watch.tasks())

    asyncio.run(run())
    return objects.get("HorizontalPodAutoscaler", "models", "iris")


def conditions(one: Object) -> dict[str, tuple[str, str]]:
    return {
        each["type"]: (each["status"], each.get("reason", ""))
        for each in one["status"]["conditions"]
    }


def replicas(objects: Objects) -> Any:
    return objects.get("Deployment", "models", "web")["spec"]["replicas"]


def test_a_busy_deployment_grows() -> None:
    """2.4 of one requested core, of which 80 % are wanted, ask for three; kubectl shows it."""
    objects = store()
    applied(objects, hpa())

    found = looked(objects, 2.4)

    assert replicas(objects) == 3
    assert conditions(found)["AbleToScale"] == ("True", "SucceededRescale")
    assert found["status"]["desiredReplicas"] == 3
    assert found["status"]["observedGeneration"] == 1
    (event,) = objects.list_of("Event")
    assert event["message"].startswith("New size: 3; reason: cpu resource utilization")
    kind = by_name("HorizontalPodAutoscaler")
    assert kind
    assert "cpu: 240%/80%" in str(tables.table(kind, [found], "1", include="None"))


def test_what_cannot_be_read_changes_nothing() -> None:
    """The condition says which metric; what was read is at its place in the status."""
    objects = store()
    memory = {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Ki"}}
    applied(objects, hpa(metrics=[EXTERNAL, {"type": "Resource", "resource": memory}]))

    found = looked(objects, 1024.0)

    assert replicas(objects) == 1
    assert conditions(found)["ScalingActive"] == ("True", "ValidMetricFound")
    assert [one["type"] for one in found["status"]["currentMetrics"]] == ["", "Resource"]
    assert found["status"]["currentMetrics"][1]["resource"]["current"]["averageValue"] == "1024"

    alone = store()
    applied(alone, hpa(metrics=[EXTERNAL]))
    state = looked(alone, 1)["status"]["conditions"]
    (active,) = [one for one in state if one["type"] == "ScalingActive"]
    assert active["reason"] == "FailedGetExternalMetric"
    assert 'scaledobjects.keda.sh "queue" not found' in active["message"]


def test_a_scaledobjects_metric_is_served() -> None:
    """By the selector that KEDA puts on its own: 4.5 at 1.5 a replica are three."""
    objects = store()
    scaled = document(scaleTargetRef={"name": "other"})
    objects.create({**scaled, "metadata": {"name": "queue", "namespace": "models"}})
    applied(objects, hpa(metrics=[EXTERNAL]))

    looked(objects, 4.5)

    assert replicas(objects) == 3


def test_a_deployment_that_is_not_there_is_said() -> None:
    """As a cluster's HPA says it."""
    objects = store()
    target = {"kind": "Deployment", "name": "gone"}
    applied(objects, hpa(scaleTargetRef=target))

    assert conditions(looked(objects, 1))["AbleToScale"] == ("False", "FailedGetScale")


def test_a_deployment_has_one_autoscaler() -> None:
    """Whichever comes second is refused, and says which is there."""
    objects = store()
    objects.create(document())
    with pytest.raises(Forbidden, match="kubectl delete scaledobject web"):
        applied(objects, hpa())
    objects.delete("ScaledObject", "models", "web")
    applied(objects, hpa())

    with pytest.raises(Forbidden, match="already managed by the hpa 'iris'"):
        applied(objects, document())
    second = hpa()
    second["metadata"]["name"] = "second"
    with pytest.raises(Forbidden, match="kubectl delete horizontalpodautoscaler iris"):
        applied(objects, second)


def test_kedas_own_is_left_to_keda() -> None:
    """One whose ScaledObject is gone goes too; one whose ScaledObject is there is not looked at."""
    objects = store(9)
    scaled = objects.create(document())
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web"}
    made = hpa()
    made["metadata"]["ownerReferences"] = [{**owner, "uid": scaled["metadata"]["uid"]}]
    applied(objects, made)

    assert "status" not in looked(objects, 1)
    objects.delete("ScaledObject", "models", "web")
    with pytest.raises(Exception, match="not found"):
        looked(objects, 1)


def test_what_is_not_measured_is_refused_by_its_field() -> None:
    """A 422 with the path, as the API server answers."""
    bad = hpa(metrics=[{"type": "Pods", "pods": {"metric": {"name": "x"}}}, CPU])

    with pytest.raises(
        Invalid, match=r"spec\.metrics\[0\]\.type: Invalid value: expected Resource"
    ):
        applied(store(), bad)


def bytes_of(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def envelope(version: str, kind: str, content: bytes) -> bytes:
    """An object as kubectl sends it."""
    named = bytes_of(1, version.encode()) + bytes_of(2, kind.encode())
    return b"k8s\x00" + bytes_of(1, named) + bytes_of(2, content)


def test_what_kubectl_autoscale_sends_is_read() -> None:
    """Lists, numbers and references; what is not known and not empty is refused, with the way."""
    target = bytes_of(1, b"Deployment") + bytes_of(2, b"web") + bytes_of(3, b"apps/v1")
    amount = bytes_of(1, b"Utilization") + bytes([4 << 3, 70])
    measured = bytes_of(1, b"Resource") + bytes_of(4, bytes_of(1, b"cpu") + bytes_of(2, amount))
    spec = bytes_of(1, target) + bytes([2 << 3, 1, 3 << 3, 3]) + bytes_of(4, measured)
    whole = bytes_of(1, bytes_of(1, b"iris")) + bytes_of(2, spec) + bytes_of(3, b"")

    found = protobuf.decoded(envelope("autoscaling/v2", "HorizontalPodAutoscaler", whole))

    assert found["spec"] == {
        "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 70},
                },
            }
        ],
    }
    with pytest.raises(Exception, match="kubectl drain does nothing on a laptop"):
        protobuf.decoded(envelope("v1", "DeleteOptions", b""))
    unknown = bytes_of(2, bytes_of(5, bytes_of(1, b"x")))
    with pytest.raises(Exception, match="kubectl apply -f -"):
        protobuf.decoded(envelope("autoscaling/v2", "HorizontalPodAutoscaler", unknown))
