"""What MLServer's and Triton's clients ask by parameters, for every model: done, or a 400."""

import base64
from typing import Any

import grpc
import numpy as np
import pytest

from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.datatypes import from_wire
from tests.support.predictor import Answer, Predictor

REFUSED = {"priority": 1, "sequence_id": 7, "sequence_start": True, "sequence_end": True}


def ask(predictor: Predictor, **parameters: Any) -> Answer:
    """The golden sample with parameters of the request."""
    return predictor.infer({"inputs": predictor.golden_inputs(), "parameters": parameters})


def message(predictor: Predictor) -> Any:
    """The golden sample over gRPC."""
    request = pb.ModelInferRequest(model_name=predictor.model)
    for tensor in predictor.golden_inputs():
        sent = request.inputs.add(
            name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"]
        )
        fields = {"FP32": "fp32_contents", "BYTES": "bytes_contents", "INT32": "int_contents"}
        data = np.array(tensor["data"], object).ravel().tolist()
        data = [one.encode() if isinstance(one, str) else one for one in data]
        getattr(sent.contents, fields[tensor["datatype"]]).extend(data)
    return request


def refused(predictor: Predictor, request: Any) -> tuple[str, str]:
    """The code and the words that refuse a call."""
    with pytest.raises(grpc.RpcError) as caught:
        predictor.call("ModelInfer", request)
    error: Any = caught.value
    return error.code().name, error.details()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_offered_is_refused_by_name(predictor: Predictor, name: str) -> None:
    """Priorities and sequences, over both transports; Triton's words for none are taken."""
    answer = ask(predictor, **{name: REFUSED[name]})
    assert answer.status == 400
    assert f"parameter {name} is not offered" in answer.json["error"]
    assert ask(predictor, **{name: 0}).status == 200

    request = message(predictor)
    if name == "priority":  # Triton's uint64_param, which kserve's message does not know
        choice = pb.InferParameter()
        choice.MergeFromString(b"\x28\x01")
        request.parameters[name].CopyFrom(choice)
    elif name == "sequence_id":
        request.parameters[name].string_param = "seven"
    else:
        request.parameters[name].bool_param = True
    code, words = refused(predictor, request)
    assert (code, f"parameter {name} is not offered" in words) == ("INVALID_ARGUMENT", True)


def test_timeout_is_a_deadline_in_microseconds(predictor: Predictor) -> None:
    """One that has passed is a 504, one to come and 0 are nothing, and others are named."""
    for patient in (0, 60_000_000):
        assert ask(predictor, timeout=patient).status == 200
    late = ask(predictor, timeout=1)
    assert (late.status, "timeout" in late.json["error"]) == (504, True)
    for wrong in (-1, 1.5, "soon", True):
        answer = ask(predictor, timeout=wrong)
        assert (answer.status, "microseconds" in answer.json["error"]) == (400, True)

    request = message(predictor)
    request.parameters["timeout"].int64_param = 1
    assert refused(predictor, request)[0] == "DEADLINE_EXCEEDED"


def test_shared_memory_is_refused_by_name(predictor: Predictor) -> None:
    """Of an input or an output."""
    inputs = predictor.golden_inputs()
    inputs[0]["parameters"] = {"shared_memory_region": "r", "shared_memory_byte_size": 4}
    del inputs[0]["data"]
    outputs = [{"name": output["name"]} for output in predictor.manifest.golden_sample["outputs"]]
    outputs[0]["parameters"] = {"shared_memory_region": "r"}
    for document in (
        {"inputs": inputs},
        {"inputs": predictor.golden_inputs(), "outputs": outputs},
    ):
        answer = predictor.infer(document)
        assert answer.status == 400
        assert "shared_memory_region" in answer.json["error"]


def numbers(predictor: Predictor) -> list[dict[str, Any]]:
    """The outputs of numbers."""
    outputs = predictor.manifest.golden_sample["outputs"]
    return [output for output in outputs if output["datatype"] not in {"BYTES", "BOOL"}]


