"""Several replicas of a channel and its writer, under load: real predictors and a real store."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane.channels.writer import Wish, Writer
from controlplane.errors import SerinError
from controlplane.kubernetes.client import Conflict, Kubernetes
from controlplane.store import artifacts
from controlplane.store.followed import Channel
from controlplane.store.s3 import Store
from scripts.channels import shown
from tests.support import guilty, trained
from tests.support.channel import variant, version
from tests.support.predictor import Predictor, running
from tests.support.s3 import S3Server
from tests.support.threads import Threads
from training.publish.registry import Registry

SWAPS = REPLICAS = 2
NAMES = [f"replica-{number}" for number in range(REPLICAS)]
URI = "s3://models/iris@stable"
FLOWER = json.dumps(
    {
        "inputs": [
            {"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": [6, 2.7, 4.2, 1.3]}
        ]
    }
).encode()
Seen = tuple[float, float, int, str, int]
"""Sent, answered, status, version and generation of one request."""


class Cluster:
    """The objects that a writer asks a Kubernetes API about: pods, and its Lease."""

    namespace = "models"

    def __init__(self, pods: list[str], logs: Path = Path("/nowhere")) -> None:
        self.pods = pods
        self._logs = logs
        self.leases: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []

    def list(self, plural: str, labels: str = "") -> list[dict[str, Any]]:
        """The pods, all ready, which follow the channel by a variable as a cluster's do."""
        del labels
        assert plural == "pods"
        env = [{"name": "PREDICTOR_CHANNEL", "value": URI}]
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        return [
            {"metadata": {"name": name}, "spec": {"containers": [{"env": env}]}, "status": ready}
            for name in self.pods
        ]

    def log(self, pod: str, container: str, since: float) -> str:
        """What a predictor wrote."""
        del container, since
        return (self._logs / f"{pod}.log").read_text("utf-8")

    def get(self, plural: str, name: str) -> dict[str, Any] | None:
        """A Lease; there is no InferenceService."""
        return self.leases.get(name) if plural == "leases" else None

    def create(self, plural: str, one: dict[str, Any]) -> dict[str, Any]:
        """Add a Lease."""
        assert plural == "leases"
        one["metadata"]["resourceVersion"] = "1"
        self.leases[one["metadata"]["name"]] = one
        return one

    def patch(self, plural: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Change a Lease, if it is still the one that was read."""
        assert plural == "leases"
        lease = self.leases[name]
        if patch["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
            raise Conflict("changed meanwhile")
        lease["metadata"]["resourceVersion"] = str(int(lease["metadata"]["resourceVersion"]) + 1)
        lease["spec"] |= patch["spec"]
        copied: dict[str, Any] = json.loads(json.dumps(lease))
        return copied


class Clients(Threads):
    """One client for each replica, asking as fast as it is answered; keeps what it saw."""

    def __init__(self, replicas: list[Predictor]) -> None:
        self.seen: list[list[Seen]] = [[] for _ in replicas]
        super().__init__(
            partial(self._ask, replica, seen)
            for replica, seen in zip(replicas, self.seen, strict=True)
        )

    def _ask(self, replica: Predictor, seen: list[Seen]) -> None:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", replica.http_port, timeout=60)
        while not self._over.is_set():
            sent = time.time()
            connection.request(
                "POST", replica.infer_path, FLOWER, {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.headers.get("serin-try-another"):
                continue  # on a machine that took longer than the lease; Envoy asks the other
            generation = int(answer.headers.get("serin-generation", "0"))
            seen.append(
                (sent, time.time(), answer.status, body.get("model_version", ""), generation)
            )
        connection.close()


def writer(s3: S3Server, cluster: Cluster) -> Writer:
    """What `serin channel` writes with."""
    env = s3.environment
    store = Store(s3.endpoint, env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
    return Writer(cast("Kubernetes", cluster), Channel(store, "iris", "stable"), lambda _: None)


@contextmanager
def replicas(s3: S3Server, logs: Path, folder: Path) -> Iterator[list[Predictor]]:
    """Processes that began with the version in a folder, and follow the channel."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                running(
                    "iris",
                    folder,
                    logs / f"{name}.log",
                    **s3.environment,
                    PREDICTOR_CHANNEL=URI,
                    PREDICTOR_REPLICA=name,
                    PREDICTOR_DRAIN_SECONDS="0",
                    PREDICTOR_LOG_LEVEL="WARNING",
                )
            )
            for name in NAMES
        ]


