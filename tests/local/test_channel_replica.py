"""One replica of a channel: a real predictor and a real store, the documents written by hand."""

import http.client
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import SerinError
from controlplane.store.followed import Channel
from controlplane.store.s3 import Store
from predictors.runtime.lean_kserve import pb
from tests.support import trained
from tests.support.channel import Hand, variant, version
from tests.support.predictor import (
    JSON,
    Answer,
    Predictor,
    metric,
    running,
    start_refused,
    wait_until,
)
from tests.support.s3 import S3Server
from training.publish.registry import Registry

FLOWER = {
    "inputs": [{"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": [5, 3, 1, 0]}]
}


class World:
    """A store with two versions of iris, and a channel of the first."""

    def __init__(self, s3: S3Server, folder: Path) -> None:
        self.s3 = s3
        self.registry = Registry(s3.environment)
        made = trained.brief("iris")
        self.folders = [variant(made, number, folder / f"v{number}") for number in (1, 2)]
        for one in self.folders:
            self.registry.publish(one, "iris")
        self.first, self.second = map(version, self.folders)
        self.hand = Hand(self.registry, "iris")
        self.hand.begin(self.first)
        self._folder = folder

    @contextmanager
    def replica(self, **env: str) -> Iterator[Predictor]:
        """A predictor that follows it."""
        settings = {
            **self.s3.environment,
            "PREDICTOR_CHANNEL": "s3://models/iris@stable",
            "PREDICTOR_REPLICA": "a",
            "PREDICTOR_DRAIN_SECONDS": "0",
            **env,
        }
        with running("iris", self.folders[0], self._folder / "log", **settings) as predictor:
            yield predictor

    def swap(self) -> None:
        """Prepare and commit the second version."""
        self.hand.propose(self.second)
        number = self.hand.state["proposed"]
        self.hand.wait("a", lambda told: told["prepared"] == number, "a prepared replica")
        self.hand.commit()
        self.hand.wait("a", lambda told: told["generation"] == number, "the switch")


@pytest.fixture
def world(s3: S3Server, tmp_path: Path) -> World:
    """What a test changes."""
    return World(s3, tmp_path)


def ask(predictor: Predictor, **headers: str) -> Answer:
    """One flower."""
    return predictor.infer(FLOWER, **headers)


def test_a_replica_prepares_switches_and_goes_back(world: World) -> None:
    """Nobody is answered by what is proposed; a commit switches; the kept engine comes back."""
    with world.replica() as predictor:
        answer = ask(predictor)
        assert (answer.json["model_version"], answer.headers["serin-generation"]) == (
            world.first,
            "1",
        )
        world.hand.propose(world.second)
        world.hand.wait("a", lambda told: told["prepared"] == 2, "a prepared replica")
        assert ask(predictor).json["model_version"] == world.first
        world.hand.commit()
        world.hand.wait("a", lambda told: told["generation"] == 2, "the switch")
        answer = ask(predictor)
        assert (answer.json["model_version"], answer.headers["serin-generation"]) == (
            world.second,
            "2",
        )
        assert predictor.request("GET", "/v2/models/iris").json["versions"] == [world.second]
        path = f"/v2/models/iris/versions/{world.second}/ready"
        assert predictor.request("GET", path).status == 200
        world.hand.back()
        world.hand.wait("a", lambda told: told["generation"] == 3, "the way back")
        answer = ask(predictor)
        assert (answer.json["model_version"], answer.headers["serin-generation"]) == (
            world.first,
            "3",
        )
        page = predictor.metrics()
        assert metric(page, "predictor_channel_serving_generation", model="iris") == 3
        assert metric(page, "predictor_requests_in_flight", model_version=world.first) == 0
        assert predictor.stop() == 0


