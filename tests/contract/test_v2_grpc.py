"""V2 over gRPC, held for every model: raw and typed contents, the same numbers, the right codes."""

import ast
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.datatypes import NUMPY_OF, from_wire, to_wire
from predictors.runtime.v2.protobuf import _CONTENTS as CONTENTS
from tests.support.predictor import Predictor

Code = grpc.StatusCode


def golden_request(predictor: Predictor, *, raw: bool = True, **fields: Any) -> Any:
    """The golden sample as a ModelInferRequest."""
    message = pb.ModelInferRequest(model_name=predictor.model, **fields)
    for tensor in predictor.golden_inputs():
        datatype = tensor["datatype"]
        array = np.array(tensor["data"], NUMPY_OF[datatype]).ravel()
        added = message.inputs.add(name=tensor["name"], datatype=datatype, shape=tensor["shape"])
        if raw:
            message.raw_input_contents.append(to_wire(array, datatype))
        else:
            values = [v.encode() if isinstance(v, str) else v for v in array.tolist()]
            getattr(added.contents, CONTENTS[datatype]).extend(values)
    return message


def as_bits(answer: Any) -> dict[str, bytes]:
    """Each output's raw bytes by name."""
    names = [output.name for output in answer.outputs]
    return dict(zip(names, answer.raw_output_contents, strict=True))


def code_of(predictor: Predictor, message: Any, method: str = "ModelInfer") -> tuple[Code, str]:
    """The status that a refused call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        predictor.call(method, message)
    error: Any = caught.value
    return error.code(), error.details()


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_grpc_gives_the_bits_that_rest_gives(predictor: Predictor, raw: bool) -> None:
    """Raw and typed contents answer as REST does, to the last bit; raw contents come back."""
    answer = predictor.call("ModelInfer", golden_request(predictor, raw=raw, id="g-1"))
    rest = predictor.infer({"inputs": predictor.golden_inputs()}).json["outputs"]

    assert (answer.id, answer.model_name) == ("g-1", predictor.model)
    assert answer.model_version == predictor.manifest.version
    bits = as_bits(answer)
    for tensor, output in zip(rest, answer.outputs, strict=True):
        assert (output.name, output.datatype) == (tensor["name"], tensor["datatype"])
        assert list(output.shape) == tensor["shape"]
        count = len(tensor["data"])
        array = from_wire(bits[output.name], output.datatype, count, output.name)
        if output.datatype == "BYTES":
            assert [one.decode() for one in array.tolist()] == tensor["data"]
        else:
            assert array.tobytes() == np.array(tensor["data"], array.dtype).tobytes()


def test_grpc_outputs_are_selected_and_ordered(predictor: Predictor) -> None:
    """`outputs` chooses which come, in which order."""
    names = [tensor["name"] for tensor in predictor.manifest.golden_sample["outputs"]][::-1][:2]
    message = golden_request(predictor)
    for name in names:
        message.outputs.add(name=name)

    assert list(as_bits(predictor.call("ModelInfer", message))) == names


def test_grpc_makes_up_a_missing_id(predictor: Predictor) -> None:
    """An answer has an id even where the request had none."""
    assert predictor.call("ModelInfer", golden_request(predictor)).id


def test_grpc_pages_equal_rest_pages(predictor: Predictor) -> None:
    """Health and metadata are the same over both."""
    rest = predictor.request("GET", f"/v2/models/{predictor.model}").json
    message = pb.ModelMetadataRequest(name=predictor.model)
    answer = predictor.call("ModelMetadata", message)

    assert predictor.call("ServerLive", pb.ServerLiveRequest()).live
    assert predictor.call("ServerReady", pb.ServerReadyRequest()).ready
    assert predictor.call("ModelReady", pb.ModelReadyRequest(name=predictor.model)).ready
    assert predictor.call("ServerMetadata", pb.ServerMetadataRequest()).name == "serin"
    assert (answer.name, list(answer.versions)) == (rest["name"], rest["versions"])
    for side in ("inputs", "outputs"):
        described = [(t.name, t.datatype, list(t.shape)) for t in getattr(answer, side)]
        assert described == [(t["name"], t["datatype"], t["shape"]) for t in rest[side]]


def both_contents(message: Any) -> None:
    """Raw and typed contents for the same tensor."""
    message.inputs[0].contents.fp32_contents.append(1)


CASES: dict[str, tuple[Callable[[Any], Any], Code]] = {
    "unknown model": (lambda m: setattr(m, "model_name", "another"), Code.NOT_FOUND),
    "other version": (lambda m: setattr(m, "model_version", "0"), Code.NOT_FOUND),
    "no inputs": (lambda m: m.ClearField("inputs"), Code.INVALID_ARGUMENT),
    "no contents": (lambda m: m.ClearField("raw_input_contents"), Code.INVALID_ARGUMENT),
    "short raw": (
        lambda m: m.raw_input_contents.__setitem__(0, m.raw_input_contents[0][:-1]),
        Code.INVALID_ARGUMENT,
    ),
    "one raw too many": (lambda m: m.raw_input_contents.append(b""), Code.INVALID_ARGUMENT),
    "raw and typed": (both_contents, Code.INVALID_ARGUMENT),
    "other datatype": (lambda m: setattr(m.inputs[0], "datatype", "INT322"), Code.INVALID_ARGUMENT),
    "unknown name": (lambda m: setattr(m.inputs[0], "name", "no such"), Code.INVALID_ARGUMENT),
    "negative size": (lambda m: m.inputs[0].shape.__setitem__(0, -1), Code.INVALID_ARGUMENT),
    "huge size": (lambda m: m.inputs[0].shape.__setitem__(0, 2**62), Code.INVALID_ARGUMENT),
    "other rank": (lambda m: m.inputs[0].shape.extend([1] * 5), Code.INVALID_ARGUMENT),
    "input twice": (lambda m: m.inputs.append(m.inputs[0]), Code.INVALID_ARGUMENT),
    "unknown output": (lambda m: m.outputs.add(name="no such"), Code.INVALID_ARGUMENT),
}


@pytest.mark.parametrize("case", CASES)
def test_broken_grpc_request_has_its_code_and_a_message(predictor: Predictor, case: str) -> None:
    """A client's fault is INVALID_ARGUMENT or NOT_FOUND with a message, never INTERNAL."""
    change, expected = CASES[case]
    message = golden_request(predictor)
    change(message)
    code, details = code_of(predictor, message)

    assert code is expected
    assert details


