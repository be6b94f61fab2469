"""Inputs that a request may leave out, as a running server queues, joins and refuses them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from predictors.runtime.lean_kserve import pb
from tests.support.predictor import Answer, Predictor, metric, running, wait_until
from tests.support.slow_model import HELD, let_go, write_artifact


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Predictor]:
    """A running model whose `note` is optional."""
    artifact = write_artifact(tmp_path / "slow")
    with running("slow", artifact, tmp_path / "log", module="tests.support.slow_model") as started:
        yield started


def ask(predictor: Predictor, seconds: float, note: str | None = None) -> Answer:
    """One row that takes `seconds`, the optional input first where it is given."""
    tensors = [{"name": "seconds", "datatype": "FP32", "shape": [1], "data": [seconds]}]
    if note is not None:
        tensors.insert(0, {"name": "note", "datatype": "BYTES", "shape": [1], "data": [note]})
    return predictor.infer({"inputs": tensors})


def in_flight(predictor: Predictor) -> float:
    """Requests that wait or are being computed."""
    return metric(predictor.metrics(), "predictor_requests_in_flight")


def test_requests_share_a_call_only_with_those_of_the_same_inputs(slow: Predictor) -> None:
    """An optional input is given for all rows of a call or for none of them."""
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ask, slow, HELD)
        wait_until(lambda: in_flight(slow) == 1, 60, "the first request in flight")
        others = [pool.submit(ask, slow, 0.01, note) for note in ("a", None, "b")]
        wait_until(lambda: in_flight(slow) == 4, 60, "three requests waiting behind it")
        let_go(slow.folder)
        answers = [one.result() for one in [first, *others]]

    assert [answer.status for answer in answers] == [200] * 4
    # The order of arrival decides who is neighbour to whom; the two kinds never mix.
    assert answers[2].json["outputs"][1]["data"] == [1]


def test_the_models_own_check_refuses_before_anything_waits(slow: Predictor) -> None:
    """`validate`'s message is a 400, and INVALID_ARGUMENT over gRPC, while the model is busy."""
    message = pb.ModelInferRequest(model_name="slow")
    for name, datatype, contents in (
        ("seconds", "FP32", {"fp32_contents": [0]}),
        ("note", "BYTES", {"bytes_contents": [b""]}),
    ):
        message.inputs.add(name=name, datatype=datatype, shape=[1], contents=contents)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, slow, HELD)
        wait_until(lambda: in_flight(slow) == 1, 60, "the first request in flight")
        refused = ask(slow, 0.01, note="")
        with pytest.raises(grpc.RpcError) as over_grpc:
            slow.call("ModelInfer", message)
        assert not first.done()
        let_go(slow.folder)

    assert (refused.status, over_grpc.value.code()) == (400, grpc.StatusCode.INVALID_ARGUMENT)
    for text in (refused.json["error"], over_grpc.value.details()):
        assert text == "tensor 'note': expected text, got an empty element"


def test_metadata_and_manifest_say_which_inputs_are_optional(slow: Predictor) -> None:
    """A client reads it in the input's parameters; a required one has no word of it."""
    seconds, note = slow.request("GET", "/v2/models/slow").json["inputs"]

    assert "parameters" not in seconds
    assert note["parameters"] == {"optional": True}
    signature = slow.manifest.document["signature"]["inputs"]
    assert [one.get("optional", False) for one in signature] == [False, True]