def test_a_report_that_has_not_changed_is_not_read_again(s3: S3Server) -> None:
    """A writer looks often; what is new is read, and what is gone is not told."""
    env, reads = s3.environment, list[str]()
    store = Store(s3.endpoint, env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
    bucket = artifacts.client(store, "models")
    channel = Channel(store, "iris", "stable")
    report = {"version": "a", "kept": "", "trouble": "", "generation": 1, "seen": 1}
    report |= {"prepared": 1, "armed": 0, "failures": {}, "switched_late_seconds": 0.0}

    class Counted:
        def __getattr__(self, name: str) -> object:
            return getattr(bucket, name)

        def get(self, key: str) -> object:
            reads.append(key)
            return bucket.get(key)

    def write(name: str, **changed: object) -> None:
        told = json.dumps(report | changed).encode()
        bucket.put(f"{channel.folder}/replicas/{name}.json", told)

    channel._client = cast("Any", Counted())
    write("one")
    write("two")
    assert channel.reports() == channel.reports() == {"one": report, "two": report}
    assert len(reads) == 2
    write("two", armed=1)
    assert channel.reports()["two"]["armed"] == 1
    assert len(reads) == 3
    channel.forget("one")
    assert set(channel.reports()) == {"two"}
    assert len(reads) == 3


def test_replicas_swap_in_step_and_lose_nothing(s3: S3Server, tmp_path: Path) -> None:
    """Every request is answered, by the version of its generation, and generations only rise."""
    made = trained.brief("iris")
    folders = [variant(made, number, tmp_path / f"v{number}") for number in range(3)]
    versions = published(s3, folders)
    write = writer(s3, Cluster(NAMES))
    write.set(Wish(versions[0], "", None, None, 60.0))
    with replicas(s3, tmp_path, folders[0]) as followers:
        with Clients(followers) as clients:
            for number in range(1, SWAPS + 1):
                wish = Wish(versions[number % 3], f"swap {number}", None, None, 60.0)
                assert write.set(wish).replicas == REPLICAS
            assert write.back("the way back").replicas == REPLICAS
        # Replicas look for themselves: the first that says so is enough.
        with pytest.raises(
            SerinError, match=r"Nothing was committed: replica-\d .* is not published"
        ):
            write.set(Wish("0123456789ab", "not there", None, None, 60.0))
    _check(clients.seen, write)


def test_answers_are_compared_before_a_commit(s3: S3Server, tmp_path: Path) -> None:
    """A version that swaps two classes is refused with the reason, and one that agrees is not."""
    made = trained.brief("iris")
    worse = guilty.make(made, "swapping", tmp_path / "worse")
    first, same, other = published(s3, [made, variant(made, 1, tmp_path / "same"), worse])
    write = writer(s3, Cluster(NAMES, tmp_path))
    with pytest.raises(SerinError, match="set its first version without --shadow"):
        write.set(Wish(first, "", None, None, 60.0, shadow=30))
    write.set(Wish(first, "", None, None, 60.0))
    with replicas(s3, tmp_path, made) as followers, Clients(followers) as clients:
        with pytest.raises(SerinError, match="shadow flips: another class"):
            write.set(Wish(other, "", None, None, 150.0, shadow=30))
        refused = write.channel.read()
        assert refused is not None
        assert (refused["generation"], refused["version"]) == (1, first)
        assert f"refused   {other}, generation 2" in shown.description(write.channel, refused)
        assert "shadow flips: another class" in refused["refused"]["why"]
        done = write.set(Wish(same, "", None, None, 150.0, shadow=30))
        assert done.document["version"] == same
        assert done.document["refused"] is None
        assert done.replicas == REPLICAS
    _check(clients.seen, write)


def published(s3: S3Server, folders: list[Path]) -> list[str]:
    """Put artifacts into the store; their versions."""
    registry = Registry(s3.environment)
    for folder in folders:
        registry.publish(folder, "iris")
    return [version(folder) for folder in folders]


def _check(seen: list[list[Seen]], write: Writer) -> None:
    history = {one["generation"]: one for one in write.channel.history()}
    requests = [one for replica in seen for one in replica]
    assert [one for one in requests if one[2] != 200] == []
    for _, _, _, served, generation in requests:
        assert served == history[generation]["version"]
    for replica in seen:
        assert all(before[4] <= after[4] for before, after in pairwise(replica))
    document = write.channel.read()
    assert document is not None
    assert document["next"] is None, "what could not be prepared is taken back"


def test_one_writer_at_a_time(s3: S3Server) -> None:
    """A second writer is told who is at it, and one that was overtaken writes nothing more."""
    from controlplane.channels.lease import Lease

    cluster = Cluster([])
    api = cast("Kubernetes", cluster)
    write = writer(s3, cluster)
    with Lease(api, "iris", "stable") as held:
        with pytest.raises(SerinError, match="is changing the channel stable of iris"):
            write.set(Wish("0123456789ab", "", None, None, 60.0))
        cluster.leases["channel-iris-stable"]["metadata"]["resourceVersion"] = "99"
        with pytest.raises(SerinError, match="Another writer took"):
            held.renew()
    assert write.channel.read() is None


def test_a_lost_state_is_not_begun_anew(s3: S3Server) -> None:
    """Replicas would ignore a first generation after a later one: the writer says what to do."""
    write = writer(s3, Cluster([]))
    write.set(Wish("0" * 12, "", None, None, 60.0))
    artifacts.client(write.channel.store, "models").delete("iris/channels/stable/state.json")
    with pytest.raises(SerinError, match=r"state.json is missing, and generation 1 was committed"):
        write.set(Wish("1" * 12, "", None, None, 60.0))
    assert write.channel.read() is None


def test_no_version_of_a_channel_is_garbage(s3: S3Server) -> None:
    """What a channel serves, served before or has proposed stays, and it is no version itself."""
    from controlplane.store import channels, retention
    from controlplane.store.catalog import Catalog

    channel = writer(s3, Cluster([])).channel
    state = channels.first("0" * 12, "test", "", 1.0, mode="strict", keep=60.0)
    state = channels.armed(channels.proposed(state, "1" * 12, "test", "", 1.0, 60.0), 1.0)
    state = channels.committed(state, 2.0)
    channel.write(channels.proposed(state, "2" * 12, "test", "", 3.0, 60.0))
    assert retention.in_channels(channel.store) == {"0" * 12, "1" * 12, "2" * 12}
    assert Catalog(channel.store).all == []
