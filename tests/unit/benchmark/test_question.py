import json
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmark.errors import AnswerError
from scripts.benchmark.traffic.question import Question
from scripts.benchmark.traffic.transports import TRANSPORTS
from scripts.client.messages import messages

SAMPLE = {
    "inputs": [
        {"name": "input-0", "datatype": "FP32", "shape": [2, 2], "data": [3.0, 4.0, 1.5, 2.0]}
    ],
    "outputs": [
        {"name": "class_index", "datatype": "INT64", "shape": [2], "data": [0, 1]},
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": [2, 2],
            "data": [0.9, 0.1, 0.2, 0.8],
        },
    ],
}


@pytest.fixture
def question(tmp_path: Path) -> Question:
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"golden_sample": SAMPLE}))
    return Question.read("iris", tmp_path)


def tensor(data: list[Any], datatype: str = "FP32", shape: list[int] | None = None) -> Any:
    return {"name": "any", "datatype": datatype, "shape": shape or [1, len(data)], "data": data}


def test_the_question_is_the_least_certain_row_of_the_golden_sample(question: Question) -> None:
    """Its answer is known before any server runs."""
    assert question.tensor["shape"] == [1, 2]
    assert question.tensor["data"] == [1.5, 2.0]
    assert list(question.probabilities) == [0.2, 0.8]


@pytest.mark.parametrize(
    "outputs",
    [
        [tensor([0.2, 0.8])],
        [tensor([[0.2, 0.8]], "FP64", [1, 2])],
        [tensor([1], "INT64", [1]), tensor([b"x"], "BYTES", [1]), tensor([0.20001, 0.79999])],
    ],
)
def test_right_answers_of_all_servers_pass(question: Question, outputs: list[Any]) -> None:
    """Names, precision and further tensors differ between servers."""
    question.check(outputs)


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ([], "got 0"),
        ([tensor([0.2, 0.8]), tensor([0.2, 0.8])], "got 2"),
        ([tensor([0.2, 0.8, 0.0])], "got 0"),
        ([tensor([0.8, 0.2])], "expected probabilities"),
        ([tensor([0.2, 0.7998])], "expected probabilities"),
        ([tensor([float("nan"), 0.8])], "expected probabilities"),
        ([tensor([0.2, 0.8]), tensor([0], "INT64", [1])], "expected class 1"),
    ],
)
def test_wrong_answers_are_seen(question: Question, outputs: list[Any], reason: str) -> None:
    """Fast and wrong must not win."""
    with pytest.raises(AnswerError, match=reason):
        question.check(outputs)


def test_all_transports_ask_the_same(question: Question) -> None:
    """JSON numbers, raw bytes behind JSON, and protobuf hold the same two values."""
    text, binary, rpc = (TRANSPORTS[name].request(question) for name in TRANSPORTS)
    raw = b"\x00\x00\xc0\x3f\x00\x00\x00\x40"  # 1.5 and 2.0, little-endian float32
    message = messages().ModelInferRequest.FromString(rpc.body)
    length = int(binary.headers["Inference-Header-Content-Length"])

    assert json.loads(text.body)["inputs"][0]["data"] == [1.5, 2.0]
    assert binary.body[length:] == raw
    assert json.loads(binary.body[:length])["inputs"][0]["parameters"] == {"binary_data_size": 8}
    assert list(message.raw_input_contents) == [raw]
    assert (message.model_name, list(message.inputs[0].shape)) == ("iris", [1, 2])
    assert message.id, "a server's own ids grow, and answers of gRPC must keep their size"