def test_classification_is_the_largest_values_with_their_labels(predictor: Predictor) -> None:
    """`value:index:label`, the largest first, over both transports; text has no classes."""
    labels = {
        output["name"]: output.get("parameters", {}).get("labels")
        for output in predictor.request("GET", f"/v2/models/{predictor.model}").json["outputs"]
    }
    for output in numbers(predictor):
        name, asked = output["name"], {"name": output["name"]}
        document = {"inputs": predictor.golden_inputs(), "outputs": [asked]}
        plain = predictor.infer(document).json["outputs"][0]
        asked["parameters"] = {"classification": 2}
        classes = predictor.infer(document).json["outputs"][0]

        rows = np.array(plain["data"]).reshape(plain["shape"][0], -1)
        count = min(2, rows.shape[1])
        assert (classes["datatype"], classes["shape"]) == ("BYTES", [len(rows), count])
        expected = []
        for row in rows:
            for index in sorted(range(len(row)), key=lambda at: (-row[at], at))[:count]:
                value = f"{row[index]:f}" if plain["datatype"].startswith("FP") else row[index]
                label = f":{labels[name][index]}" if labels[name] else ""
                expected.append(f"{value}:{index}{label}")
        assert classes["data"] == expected

        request = message(predictor)
        request.outputs.add(name=name).parameters["classification"].int64_param = 2
        answer = predictor.call("ModelInfer", request)
        assert answer.outputs[0].datatype == "BYTES"
        (raw,) = answer.raw_output_contents
        assert [one.decode() for one in from_wire(raw, "BYTES", len(expected), name)] == expected


@pytest.mark.parametrize("value", [-1, 1.5, "2", True])
def test_classification_that_is_no_number_is_a_400(predictor: Predictor, value: Any) -> None:
    """The output is named; so is one without an order."""
    outputs = predictor.manifest.golden_sample["outputs"]
    for output in outputs:
        asked = {"name": output["name"], "parameters": {"classification": value}}
        answer = predictor.infer({"inputs": predictor.golden_inputs(), "outputs": [asked]})
        assert answer.status == 400
        assert output["name"] in answer.json["error"]
        if output not in numbers(predictor):
            asked["parameters"]["classification"] = 1
            answer = predictor.infer({"inputs": predictor.golden_inputs(), "outputs": [asked]})
            assert (answer.status, "for numbers" in answer.json["error"]) == (400, True)


def outputs_of(answer: Answer) -> Any:
    """The output tensors."""
    assert answer.status == 200, answer.body
    return answer.json["outputs"]


def test_base64_is_read_where_the_content_type_says_so(predictor: Predictor) -> None:
    """MLServer's `content_type` of a tensor or the request: the same outputs as the plain text."""
    plain = outputs_of(predictor.infer({"inputs": predictor.golden_inputs()}))
    inputs = predictor.golden_inputs()
    texts = [tensor for tensor in inputs if tensor["datatype"] == "BYTES"]
    if not texts:
        pytest.skip("takes no bytes")
    for tensor in texts:
        tensor["data"] = [base64.b64encode(text.encode()).decode() for text in tensor["data"]]
        tensor["parameters"] = {"content_type": "base64"}
    request = message(predictor)
    for tensor in request.inputs:
        if tensor.datatype == "BYTES":
            coded = [base64.b64encode(text) for text in tensor.contents.bytes_contents]
            tensor.contents.bytes_contents[:] = coded
            tensor.parameters["content_type"].string_param = "base64"

    assert outputs_of(predictor.infer({"inputs": inputs})) == plain
    assert predictor.call("ModelInfer", request).outputs
    texts[0]["data"][0] = "no base64!"
    answer = predictor.infer({"inputs": inputs})
    assert (answer.status, "content_type is base64" in answer.json["error"]) == (400, True)


@pytest.mark.parametrize(
    ("kind", "status"), [("np", 200), ("pd", 400), ("datetime", 400), (7, 400), ("base64", 400)]
)
def test_content_types_are_taken_or_refused_by_name(
    predictor: Predictor, kind: Any, status: int
) -> None:
    """Of a tensor, and of the request for all of them; base64 is none for numbers."""
    tensors = predictor.golden_inputs()
    if kind == "base64" and any(tensor["datatype"] == "BYTES" for tensor in tensors):
        pytest.skip("takes bytes")
    tensors[0]["parameters"] = {"content_type": kind}
    answers = (predictor.infer({"inputs": tensors}), ask(predictor, content_type=kind))
    for answer in answers:
        assert answer.status == status, answer.body
        assert status == 200 or f"content_type {kind!r} is not offered" in answer.json["error"]
