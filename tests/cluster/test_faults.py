"""What breaks in a cluster, under load: requests go on, and what cannot go on says why."""

from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.cluster.kubectl import pods_say
from tests.support.cluster import MODEL, Cluster, uri, wait

ABSENT = "ffffffffffff"  # a version that nobody published
CANARY = "iris-canary-predictor"


def start_canary(cluster: Cluster, version: str) -> None:
    """Give a canary half of the requests."""
    model = {
        "modelFormat": {"name": MODEL},
        "runtime": "serin-iris",
        "protocolVersion": "v2",
        "storageUri": uri(version),
    }
    entry = {"trafficPercent": 50, "predictor": {"name": "canary", "model": model}}
    cluster.patch({"canary": [entry]})


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
        start_canary(cluster, ABSENT)
        wait(lambda: "storage-initializer" in why(cluster, CANARY), 90, "the canary to fail")
        now = load.answered
        wait(lambda: load.answered > now + 100, 60, "a hundred answers beside it")
        cluster.patch({"canary": None})

    assert load.failures == []
    assert set(load.versions) == {cluster.first}


def test_a_canary_goes_on_while_kserve_is_down(cluster: Cluster) -> None:
    """Routes and pods stay as they are; both go on answering."""
    with cluster.load() as load:
        start_canary(cluster, cluster.first)
        cluster.rolled(CANARY, cluster.first)
        with scaled(cluster, "kserve-controller-manager", "kserve", 0):
            now = load.answered
            wait(lambda: load.answered > now + 200, 60, "answers without a controller")
        cluster.patch({"canary": [{**canary_entry(cluster), "trafficPercent": 0}]})
        wait(lambda: cluster.weight(CANARY) == 0, 60, "the canary to have no weight")
        cluster.patch({"canary": None})
        now = load.answered
        wait(lambda: load.answered > now + 100, 60, "answers after the canary")

    assert load.failures == []


def canary_entry(cluster: Cluster) -> dict[str, object]:
    """The one entry of spec.canary."""
    (entry,) = cluster.get("isvc", MODEL)["spec"]["canary"]
    return dict(entry)


def test_envoy_goes_on_while_its_controller_restarts(cluster: Cluster) -> None:
    """Its configuration stays in the proxy."""
    name = ("-n", "envoy-gateway-system", "rollout")
    with cluster.load() as load:
        cluster.kubectl(*name, "restart", "deployment/envoy-gateway")
        cluster.kubectl(*name, "status", "deployment/envoy-gateway", "--timeout=120s", seconds=130)
        now = load.answered
        wait(lambda: load.answered > now + 100, 60, "answers afterwards")

    assert load.failures == []


def test_serving_goes_on_while_the_store_is_away(cluster: Cluster) -> None:
    """A pod that serves needs no store; a new one waits in its init container, and says so."""
    service = ("-n", "minio", "patch", "service", "minio", "-p")
    floor = ("-n", "models", "patch", "scaledobject", "iris-predictor", "--type", "merge", "-p")
    with cluster.load() as load:
        cluster.kubectl(*service, '{"spec":{"selector":{"app.kubernetes.io/name":"nobody"}}}')
        try:
            cluster.kubectl(*floor, '{"spec":{"minReplicaCount":2}}')
            wait(lambda: len(cluster.pods_of("iris-predictor")) > 1, 60, "a second pod")
            wait(lambda: cluster.replicas() == 1, 30, "the first pod alone to serve")
            now = load.answered
            wait(lambda: load.answered > now + 100, 60, "answers without a store")
            assert cluster.replicas() == 1, "a pod got its model from nowhere"
        finally:
            cluster.kubectl(*service, '{"spec":{"selector":{"app.kubernetes.io/name":"minio"}}}')
        try:
            wait(lambda: cluster.replicas() == 2, 180, "the second pod to serve", cluster.pods)
        finally:
            cluster.kubectl(*floor, '{"spec":{"minReplicaCount":1}}')

    assert load.failures == []
