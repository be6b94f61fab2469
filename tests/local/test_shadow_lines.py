"""What a predictor logs of a request that a gateway mirrors: its answer, under the request's id."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from predictors.runtime.lean_kserve import pb
from tests.support import trained
from tests.support.predictor import Predictor, metric, running, wait_until
from tests.support.slow_model import write_artifact

SLOW = "tests.support.slow_model"
ID = "x-request-id"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained.artifact("iris", "--smoke")


@pytest.fixture
def iris(artifact: Path, tmp_path: Path) -> Iterator[Predictor]:
    with running("iris", artifact, tmp_path / "log") as started:
        yield started


def lines(predictor: Predictor, count: int) -> list[dict[str, Any]]:
    """The lines of this many shadowed requests, once they are written."""

    def found() -> list[dict[str, Any]]:
        text = predictor.log.read_text()
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [one for one in map(json.loads, whole) if one["event"] == "shadow"]

    wait_until(lambda: len(found()) == count, 60, f"{count} lines of shadowed requests")
    return found()


def ask(predictor: Predictor, mark: str, **headers: str) -> Any:
    """One REST request of three flowers; its answer."""
    data = [5.1, 3.5, 1.4, 0.2, 6.0, 2.7, 4.2, 1.3, 6.5, 3.0, 5.5, 2.0]
    tensor = {"name": "input-0", "datatype": "FP32", "shape": [3, 4], "data": data}
    answer = predictor.infer({"inputs": [tensor]}, **{"serin-shadow": mark, ID: "r-1"} | headers)
    assert answer.status == 200, answer.body
    return answer.json


def call(predictor: Predictor, message: Any, mark: str) -> Any:
    with predictor.channel() as channel:
        stub = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        return stub(message, timeout=20, metadata=(("serin-shadow", mark), (ID, "g-1")))


def test_the_first_rows_class_and_scores_are_told_and_no_input(iris: Predictor) -> None:
    """Over REST, as it was answered; requests without the header leave no such line."""
    iris.infer({"inputs": iris.golden_inputs()})
    outputs = {one["name"]: one["data"] for one in ask(iris, "abc/other")["outputs"]}

    (line,) = lines(iris, 1)

    assert (line["model"], line["model_version"]) == ("iris", iris.manifest.version)
    assert (line["shadow"], line["x_request_id"], line["protocol"]) == ("abc/other", "r-1", "rest")
    assert (line["outcome"], line["status"]) == ("ok", 200)
    assert line["class"] == outputs["class_name"][0]
    assert line["scores"] == pytest.approx(outputs["probabilities"][:3], abs=1e-4)
    assert "5.1" not in json.dumps(line)
    assert len(json.dumps(line)) < 1000


def test_grpc_and_refusals_are_told_too(iris: Predictor) -> None:
    """What fails has an outcome and no answer."""
    wrong = pb.ModelInferRequest(model_name="iris", raw_input_contents=[b"short"])
    wrong.inputs.add(name="input-0", datatype="FP32", shape=[1, 4])
    with pytest.raises(grpc.RpcError):
        call(iris, wrong, "abc/other")
    right = pb.ModelInferRequest(model_name="iris")
    tensor = right.inputs.add(name="input-0", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([5.1, 3.5, 1.4, 0.2])
    call(iris, right, "abc/other")

    failed, answered = lines(iris, 2)

    assert (failed["outcome"], failed["x_request_id"]) == ("invalid", "g-1")
    assert "class" not in failed
    assert (answered["outcome"], answered["protocol"], answered["class"]) == (
        *("ok", "grpc", "setosa"),
    )


def test_the_answer_to_a_copy_counts_as_no_users_request(iris: Predictor) -> None:
    """The version under trial knows itself by the header; another counts it as any request."""
    ask(iris, "abc/other")
    ask(iris, f"abc/{iris.manifest.version}")
    lines(iris, 2)
    text = iris.metrics()

    assert metric(text, "predictor_requests_total", outcome="ok") == 1
    assert metric(text, "predictor_request_duration_seconds_count") == 1
    assert metric(text, "predictor_mirrored_requests_total", outcome="ok") == 1
    assert metric(text, "predictor_requests_in_flight") == 0


@pytest.mark.parametrize("flags", ["", "--workers=2"])
def test_models_without_classes_and_those_who_log_little_tell_a_digest(
    tmp_path: Path, flags: str
) -> None:
    """Equal answers have equal digests, from the queue and from several processes too."""
    artifact = write_artifact(tmp_path / "artifact")
    env = {"PREDICTOR_LOG_LEVEL": "WARNING"}
    with running("slow", artifact, tmp_path / "log", module=SLOW, flags=flags, **env) as slow:
        for seconds in (0.02, 0.02, 0.03):
            tensor = {"name": "seconds", "datatype": "FP32", "shape": [1], "data": [seconds]}
            slow.infer({"inputs": [tensor]}, **{"serin-shadow": "abc/v", ID: "r"})
        digests = [one["digest"] for one in lines(slow, 3)]

    assert len(set(digests)) == 2