def test_a_client_that_has_seen_a_newer_generation_is_sent_elsewhere(world: World) -> None:
    """x-min-generation is honoured over REST and gRPC before a request is read."""
    with world.replica() as predictor:
        assert ask(predictor, **{"x-min-generation": "1"}).status == 200
        answer = ask(predictor, **{"x-min-generation": "2"})
        assert answer.status == 503
        assert answer.headers["serin-try-another"] == "1"
        assert "serves generation 1 here, and x-min-generation is 2" in answer.json["error"]
        assert ask(predictor, **{"x-min-generation": "new"}).status == 400
        code, trailers = call(predictor, ("x-min-generation", "2"))
        assert code == "UNAVAILABLE"
        assert trailers["serin-try-another"] == "1"
        code, trailers = call(predictor, ("x-min-generation", "1"))
        assert (code, trailers["serin-generation"]) == ("OK", "1")


def test_a_request_ends_on_the_engine_that_admitted_it(world: World) -> None:
    """What was admitted before the instant is the old version's answer, however late it comes."""
    with world.replica(PREDICTOR_ARTIFICIAL_CPU_SECONDS="0.5") as predictor:
        world.hand.propose(world.second)
        world.hand.wait("a", lambda told: told["prepared"] == 2, "a prepared replica")
        # Four seconds of work, which is longer than a commit's lead.
        eight = [{**FLOWER["inputs"][0], "shape": [8, 4], "data": [5.0, 3, 1, 0] * 8}]
        early = http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=100)
        early.request("POST", predictor.infer_path, json.dumps({"inputs": eight}), JSON)
        labels = {"model": "iris", "model_version": world.first}
        in_flight = "predictor_requests_in_flight"
        wait_until(
            lambda: metric(predictor.metrics(), in_flight, **labels) == 1, 60, "its admission"
        )
        world.hand.commit()
        world.hand.wait("a", lambda told: told["generation"] == 2, "the switch")
        assert ask(predictor).json["model_version"] == world.second
        assert json.loads(early.getresponse().read())["model_version"] == world.first
        early.close()


def test_a_process_stopped_past_the_instant_answers_by_the_new_version(world: World) -> None:
    """What reached its sockets meanwhile is admitted after the switch that was due."""
    with world.replica() as predictor:
        assert ask(predictor).json["model_version"] == world.first
        world.hand.propose(world.second)
        world.hand.wait("a", lambda told: told["prepared"] == 2, "a prepared replica")
        world.hand.commit()
        instant = world.hand.state["activate_at"]
        connections = [
            http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=20)
            for _ in range(8)
        ]
        for connection in connections:
            connection.connect()
        wait_until(lambda: time.time() > instant - 1, 60, "the last second before the instant")
        predictor.process.send_signal(signal.SIGSTOP)
        for connection in connections:
            connection.request("POST", predictor.infer_path, json.dumps(FLOWER), JSON)
        wait_until(lambda: time.time() > instant, 60, "the instant")
        predictor.process.send_signal(signal.SIGCONT)
        for connection in connections:
            answer = connection.getresponse()
            told = json.loads(answer.read())
            # On a machine that took longer than the lease it may be sent elsewhere.
            assert answer.status == 503 or told["model_version"] == world.second, told
            connection.close()


def test_what_cannot_be_prepared_is_refused_with_its_reason(world: World) -> None:
    """A damaged file, a missing version, a manifest of 17 MiB: the replica stays and says why."""
    with world.replica() as predictor:
        world.registry.put(f"iris/{world.second}/model.onnx", b"damaged")
        world.hand.propose(world.second)
        report = world.hand.wait("a", lambda told: "2" in told["failures"], "the refusal")
        assert "model.onnx" in report["failures"]["2"]
        world.hand.propose("0123456789ab")
        report = world.hand.wait("a", lambda told: "3" in told["failures"], "the refusal")
        assert "not published" in report["failures"]["3"]
        world.registry.put("iris/0123456789ac/MANIFEST.json", b"{}")
        with (world.s3.folder / "models/iris/0123456789ac/MANIFEST.json").open("wb") as file:
            file.truncate(17 << 20)
        world.hand.propose("0123456789ac")
        report = world.hand.wait("a", lambda told: "4" in told["failures"], "the refusal")
        assert "has 17825792 bytes" in report["failures"]["4"]
        assert ask(predictor).json["model_version"] == world.first
        world.registry.publish(world.folders[1], "iris")
        world.swap()
        assert ask(predictor).json["model_version"] == world.second


