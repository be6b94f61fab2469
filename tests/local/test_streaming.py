"""Streaming by a real predictor of a tiny model: server-sent events and ModelStreamInfer."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from predictors.runtime.lean_kserve import pb
from tests.support import slow_model, tiny_lm
from tests.support.predictor import Predictor, metric, running, wait_until

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
BASE = "/v2/models/causal-lm"
PROMPT = "the quick größe"


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """A predictor of the tiny model."""
    folder = tmp_path_factory.mktemp("lm")
    artifact = tiny_lm.write_artifact(folder / "artifact")
    with running("causal-lm", artifact, folder / "log") as predictor:
        yield predictor


def generate(lm: Predictor, path: str = "generate", **document: Any) -> Any:
    """POST to one of the two paths, as curl would without a content type."""
    return lm.request("POST", f"{BASE}/{path}", json.dumps(document).encode())


def events(body: bytes) -> list[dict[str, Any]]:
    """The server-sent events of a whole body."""
    parts = body.split(b"\n\n")
    assert parts.pop() == b""
    assert all(part.startswith(b"data: ") for part in parts)
    return [json.loads(part.removeprefix(b"data: ")) for part in parts]


def infer_request(
    request_id: str, model: str = "causal-lm", text: str = PROMPT, **settings: int
) -> Any:
    """A ModelInferRequest of one prompt, its settings as parameters."""
    message = pb.ModelInferRequest(model_name=model, id=request_id)
    message.inputs.add(
        name="text_input", datatype="BYTES", shape=[1], contents={"bytes_contents": [text.encode()]}
    )
    for name, value in settings.items():
        message.parameters[name].int64_param = value
    return message


def read_answer(raw: bytes) -> tuple[str, Any]:
    """A ModelStreamInferResponse: its error message and its ModelInferResponse."""
    error, response = "", pb.ModelInferResponse()
    while raw:
        tag, length, size, shift, at = raw[0], 0, 0, 0, 1
        while True:
            size |= (raw[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not raw[at - 1] & 0x80:
                break
        value, raw = raw[at : at + size], raw[at + size :]
        assert len(value) == size, length
        if tag == 0x0A:
            error = value.decode()
        else:
            assert tag == 0x12
            response.ParseFromString(value)
    return error, response


def stream(channel: grpc.Channel) -> Any:
    """The stub of ModelStreamInfer, answers as bytes."""
    return channel.stream_stream(
        STREAM,
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=bytes,
    )


def test_events_are_the_whole_answer_in_pieces(lm: Predictor) -> None:
    """Triton's fields and the specification's `done`; the last one has the reason."""
    whole = generate(lm, text_input=PROMPT, max_tokens=30, id="seven").json
    answer = generate(lm, "generate_stream", text_input=PROMPT, parameters={"max_tokens": 30})
    pieces = events(answer.body)

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert len(pieces) > 5
    assert "".join(piece["text_output"] for piece in pieces) == whole["text_output"]
    assert [piece["done"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1]["finish_reason"] == whole["finish_reason"] == "length"
    assert pieces[-1]["completion_tokens"] == whole["completion_tokens"] == 30
    assert whole["id"] == "seven"
    assert whole["model_version"] == lm.manifest.version


def test_infer_takes_several_prompts_and_parameters_for_all(lm: Predictor) -> None:
    """The same answers as one by one; a parameter beside its tensor is refused."""
    tensor = {"name": "text_input", "shape": [2], "datatype": "BYTES", "data": [PROMPT, "dog"]}
    answer = lm.infer({"inputs": [tensor], "parameters": {"max_tokens": 5, "custom": 1}}).json
    (texts,) = (one["data"] for one in answer["outputs"] if one["name"] == "text_output")
    asked = {"name": "max_tokens", "shape": [2], "datatype": "INT32", "data": [5, 5]}
    twice = lm.infer({"inputs": [tensor, asked], "parameters": {"max_tokens": 5}})

    alone = [generate(lm, text_input=text, max_tokens=5).json for text in (PROMPT, "dog")]
    assert texts == [one["text_output"] for one in alone]
    assert (twice.status, "both as an input and as a parameter" in twice.json["error"]) == (
        400,
        True,
    )


@pytest.mark.parametrize(
    ("path", "document", "expected"),
    [
        ("generate", {"text_input": "x", "max_token": 5}, "unknown field 'max_token'"),
        ("generate", {"max_tokens": 5}, "input 'text_input' is missing"),
        ("generate", {"text_input": ["x", "y"]}, "expected one value"),
        ("generate", {"text_input": "x", "stream": True}, "'stream' must be false"),
        ("generate_stream", {"text_input": "x", "max_tokens": 256}, "'max_tokens'"),
        ("generate", {"text_input": "x", "max_tokens": 2**31}, "… 2147483647, got 2147483648"),
        ("generate", {"text_input": "x", "top_k": -1}, "0 or more (0: from all tokens), got -1"),
        ("generate", {"text_input": None}, "input 'text_input' is missing"),
        ("generate_stream", {"text_input": "x" * 300}, "budget of 256"),
        ("generate_stream", {"text_input": "x", "temperature": "warm"}, "expected a number"),
    ],
)
def test_what_does_not_fit_is_a_400_before_any_event(
    lm: Predictor, path: str, document: dict[str, Any], expected: str
) -> None:
    """JSON, and the field by its name."""
    answer = generate(lm, path, **document)

    assert answer.status == 400
    assert expected in answer.json["error"]


def test_a_setting_of_null_is_one_that_is_not_given(lm: Predictor) -> None:
    """Clients that are built of optional fields send nulls; infer's parameters too."""
    plain = generate(lm, text_input=PROMPT, max_tokens=9).json["text_output"]
    nulls: dict[str, Any] = {
        "stop": None,
        "seed": None,
        "temperature": None,
        "top_k": None,
        "truncate": None,
    }
    parameters: dict[str, Any] = {"max_tokens": 9, **nulls}
    tensor = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": [PROMPT]}
    asked = lm.infer({"inputs": [tensor], "parameters": parameters}).json

    assert generate(lm, text_input=PROMPT, max_tokens=9, **nulls).json["text_output"] == plain
    assert generate(lm, text_input=PROMPT, parameters=parameters).json["text_output"] == plain
    assert asked["outputs"][0]["data"] == [plain]