def test_metadata_of_an_unknown_model_is_not_found(predictor: Predictor) -> None:
    """ModelMetadata and ModelReady of another name."""
    assert code_of(predictor, pb.ModelMetadataRequest(name="x"), "ModelMetadata")[0] is (
        Code.NOT_FOUND
    )
    assert code_of(predictor, pb.ModelReadyRequest(name="x"), "ModelReady")[0] is Code.NOT_FOUND


def test_repository_calls_are_unimplemented(predictor: Predictor) -> None:
    """Loading and unloading are deployments' business, not clients'."""
    message = pb.RepositoryModelUnloadRequest(model_name=predictor.model)

    assert code_of(predictor, message, "RepositoryModelUnload")[0] is Code.UNIMPLEMENTED
    assert predictor.call("ServerReady", pb.ServerReadyRequest()).ready


def test_message_over_the_limit_is_refused(predictor: Predictor) -> None:
    """A message past kserve's 8 MiB is RESOURCE_EXHAUSTED, by the C core."""
    message = golden_request(predictor)
    message.raw_input_contents[0] = bytes(9 << 20)

    assert code_of(predictor, message)[0] is Code.RESOURCE_EXHAUSTED


def test_tritons_config_is_the_one_of_rest(predictor: Predictor) -> None:
    """Tritonclient's own messages read it; in a process of its own, as it shares names."""
    script = (
        "import sys, tritonclient.grpc as t; c = t.InferenceServerClient(sys.argv[1]);"
        "print(c.get_model_config(sys.argv[2], as_json=True).__repr__())"
    )
    address = f"127.0.0.1:{predictor.grpc_port}"
    done = subprocess.run(
        [sys.executable, "-c", script, address, predictor.model],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    config = ast.literal_eval(done.stdout)["config"]
    rest = predictor.request("GET", f"/v2/models/{predictor.model}/config").json

    assert (config["name"], config["backend"]) == (predictor.model, rest["backend"])
    assert config["max_batch_size"] == rest["max_batch_size"]
    for side in ("input", "output"):
        for told, tensor in zip(config[side], rest[side], strict=True):
            assert (told["name"], told["data_type"]) == (tensor["name"], tensor["data_type"])
            assert [int(size) for size in told.get("dims", [])] == tensor["dims"]
            assert told.get("optional", False) == tensor.get("optional", False)
