"""What a patch of a Deployment does, and what it says instead."""

import asyncio
from typing import Any

import pytest

from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.kinds import by_name
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.names import RESTARTED
from controlplane.kubernetes.refusals import Forbidden, Invalid
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources, Write
from controlplane.local.api.writes import scale
from controlplane.local.controllers import inference

CONTAINER = {"name": "kserve-container", "image": "i"}


@pytest.fixture
def resources() -> Resources:
    """A store with the Deployment of iris alone."""

    async def resolve(uri: str, kept: str) -> None:
        return None

    objects = Objects()
    objects.create(deployment())
    return Resources(objects, resolve, lambda pod: None)


def deployment() -> Object:
    """As the controller of an InferenceService makes it."""
    labels = {"app": "isvc.iris-predictor"}
    template = {
        "metadata": {"labels": labels, "annotations": {"source": "s3://models/iris/1"}},
        "spec": {"containers": [CONTAINER]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "iris-predictor",
            "namespace": "models",
            "labels": {"serving.kserve.io/inferenceservice": "iris"},
        },
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def patched(resources: Resources, patch: Any, media_type: str = patchtypes.STRATEGIC) -> Object:
    """The Deployment after a patch."""
    kind = by_name("Deployment")
    assert kind
    how = Write(manager="test")
    made, _, _ = asyncio.run(
        resources.patch(kind, "models", "iris-predictor", media_type, patch, how, status=False)
    )
    return made


def restart(at: str) -> Object:
    """What `kubectl rollout restart` sends."""
    return {"spec": {"template": {"metadata": {"annotations": {RESTARTED: at}}}}}


def test_a_restart_is_kept_by_the_controller(resources: Resources) -> None:
    """The InferenceService's next reconcile leaves it in the template, and nothing else."""
    made = patched(resources, restart("now"))
    wanted = deployment()

    inference.keep_restart(made, wanted)

    assert made["spec"]["template"]["metadata"]["annotations"] == {
        "source": "s3://models/iris/1",
        RESTARTED: "now",
    }
    assert wanted["spec"] == made["spec"]
    assert made["metadata"]["generation"] == 2


def test_annotations_of_a_deployment_are_anybodys(resources: Resources) -> None:
    """`kubectl annotate` writes a change cause, which means nothing to a pod."""
    patch = {"metadata": {"annotations": {"kubernetes.io/change-cause": "a test"}}}

    assert patched(resources, patch)["metadata"]["annotations"] == patch["metadata"]["annotations"]
    with pytest.raises(Invalid):
        patched(resources, {"metadata": {"annotations": {"a": 1}}})


@pytest.mark.parametrize(
    ("spec", "way"),
    [
        (
            {
                "template": {
                    "spec": {"containers": [{"name": CONTAINER["name"], "env": [{"name": "A"}]}]}
                }
            },
            "patch spec.predictor.model.env of isvc/iris",
        ),
        (
            {"template": {"spec": {"containers": [{**CONTAINER, "image": "j"}]}}},
            "images are not run here",
        ),
        ({"paused": True}, "nothing is paused here"),
        ({"replicas": 3}, "minReplicaCount"),
        ({"template": {"metadata": {"annotations": {"other": "a"}}}}, "patch spec.predictor of"),
        ({"template": None}, "patch spec.predictor of isvc/iris"),
    ],
)
def test_what_would_not_last_is_refused_with_what_does(
    resources: Resources, spec: Object, way: str
) -> None:
    """`kubectl set env`, `set image`, `rollout pause` and `edit` name the field to patch."""
    with pytest.raises(Forbidden) as caught:
        patched(resources, {"spec": spec})

    assert way in str(caught.value)


def test_an_apply_and_a_json_patch_are_refused_alike(resources: Resources) -> None:
    """`kubectl rollout undo` sends a JSON patch of the whole template."""
    with pytest.raises(Forbidden, match="serin rollback iris"):
        patched(resources, deployment(), patchtypes.APPLY)
    undo = [
        {"op": "replace", "path": "/spec/template", "value": {"spec": {}}},
        {"op": "replace", "path": "/metadata/annotations", "value": {}},
    ]
    with pytest.raises(Forbidden, match="serin rollback iris"):
        patched(resources, undo, patchtypes.JSON)


def test_a_scale_that_is_taken_back_is_warned_of() -> None:
    """By the ScaledObject or HPA that does it; without one there is nothing to say."""
    target = {"scaleTargetRef": {"name": "iris-predictor"}}
    scaled: Object = {"kind": "ScaledObject", "metadata": {"name": "s"}, "spec": target}
    hpa: Object = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": target}

    (said,) = scale.taken_back(deployment(), [scaled, {"metadata": {"name": "t"}, "spec": 1}])
    (by_hpa,) = scale.taken_back(deployment(), [hpa])

    assert "scaledobject/s" in said
    assert "horizontalpodautoscaler/h" in by_hpa
    assert "maxReplicas" in by_hpa
    assert scale.taken_back(deployment(), []) == []