def test_a_client_that_leaves_a_stream_is_counted_out(lm: Predictor) -> None:
    """As cancelled; what is in flight falls to nothing."""

    def cancelled() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", lm.http_port, timeout=20)
        document = {"text_input": "the", "max_tokens": 255 - 8}
        connection.request("POST", f"{BASE}/generate_stream", json.dumps(document))
        connection.getresponse().readline()
        connection.close()
        text = lm.metrics()
        return metric(text, "predictor_requests_total", outcome="cancelled") > 0

    def idle() -> bool:
        return metric(lm.metrics(), "predictor_requests_in_flight") == 0

    wait_until(cancelled, 60, "a stream that ended as cancelled")
    wait_until(idle, 60, "nothing in flight")


def test_one_grpc_stream_carries_several_requests(lm: Predictor) -> None:
    """Pieces by id, the last of each marked; a refused one does not end the others."""
    whole = generate(lm, text_input=PROMPT, max_tokens=12).json["text_output"]
    asked = [
        infer_request("a", max_tokens=12),
        infer_request("bad", max_tokens=0),
        infer_request("other", model="iris"),
        infer_request("b", max_tokens=12),
    ]
    texts: dict[str, str] = {}
    finals: list[str] = []
    errors: dict[str, str] = {}
    with lm.channel() as channel:
        for raw in stream(channel)(iter(asked), timeout=20):
            error, response = read_answer(raw)
            if response.parameters["triton_final_response"].bool_param:
                finals.append(response.id)
            if error:
                errors[response.id] = error
                continue
            text = response.raw_output_contents[0][4:].decode()
            texts[response.id] = texts.get(response.id, "") + text

    assert texts == {"a": whole, "b": whole}
    assert sorted(finals) == ["a", "b", "bad", "other"]
    assert "'max_tokens'" in errors["bad"]
    assert "model 'iris' not found" in errors["other"]


def test_a_grpc_client_that_cancels_its_stream_is_counted_out(lm: Predictor) -> None:
    """Its requests stop, and nothing stays in flight."""
    with lm.channel() as channel:
        left = threading.Event()

        def held() -> Iterator[Any]:
            """One request, and the stream kept open."""
            yield infer_request("a", max_tokens=200)
            left.wait(20)

        call = stream(channel)(held(), timeout=20)
        next(call)
        call.cancel()
        left.set()

    def idle() -> bool:
        return metric(lm.metrics(), "predictor_requests_in_flight") == 0

    wait_until(idle, 60, "nothing in flight")
    assert metric(lm.metrics(), "predictor_requests_total", outcome="error") == 0


def test_a_model_that_does_not_stream_says_so(tmp_path: Path) -> None:
    """404 and UNIMPLEMENTED, with the call to make instead."""
    artifact = slow_model.write_artifact(tmp_path / "artifact")
    module = "tests.support.slow_model"
    with running("slow", artifact, tmp_path / "log", module=module) as slow:
        answer = slow.request("POST", "/v2/models/slow/generate_stream", b"{}")
        with slow.channel() as channel, pytest.raises(grpc.RpcError) as refused:
            next(stream(channel)(iter([infer_request("a", "slow")]), timeout=20))

    assert (answer.status, "/v2/models/slow/infer" in answer.json["error"]) == (404, True)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
