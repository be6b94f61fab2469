"""Generated requests: broken ones are refused without a crash, valid ones agree to the last bit."""

import http.client
import json
import random
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.runtime.lean_kserve import pb
from predictors.runtime.v2.datatypes import NUMPY_OF, from_wire, to_wire
from predictors.runtime.v2.errors import InvalidRequest
from tests.support.predictor import JSON, Predictor, model_class, served_models

SECONDS = 30  # for one model's bodies: a slow model is sent fewer, and never fewer than FEWEST
FEWEST = 500
BODIES_A_SEED = 100  # hypothesis draws a seed; drawing each body by itself costs ten times as much
BODIES = 20_000 // len(served_models()) // BODIES_A_SEED * BODIES_A_SEED
REQUESTS = 1_000
GROWTH_BYTES = 48 << 20


def anything(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON value, small."""
    kind = rng.randrange(9 if depth < 3 else 7)
    if kind >= 7:
        inner = [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
        return inner if kind == 7 else {str(index): value for index, value in enumerate(inner)}
    return (
        None,
        rng.random() < 0.5,
        rng.randint(-5, 5),
        rng.randint(-(2**70), 2**70),
        rng.uniform(-1, 1) * 10 ** rng.randint(-320, 308),
        rng.choice(["", "FP32", "NaN", "1.5", "\u0000", "größe", "x" * 50]),
        rng.choice([-0.0, 1e308, 2**63, 2**64, -1, 0]),
    )[kind]


def almost_valid(rng: random.Random, inputs: list[dict[str, Any]]) -> bytes:
    """The golden request with up to three fields replaced by anything, sometimes cut short."""
    document: dict[str, Any] = {"id": "f", "inputs": json.loads(json.dumps(inputs))}
    for _ in range(rng.randrange(4)):
        listed = document.get("inputs")
        tensor = rng.choice(listed) if isinstance(listed, list) and listed else None
        target = rng.choice(["document", "tensor", "element", "shape"])
        if target == "document" or not isinstance(tensor, dict):
            field = rng.choice(["id", "inputs", "outputs", "parameters", "extra"])
            document[field] = anything(rng)
        elif target == "tensor":
            field = rng.choice(["name", "datatype", "shape", "data", "parameters"])
            tensor[field] = anything(rng)
        else:
            values = tensor.get("data" if target == "element" else "shape")
            if isinstance(values, list) and values:
                values[rng.randrange(len(values))] = anything(rng)
    body = json.dumps(document).encode()
    if rng.randrange(10) == 0:
        return body[: rng.randint(0, len(body))] + rng.randbytes(rng.randrange(4))
    return body


def first_row(tensor: dict[str, Any]) -> dict[str, Any]:
    """A batch of one: small bodies are sent fast."""
    rows, *inner = tensor["shape"]
    width = len(tensor["data"]) // rows
    return tensor | {"shape": [1, *inner], "data": tensor["data"][:width]}


def resident_bytes(predictor: Predictor) -> int:
    """The predictor's memory now."""
    pages = Path(f"/proc/{predictor.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


@pytest.mark.timeout(300)
def test_generated_bodies_never_crash_hang_or_grow_the_server(
    predictor: Predictor, request: pytest.FixtureRequest
) -> None:
    """Up to 20,000 bodies over all models: a 200 or 4xx with V2's shape; memory stays."""
    inputs = [first_row(tensor) for tensor in predictor.golden_inputs()]
    connection = http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=20)
    request.addfinalizer(connection.close)
    sent = 0
    deadline = time.monotonic() + SECONDS

    @settings(max_examples=BODIES // BODIES_A_SEED, deadline=None, database=None)
    @given(st.integers(0, 2**32))
    def send(seed: int) -> None:
        nonlocal sent
        rng = random.Random(seed)
        if sent >= FEWEST and time.monotonic() > deadline:
            return
        for _ in range(BODIES_A_SEED):
            body, headers = almost_valid(rng, inputs), JSON
            if rng.randrange(4) == 0:
                headers = {"Inference-Header-Content-Length": str(rng.randrange(len(body) + 9))}
            sent += 1
            connection.request("POST", predictor.infer_path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                assert json.loads(text)["model_version"] == predictor.manifest.version
            else:
                assert 400 <= answer.status < 500, (answer.status, text, body)
                assert json.loads(text)["error"]

    for _ in range(200):  # lazy allocations come first
        predictor.infer({"inputs": inputs})
    before = resident_bytes(predictor)
    send()

    assert sent >= (FEWEST if time.monotonic() > deadline else BODIES)
    assert resident_bytes(predictor) - before < GROWTH_BYTES


def random_inputs(predictor: Predictor, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One to three rows of what the golden sample gives: its own rows, or random ones like them."""
    rows = int(rng.integers(1, 4))
    golden = rng.random() < 0.5
    arrays = {}
    for tensor in predictor.golden_inputs():
        dtype = NUMPY_OF[tensor["datatype"]]
        array = np.array(tensor["data"], dtype).reshape(tensor["shape"])
        array = array[rng.integers(0, len(array), rows)]
        if dtype.kind == "O":
            words = (one if golden else f"wörd {rng.integers(99)} {one}" for one in array.ravel())
            array = np.array([word.encode() for word in words], object).reshape(array.shape)
        elif not golden and dtype.kind == "f":
            array = (rng.standard_normal(array.shape) * 4).astype(dtype)
        elif not golden:
            array = rng.integers(0, 2, array.shape).astype(dtype)
        arrays[tensor["name"]] = array
    return arrays


@pytest.mark.timeout(300)
def test_json_binary_grpc_and_infer_itself_agree_to_the_last_bit(
    predictor: Predictor, request: pytest.FixtureRequest
) -> None:
    """1,000 random requests over all models, each answered four ways, or refused four ways."""
    model = model_class(predictor.model)(predictor.model, predictor.folder, predictor.manifest)
    model.load()
    http_connection = http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=20)
    request.addfinalizer(http_connection.close)
    rng = np.random.default_rng(7)
    datatypes = {t["name"]: t["datatype"] for t in predictor.golden_inputs()}
    always = [spec for spec in model.outputs if spec.only_with in (None, *datatypes)]
    answered = {spec.name: spec.datatype for spec in always}
    answers = 0
    with predictor.channel() as channel:
        stub = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        for _ in range(-(-REQUESTS // len(served_models()))):
            arrays = random_inputs(predictor, rng)
            try:
                outputs = model.infer(arrays)
            except InvalidRequest:  # what the signature cannot rule out
                expected = None
            else:
                expected = {n: to_wire(outputs[n], d) for n, d in answered.items()}
                answers += 1

            assert over_json(http_connection, predictor, arrays, datatypes) == expected
            assert over_binary(http_connection, predictor, arrays, datatypes) == expected
            assert over_grpc(stub, predictor, arrays, datatypes) == expected

    assert answers > 10


def over_json(
    connection: Any, predictor: Predictor, arrays: dict[str, np.ndarray], datatypes: dict[str, str]
) -> dict[str, bytes] | None:
    """The outputs' bits by way of JSON; None where the request is refused."""
    inputs = [
        {
            "name": name,
            "datatype": datatypes[name],
            "shape": list(array.shape),
            "data": [v.decode() if isinstance(v, bytes) else v for v in array.ravel().tolist()],
        }
        for name, array in arrays.items()
    ]
    connection.request("POST", predictor.infer_path, json.dumps({"inputs": inputs}), JSON)
    answer = connection.getresponse()
    document = json.loads(answer.read())
    if answer.status == 400:
        return None
    bits = {}
    for tensor in document["outputs"]:
        array = np.array(tensor["data"], NUMPY_OF[tensor["datatype"]])
        bits[tensor["name"]] = to_wire(array, tensor["datatype"])
    return bits


def over_binary(
    connection: Any, predictor: Predictor, arrays: dict[str, np.ndarray], datatypes: dict[str, str]
) -> dict[str, bytes] | None:
    """The outputs' bits by way of binary tensors, behind a JSON part of any alignment."""
    raw = {name: to_wire(array, datatypes[name]) for name, array in arrays.items()}
    inputs = [
        {
            "name": name,
            "datatype": datatypes[name],
            "shape": list(array.shape),
            "parameters": {"binary_data_size": len(raw[name])},
        }
        for name, array in arrays.items()
    ]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    fields = {"Inference-Header-Content-Length": str(len(header))}
    body = header + b"".join(raw.values())
    connection.request("POST", predictor.infer_path, body, fields)
    answer = connection.getresponse()
    whole = answer.read()
    if answer.status == 400:
        return None
    length = int(answer.headers["Inference-Header-Content-Length"])
    bits, rest = {}, whole[length:]
    for tensor in json.loads(whole[:length])["outputs"]:
        size = tensor["parameters"]["binary_data_size"]
        bits[tensor["name"]], rest = rest[:size], rest[size:]
    return bits


def over_grpc(
    stub: Any, predictor: Predictor, arrays: dict[str, np.ndarray], datatypes: dict[str, str]
) -> dict[str, bytes] | None:
    """The outputs' bits by way of gRPC."""
    message = pb.ModelInferRequest(model_name=predictor.model)
    for name, array in arrays.items():
        message.inputs.add(name=name, datatype=datatypes[name], shape=array.shape)
        message.raw_input_contents.append(to_wire(array, datatypes[name]))
    try:
        answer = stub(message, timeout=20)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            return None
        raise
    names = [output.name for output in answer.outputs]
    return dict(zip(names, answer.raw_output_contents, strict=True))


def test_binary_form_of_every_datatype_is_its_own_inverse() -> None:
    """to_wire and from_wire undo each other for all datatypes, BF16 within its precision."""
    rng = np.random.default_rng(1)
    for datatype, dtype in NUMPY_OF.items():
        if datatype == "BYTES":
            array = np.array([b"", b"\xff\x00", "größe".encode()], object)
        elif datatype == "BF16":
            array = (rng.integers(0, 0x7F00, 64).astype("<u4") << 16).view("<f4")
        elif dtype.kind == "f":
            array = rng.standard_normal(64).astype(dtype)
        else:
            array = rng.integers(0, 2 if dtype.kind == "b" else 100, 64).astype(dtype)

        again = from_wire(to_wire(array, datatype), datatype, array.size, "x")
        assert again.tolist() == array.tolist(), datatype
