"""The verbs on objects, where somebody else writes at the same time."""

import asyncio
from typing import Any

import pytest

from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.kinds import KINDS
from controlplane.kubernetes.refusals import Conflict
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources, Write

(SERVICE,) = [kind for kind in KINDS if kind.name == "InferenceService"]


def busy(times: int) -> Resources:
    """A store with iris, whose status is written during so many admissions of a change to it."""
    objects = Objects()
    objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}})
    model = {"modelFormat": {"name": "iris"}, "storageUri": "s3://models/iris/1"}
    iris = {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.name,
        "metadata": {"name": "iris", "namespace": "models"},
        "spec": {"predictor": {"model": model}},
    }
    left = times

    async def resolve(uri: str, kept: str) -> str | None:
        nonlocal left
        if left and objects.find(SERVICE.name, "models", "iris"):
            left -= 1
            objects.set_status(SERVICE.name, "models", "iris", {"observedGeneration": left})
        return None

    resources = Resources(objects, resolve, lambda pod: None)
    asyncio.run(resources.create(SERVICE, "models", iris, Write()))
    return resources


def patched(resources: Resources, patch: dict[str, Any]) -> dict[str, Any]:
    """What a merge patch makes of iris."""
    how = Write(manager="test")
    made, _, created = asyncio.run(
        resources.patch(SERVICE, "models", "iris", patchtypes.MERGE, patch, how, status=False)
    )
    assert not created
    return made


def test_a_patch_outlives_a_status_written_meanwhile() -> None:
    """It asks for its own fields only, so it is made again of what is there now."""
    resources = busy(2)

    made = patched(resources, {"spec": {"predictor": {"minReplicas": 2}}})

    assert made["spec"]["predictor"]["minReplicas"] == 2
    assert made["status"] == {"observedGeneration": 0}


def test_a_patch_is_not_tried_for_ever() -> None:
    """The API server gives up after five, too."""
    with pytest.raises(Conflict, match="the object has been modified"):
        patched(busy(100), {"spec": {"predictor": {"minReplicas": 2}}})


def test_a_patch_of_one_version_is_of_that_version() -> None:
    """Who names a resourceVersion has looked at it."""
    resources = busy(1)
    version = resources.get(SERVICE, "models", "iris")["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version}, "spec": {"predictor": {"minReplicas": 2}}}

    with pytest.raises(Conflict):
        patched(resources, patch)

    assert "minReplicas" not in resources.get(SERVICE, "models", "iris")["spec"]["predictor"]
