"""What `up` applies carries kubectl's note of it."""

import asyncio
import json
from typing import Any

import pytest

from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.kinds import by_name
from controlplane.kubernetes.meta import Object
from controlplane.local import manifests, seeds
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources, Write
from controlplane.statefolder import ROOT

VERSION = "s3://models/iris/0123456789abcdef"


@pytest.fixture
def resources() -> Resources:
    """A store with the namespace alone, whose newest version of each model is one and the same."""

    async def resolve(uri: str, kept: str) -> str | None:
        return kept or VERSION

    objects = Objects()
    objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}})
    return Resources(objects, resolve, lambda pod: None)


def up(resources: Resources, **replicas: int | None) -> None:
    """Apply as `up` does."""
    asyncio.run(seeds.apply(resources, manifests.read(ROOT), replicas))


def iris(resources: Resources) -> Object:
    """The InferenceService of iris."""
    return resources.objects.get("InferenceService", "models", "iris")


def note(one: Object) -> Any:
    """What kubectl would read as last applied."""
    return json.loads(one["metadata"]["annotations"][seeds.LAST_APPLIED])


def test_all_that_up_makes_says_what_was_applied(resources: Resources) -> None:
    """Namespace, ServiceAccounts, runtimes, services and scaling alike: kubectl warns of none."""
    up(resources, iris=None)

    for kind in ("Namespace", "ServingRuntime", "InferenceService", "ScaledObject"):
        for one in resources.objects.list_of(kind):
            assert note(one)["kind"] == kind


def test_the_note_is_the_manifest_and_not_what_became_of_it(resources: Resources) -> None:
    """So an apply takes neither the version nor the replicas of the command line for its own."""
    up(resources, iris=3)

    service, scaled = iris(resources), iris_scaling(resources)
    assert service["spec"]["predictor"]["model"]["storageUri"] == VERSION
    assert note(service)["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris"
    assert scaled["spec"]["minReplicaCount"] == 3
    assert note(scaled)["spec"].get("minReplicaCount") != 3


def test_a_note_of_somebody_else_stays(resources: Resources) -> None:
    """By it kubectl knows which fields it set, and takes them back when they are left out."""
    up(resources, iris=None)
    kind = by_name("InferenceService")
    assert kind
    theirs = {"metadata": {"annotations": {seeds.LAST_APPLIED: '{"kind":"theirs"}'}}}
    how = Write(manager="kubectl-client-side-apply")
    asyncio.run(
        resources.patch(kind, "models", "iris", patchtypes.MERGE, theirs, how, status=False)
    )

    up(resources, iris=None)
    up(resources, iris=None)

    assert note(iris(resources)) == {"kind": "theirs"}


def iris_scaling(resources: Resources) -> Object:
    """The ScaledObject of iris's stable predictor."""
    return next(
        one
        for one in resources.objects.list_of("ScaledObject")
        if one["spec"]["scaleTargetRef"]["name"] == "iris-predictor"
    )