def test_a_new_process_takes_the_committed_generation(world: World) -> None:
    """A pod that starts with an older version answers nobody before it has the committed one."""
    with world.replica():
        world.swap()
    with world.replica() as predictor:
        answer = ask(predictor)
        assert (answer.json["model_version"], answer.headers["serin-generation"]) == (
            world.second,
            "2",
        )


def test_an_armed_replica_without_its_store_answers_nobody_until_it_is_back(
    world: World,
) -> None:
    """It may have missed the commit: strict, it is unready and sends what comes elsewhere."""
    with world.replica() as predictor:
        world.hand.propose(world.second)
        world.hand.wait("a", lambda told: told["prepared"] == 2, "a prepared replica")
        world.hand.arm("a")
        world.s3.stop()
        wait_until(lambda: ask(predictor).status == 503, 60, "a suspended replica")
        answer = ask(predictor)
        assert answer.headers["serin-try-another"] == "1"
        assert "the channel was not read" in answer.json["error"]
        assert predictor.request("GET", "/v2/health/ready").status == 503
        assert metric(predictor.metrics(), "predictor_channel_late", model="iris") == 1
        world.s3.start()
        wait_until(lambda: ask(predictor).status == 200, 60, "its answers")


def test_an_available_replica_goes_on_without_its_store(world: World) -> None:
    """It is counted as late, and answers with what it has."""
    world.hand.begin(world.first, mode="available")
    with world.replica() as predictor:
        world.hand.propose(world.second)
        world.hand.wait("a", lambda told: told["prepared"] == 2, "a prepared replica")
        world.hand.arm("a")
        world.s3.stop()

        def late() -> bool:
            assert ask(predictor).status == 200
            return metric(predictor.metrics(), "predictor_channel_late", model="iris") == 1

        wait_until(late, 60, "a replica that is late")


def test_a_state_larger_than_any_channel_is_not_read(world: World) -> None:
    """Neither by a replica, which goes on, nor by a verb, which says whose it cannot be."""
    with world.replica() as predictor:
        world.registry.put(f"{world.hand.folder}/state.json", b" " * (2 << 20))
        wait_until(lambda: "has 2097152 bytes" in predictor.log.read_text(), 60, "its log line")
    env = world.s3.environment
    store = Store(world.s3.endpoint, env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
    with pytest.raises(SerinError, match="has 2097152 bytes"):
        Channel(store, "iris", "stable").read()


def test_a_channel_without_a_store_is_refused_at_start(world: World) -> None:
    """Settings that cannot work end the process with one sentence."""
    folder = world.folders[0]
    for channel, said in (
        ("s3://models/iris", "expected s3://BUCKET/MODEL@NAME"),
        ("s3://models/iris@stable", "SERIN_S3_ENDPOINT is not"),
    ):
        done = start_refused("iris", "predictors.iris", folder, PREDICTOR_CHANNEL=channel)
        assert done.returncode == 1
        assert said in done.stdout


def call(predictor: Predictor, *metadata: tuple[str, str]) -> tuple[str, dict[str, Any]]:
    """One flower over gRPC: the status and the trailers."""
    message = pb.ModelInferRequest(model_name="iris")
    tensor = message.inputs.add(name="input-0", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([5, 3, 1, 0])
    with predictor.channel() as channel:
        stub = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            lambda one: one.SerializeToString(),
            pb.ModelInferResponse.FromString,
        )
        future = stub.future(message, metadata=metadata, timeout=20)
        code = future.code().name
        return code, {str(key): str(value) for key, value in future.trailing_metadata()}
