"""What can be read and is stored nowhere, and what is said where nothing can be done."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from controlplane.kubernetes.kinds import KINDS, by_name
from controlplane.kubernetes.meta import Object
from controlplane.kubernetes.refusals import Invalid, MethodNotAllowed, NotFound
from controlplane.local.api import paths, views
from controlplane.local.api.kubectl import discovery, instead, openapi, reviews, tables
from controlplane.local.api.objects import Objects
from controlplane.local.api.resources import Resources

MADE = [kind for kind in KINDS if kind.schema == "none"]


def deployment() -> Object:
    """Of a model iris."""
    labels = {"app": "isvc.iris-predictor"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "iris-predictor",
            "namespace": "models",
            "labels": {"serving.kserve.io/inferenceservice": "iris"},
        },
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {}},
    }


def pod(name: str, *, ready: bool, **metadata: Any) -> Object:
    """Of that Deployment."""
    labels = {"app": "isvc.iris-predictor"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "models", "labels": labels, **metadata},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


@pytest.fixture
def resources() -> Resources:
    """The verbs on a Deployment with two pods, and a Job's pod."""

    async def resolve(uri: str, kept: str) -> None:
        return None

    objects = Objects()
    objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}})
    for one in (deployment(), pod("a", ready=True), pod("b", ready=False)):
        objects.create(one)
    objects.create({**pod("c", ready=True), "metadata": {"name": "c", "namespace": "models"}})
    return Resources(objects, resolve, lambda pod: None)


def names(resources: Resources, kind: str, namespace: str | None = None) -> list[str]:
    """Those that a list has."""
    found = by_name(kind)
    assert found
    return [one["metadata"]["name"] for one in resources.list_of(found, namespace, "", "")]


def test_services_and_slices_are_those_of_the_models(resources: Resources) -> None:
    """One Service a Deployment, one EndpointSlice a pod of it, each with the pod's readiness."""
    kind = by_name("EndpointSlice")
    assert kind
    slices = resources.list_of(kind, "models", "kubernetes.io/service-name=iris-predictor", "")

    assert names(resources, "Service") == ["iris-predictor"]
    assert names(resources, "Service", "default") == []
    ready = {one["metadata"]["name"]: one["endpoints"][0]["conditions"]["ready"] for one in slices}
    assert ready == {"a": True, "b": False}
    assert resources.get(kind, "models", "a") in slices
    (endpoints,) = views.view("Endpoints", resources.objects) or []
    (subset,) = endpoints["subsets"]
    assert [end["targetRef"]["name"] for end in subset["addresses"]] == ["a"]
    assert [end["targetRef"]["name"] for end in subset["notReadyAddresses"]] == ["b"]


def test_what_is_looked_at_twice_is_the_same(resources: Resources) -> None:
    """Its uid and its resource version too, although it is made anew."""
    for kind in MADE:
        first, again = (views.view(kind.name, resources.objects) for _ in range(2))
        assert first == again
        assert tables.table(kind, first or [], "1", include="None")["columnDefinitions"]


def test_each_made_kind_can_be_discovered_and_is_in_openapi() -> None:
    """Kubectl finds it, and its document is well-formed."""
    for kind in MADE:
        listed = discovery.resource_list(kind.group, kind.version)
        assert listed
        assert kind.plural in {one["name"] for one in listed["resources"]}
        assert kind.name.encode() in openapi.document(kind.group, kind.version)


def test_what_is_not_there_is_not_found(resources: Resources) -> None:
    """As of any other kind."""
    kind = by_name("Node")
    assert kind
    assert names(resources, "Node") == ["laptop"]
    assert names(resources, "PersistentVolumeClaim") == []
    with pytest.raises(NotFound, match='nodes "other" not found'):
        resources.get(kind, "", "other")


@pytest.mark.parametrize("part", ["exec", "attach", "portforward", "ephemeralcontainers"])
def test_what_a_pod_does_not_do_names_what_to_do(part: str) -> None:
    """Instead of a resource that could not be found."""
    with pytest.raises(MethodNotAllowed, match=r"\./serin status"):
        paths.locate(f"/api/v1/namespaces/models/pods/a/{part}")


def test_kinds_that_are_made_say_of_what() -> None:
    """Whoever writes one is told."""
    for kind in KINDS:
        if "create" not in kind.verbs:
            assert instead.sentence(kind.plural) != instead.MISSING, kind.name


ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.mark.parametrize(
    ("group", "resource", "part", "verb", "allowed", "said"),
    [
        ("serving.kserve.io", "inferenceservices", "", "patch", True, "all that is served"),
        ("*", "inferenceservices", "", "patch", True, "all that is served"),
        ("", "pods", "log", "get", True, "all that is served"),
        ("*", "*", "", "*", True, "all that is served"),
        ("", "pods", "", "create", False, "made by a Deployment or a Job"),
        ("", "pods", "exec", "create", False, "a process of yours"),
        ("", "inferenceservices", "", "patch", False, "could not find"),
        ("apps", "statefulsets", "", "get", False, "could not find"),
    ],
)
def test_a_review_of_oneself_says_what_is_served(
    group: str, resource: str, part: str, verb: str, allowed: bool, said: str
) -> None:
    """There is one token, which may do all that can be done; the rest is refused with why."""
    asked = {"group": group, "resource": resource, "subresource": part, "verb": verb}
    answer = reviews.review(ACCESS, {"spec": {"resourceAttributes": asked}})

    assert answer["spec"] == {"resourceAttributes": asked}
    assert answer["status"]["allowed"] is allowed
    assert said in answer["status"]["reason"]


@pytest.mark.parametrize(
    "spec", [None, [], {}, 1, {"resourceAttributes": {}, "nonResourceAttributes": {}}]
)
def test_a_review_of_nothing_is_refused(spec: object) -> None:
    """Of a resource or of a path: one of them."""
    with pytest.raises(Invalid, match="exactly one of"):
        reviews.review(ACCESS, {"spec": spec})
    assert reviews.review(ACCESS, {"spec": {"nonResourceAttributes": {"path": "/version"}}})
    assert not reviews.is_review("/apis/apps/v1/deployments")


def test_nothing_that_is_made_is_stored(resources: Resources) -> None:
    """The file holds what people and controllers wrote."""
    asyncio.run(resources.objects.save())

    assert all(resources.objects.list_of(kind.name) == [] for kind in MADE)


def test_top_counts_what_a_pods_process_and_its_children_use(resources: Resources) -> None:
    """From the operating system's list; a pod whose process is not known is left out."""
    own = pod("here", ready=True)
    with subprocess.Popen(
        [sys.executable, "-c", "import subprocess; print(flush=True); subprocess.run(['cat'])"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # the kernel counts the memory of a program that has begun
            statuses = [{"name": "m", "containerID": f"process://{process.pid}"}]
            own["status"]["containerStatuses"] = statuses
            resources.objects.create(own)
            found = views.view("PodMetrics", resources.objects)
            whole = views.view("NodeMetrics", resources.objects)
        finally:
            process.communicate()

    assert found
    assert whole
    (only,) = found
    assert only["metadata"]["name"] == "here"
    assert int(only["containers"][0]["usage"]["memory"].removesuffix("Ki")) > 1000
    assert whole[0]["usage"]["memory"].endswith("Ki")
    assert views.view("PodMetrics", resources.objects) == []
