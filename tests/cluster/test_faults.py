"""What breaks in a cluster, under load: requests go on, and what cannot go on says why."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controlplane.cluster.kubectl import ClusterError, render
from controlplane.cluster.models import published
from controlplane.cluster.waiting import pods_say
from tests.support.cluster import CANARY, MODEL, Cluster, wait
from tests.support.required import ROOT

ABSENT = "ffffffffffff"  # a version that nobody published


def why(cluster: Cluster, deployment: str) -> str:
    """What the pods of a Deployment wait for."""
    return pods_say(cluster.api, "models", f"app=isvc.{deployment}")


@contextmanager
def scaled(cluster: Cluster, deployment: str, namespace: str, replicas: int) -> Iterator[None]:
    """Another number of replicas for the time of the block."""
    target = ("-n", namespace, "scale", f"deployment/{deployment}")
    done = ("-n", namespace, "rollout", "status", f"deployment/{deployment}", "--timeout=120s")
    cluster.kubectl(*target, f"--replicas={replicas}")
    try:
        yield
    finally:
        cluster.kubectl(*target, "--replicas=1")
        cluster.kubectl(*done, seconds=130)


def test_a_canary_that_cannot_start_gets_no_request(cluster: Cluster) -> None:
    """Its weight is not written while it is not ready; the pod says what it misses."""
    with cluster.load() as load:
        cluster.canary(50, cluster.model(ABSENT))
        wait(lambda: "storage-initializer" in why(cluster, CANARY), 180, "the canary to fail")
        now = load.answered
        wait(lambda: load.answered > now + 100, 120, "a hundred answers beside it")
        cluster.patch({"canary": None})

    assert load.failures == []
    assert set(load.versions) == {cluster.first}


def test_a_canary_that_crash_loops_gets_no_request(cluster: Cluster, second: str) -> None:
    """Its model is there, its process ends again and again; stable answers everything."""
    broken = [{"name": "PREDICTOR_ARTIFICIAL_CPU_SECONDS", "value": "none"}]
    with cluster.load() as load:
        cluster.canary(50, {**cluster.model(second), "env": broken})
        wait(
            lambda: "CrashLoopBackOff" in why(cluster, CANARY),
            240,
            "the canary to crash again and again",
            lambda: why(cluster, CANARY),
        )
        now = load.answered
        wait(lambda: load.answered > now + 100, 120, "a hundred answers beside it")
        assert not cluster.weight(CANARY)
        cluster.patch({"canary": None})

    assert load.failures == []
    assert set(load.versions) == {cluster.first}


def test_a_canary_goes_on_while_kserve_is_down(cluster: Cluster) -> None:
    """Routes and pods stay as they are; both go on answering."""
    with cluster.load() as load:
        cluster.canary(50, cluster.model(cluster.first))
        cluster.rolled(CANARY, cluster.first)
        with scaled(cluster, "kserve-controller-manager", "kserve", 0):
            now = load.answered
            wait(lambda: load.answered > now + 200, 120, "answers without a controller")
        cluster.leave_canary()
        now = load.answered
        wait(lambda: load.answered > now + 100, 120, "answers after the canary")

    assert load.failures == []


def test_envoy_goes_on_while_its_controller_restarts(cluster: Cluster) -> None:
    """Its configuration stays in the proxy."""
    name = ("-n", "envoy-gateway-system", "rollout")
    with cluster.load() as load:
        cluster.kubectl(*name, "restart", "deployment/envoy-gateway")
        cluster.kubectl(*name, "status", "deployment/envoy-gateway", "--timeout=120s", seconds=130)
        now = load.answered
        wait(lambda: load.answered > now + 100, 120, "answers afterwards")

    assert load.failures == []


def test_serving_goes_on_while_the_store_is_away(cluster: Cluster) -> None:
    """A pod that serves needs no store; a new one waits in its init container, and says so."""
    service = ("-n", "minio", "patch", "service", "minio", "-p")
    floor = ("-n", "models", "patch", "scaledobject", "iris-predictor", "--type", "merge", "-p")
    with cluster.load() as load:
        cluster.kubectl(*service, '{"spec":{"selector":{"app.kubernetes.io/name":"nobody"}}}')
        try:
            cluster.kubectl(*floor, '{"spec":{"minReplicaCount":2}}')
            wait(lambda: len(cluster.pods_of("iris-predictor")) > 1, 120, "a second pod")
            wait(lambda: cluster.replicas() == 1, 60, "the first pod alone to serve")
            now = load.answered
            wait(lambda: load.answered > now + 100, 120, "answers without a store")
            assert cluster.replicas() == 1, "a pod got its model from nowhere"
        finally:
            cluster.kubectl(*service, '{"spec":{"selector":{"app.kubernetes.io/name":"minio"}}}')
        try:
            wait(lambda: cluster.replicas() == 2, 180, "the second pod to serve", cluster.pods)
        finally:
            cluster.kubectl(*floor, '{"spec":{"minReplicaCount":1}}')

    assert load.failures == []


def test_a_drained_node_gives_up_one_pod_at_a_time(cluster: Cluster) -> None:
    """The disruption budget holds the second pod until the first one's successor is ready."""
    floor = ("-n", "models", "patch", "scaledobject", "iris-predictor", "--type", "merge", "-p")
    drain = ("drain", "testbed", "--pod-selector=app=isvc.iris-predictor")
    limits = ("--delete-emptydir-data", "--timeout=240s")
    cluster.kubectl(*floor, '{"spec":{"minReplicaCount":2}}')
    try:
        wait(lambda: cluster.replicas() == 2, 240, "two replicas", cluster.pods)
        old = {one["metadata"]["name"] for one in cluster.pods_of("iris-predictor")}
        with (
            cluster.load() as load,
            subprocess.Popen(
                ["kubectl", *drain, *limits],
                env=dict(cluster.environment),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as draining,
        ):
            wait(lambda: "unschedulable" in why(cluster, "iris-predictor"), 180, "a pod to wait")
            now = load.answered
            wait(lambda: load.answered > now + 100, 120, "answers of the pod that is left")
            assert draining.poll() is None, "the drain did not wait"
            assert cluster.replicas() == 1
            cluster.kubectl("uncordon", "testbed")
            said, _ = draining.communicate(timeout=250)
            assert draining.returncode == 0, said
            wait(lambda: cluster.replicas() == 2, 240, "two successors", cluster.pods)
    finally:
        cluster.kubectl("uncordon", "testbed")
        cluster.kubectl(*floor, '{"spec":{"minReplicaCount":1}}')

    assert load.failures == []
    assert old.isdisjoint(one["metadata"]["name"] for one in cluster.pods_of("iris-predictor"))


def test_a_training_image_that_is_nowhere_is_told_and_ends_the_wait(cluster: Cluster) -> None:
    """At once, by its name, and not at the Job's deadline; what its pod said outlives the pod."""
    documents = render(ROOT / "training" / "jobs" / MODEL)
    (job,) = (document for document in documents if document["kind"] == "Job")
    job["metadata"]["name"] = "train-absent"
    job["spec"]["template"]["spec"]["containers"][0]["image"] = "docker.io/serin/absent:dev"
    cluster.api.apply(documents)
    told = list[str]()
    started = time.monotonic()
    try:
        with pytest.raises(ClusterError, match=r"docker\.io/serin/absent:dev: build and push it"):
            published(cluster.api, "absent", job["spec"]["activeDeadlineSeconds"], told.append)
        assert time.monotonic() - started < job["spec"]["activeDeadlineSeconds"] / 2
        assert "ErrImagePull" in told[0] or "ImagePullBackOff" in told[0], told
        patch = '{"spec": {"activeDeadlineSeconds": 1}}'
        cluster.kubectl("-n", "models", "patch", "job", "train-absent", "-p", patch)
        with pytest.raises(
            ClusterError, match=r"train-absent failed: DeadlineExceeded.*delete job"
        ):
            published(cluster.api, "absent", 600, told.append)
    finally:
        cluster.kubectl("-n", "models", "delete", "job", "train-absent")
