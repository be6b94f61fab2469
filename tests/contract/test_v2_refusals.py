"""Broken V2 requests, for every model: a 4xx V2 error that names what is wrong, never a 500."""

import gzip
import json
import random
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from predictors.runtime.v2.datatypes import NUMPY_OF, to_wire
from tests.support.predictor import JSON, Predictor

Tensor = dict[str, Any]


def changed(**fields: Any) -> Callable[[Tensor], None]:
    """A change that sets fields of a tensor."""
    return lambda tensor: tensor.update(fields)


def dropped(name: str) -> Callable[[Tensor], None]:
    """A change that removes a field of a tensor."""

    def drop(tensor: Tensor) -> None:
        del tensor[name]

    return drop


def first_element(value: Any) -> Callable[[Tensor], None]:
    """A change that replaces the first element."""

    def replace(tensor: Tensor) -> None:
        tensor["data"][0] = value

    return replace


def first_size(value: Any) -> Callable[[Tensor], None]:
    """A change that replaces the number of rows and leaves the rank as it is."""

    def replace(tensor: Tensor) -> None:
        tensor["shape"][0] = value

    return replace


TENSOR_CASES: dict[str, Callable[[Tensor], None]] = {
    "unknown name": changed(name="no such"),
    "name is a number": changed(name=7),
    "no name": dropped("name"),
    "other datatype": changed(datatype="UINT16"),
    "no such datatype": changed(datatype="INT322"),
    "datatype is a list": changed(datatype=["FP32"]),
    "no datatype": dropped("datatype"),
    "no shape": dropped("shape"),
    "shape is a number": changed(shape=4),
    "shape holds a string": first_size("1"),
    "shape holds a boolean": first_size(True),
    "shape holds a fraction": first_size(1.0),
    "shape is negative": first_size(-1),
    "shape overflows": first_size(2**62),
    "shape is huge": first_size(10**30),
    "rank too high": changed(shape=[1, 1, 1, 1, 1, 1, 1]),
    "rank zero": changed(shape=[]),
    "no data": dropped("data"),
    "data is null": changed(data=None),
    "data is a string": changed(data="1234"),
    "data is an object": changed(data={}),
    "data is empty": changed(data=[]),
    "one element too many": lambda tensor: tensor["data"].append(tensor["data"][0]),
    "ragged": changed(data=[[1, 2], [3]]),
    "mixed nesting": changed(data=[[1], 2, [3], 4]),
    "null element": first_element(None),
    "object element": first_element({}),
    "boolean element": first_element(True),
    "binary size without its header": changed(parameters={"binary_data_size": 4}),
    "parameters is a list": changed(parameters=[]),
}


@pytest.mark.parametrize("case", TENSOR_CASES)
def test_broken_tensor_is_a_400(predictor: Predictor, case: str) -> None:
    """One broken field of one tensor, whichever of the inputs it is."""
    for index in range(len(predictor.golden_inputs())):
        inputs = predictor.golden_inputs()
        TENSOR_CASES[case](inputs[index])
        answer = predictor.infer({"inputs": inputs})

        assert answer.status == 400, answer.body
        assert answer.json["error"]


@pytest.mark.parametrize("value", ["1.5", 1e39, -1e300, 10**400, [], "NaN"])
def test_number_that_the_datatype_cannot_hold_is_a_400(predictor: Predictor, value: Any) -> None:
    """Strings for numbers and numbers beyond FP32 are refused, and the tensor is named."""
    names = [one["name"] for one in predictor.golden_inputs() if one["datatype"] == "FP32"]
    if not names:
        pytest.skip("for FP32 inputs")
    for name in names:
        inputs = predictor.golden_inputs()
        (tensor,) = (one for one in inputs if one["name"] == name)
        tensor["data"][0] = value
        answer = predictor.infer({"inputs": inputs})

        assert answer.status == 400, answer.body
        if value != 10**400:  # past any double, which is for the JSON reader to say
            assert name in answer.json["error"]


@pytest.mark.parametrize("element", [b"\xff", b"\xed\xa0\x80", b"\x00" * 70_000])
def test_odd_bytes_are_answered_or_named(predictor: Predictor, element: bytes) -> None:
    """Bytes that are no text, and many, in a BYTES tensor: an answer, or a 400 that names it."""
    inputs = predictor.golden_inputs()
    names = [tensor["name"] for tensor in inputs if tensor["datatype"] == "BYTES"]
    if not names:
        pytest.skip("for BYTES inputs")
    for name in names:
        raw = []
        inputs = predictor.golden_inputs()
        for tensor in inputs:
            array = np.array(tensor.pop("data"), NUMPY_OF[tensor["datatype"]]).ravel()
            if tensor["name"] == name:
                array[0] = element
            raw.append(to_wire(array, tensor["datatype"]))
            tensor["parameters"] = {"binary_data_size": len(raw[-1])}
        header = json.dumps({"inputs": inputs}).encode()
        fields = {"Inference-Header-Content-Length": str(len(header))}
        answer = predictor.infer(header + b"".join(raw), **fields)

        assert answer.status in {200, 400}, answer.body
        assert answer.status == 200 or name in answer.json["error"]


DOCUMENT_CASES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda d: [d],
    "a number": lambda d: 7,
    "null": lambda d: None,
    "no inputs": lambda d: {},
    "inputs is an object": lambda d: {"inputs": d["inputs"][0]},
    "inputs is empty": lambda d: {"inputs": []},
    "input is a list": lambda d: {"inputs": [d["inputs"]]},
    "V1": lambda d: {"instances": [[1, 2, 3, 4]]},
    "input twice": lambda d: {"inputs": d["inputs"] * 2},
    "id is a number": lambda d: d | {"id": 7},
    "id is a list": lambda d: d | {"id": ["a"]},
    "unknown output": lambda d: d | {"outputs": [{"name": "no such"}]},
    "outputs is an object": lambda d: d | {"outputs": {"name": "x"}},
    "output is a string": lambda d: d | {"outputs": ["x"]},
    "parameters is a list": lambda d: d | {"parameters": [1]},
    "binary_data_output is a string": lambda d: d | {"parameters": {"binary_data_output": "yes"}},
}


@pytest.mark.parametrize("case", DOCUMENT_CASES)
def test_broken_document_is_a_400(predictor: Predictor, case: str) -> None:
    """One broken field of the request itself."""
    document = DOCUMENT_CASES[case]({"inputs": predictor.golden_inputs()})
    answer = predictor.infer(document)

    assert answer.status == 400, answer.body
    assert answer.json["error"]


def test_output_asked_for_twice_is_a_400(predictor: Predictor) -> None:
    """Outputs are a set."""
    name = predictor.manifest.golden_sample["outputs"][0]["name"]
    answer = predictor.infer({"inputs": predictor.golden_inputs(), "outputs": [{"name": name}] * 2})

    assert answer.status == 400
    assert name in answer.json["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"inputs": [}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"inputs": []} trailing',
        b'{"inputs": [{"data": [NaN]}]}',
        b'{"inputs": [{"data": [Infinity]}]}',
        b'{"id": "\\ud800", "inputs": []}',
        b"[" * 30_000,  # more of them is a 413, before they are parsed
        b'{"inputs":' + b"[" * 900 + b"]" * 900 + b"}",
    ],
    ids=range(11),
)
def test_what_is_not_json_is_a_400(predictor: Predictor, body: bytes) -> None:
    """Malformed, truncated, trailing, non-UTF-8, NaN literals and deep nesting."""
    answer = predictor.infer(body)

    assert answer.status == 400
    assert answer.json["error"]


def test_deeply_nested_data_is_refused(predictor: Predictor) -> None:
    """900 levels of lists as a tensor's data are a 400 and no endless walk."""
    inputs = predictor.golden_inputs()
    inputs[0]["data"] = "@"
    nested = "[" * 900 + "1" + "]" * 900
    answer = predictor.infer(json.dumps({"inputs": inputs}).replace('"@"', nested).encode())

    assert answer.status == 400


def test_long_string_among_many_numbers_is_refused_in_bounded_memory(predictor: Predictor) -> None:
    """A reader that sized an array for the longest element would ask for terabytes."""
    inputs = predictor.golden_inputs()
    inputs[0]["data"] = ["x" * 2_000_000] + [1] * 500_000
    answer = predictor.infer({"inputs": inputs})

    assert answer.status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Encoding": "br"}, 415),
        ({"Content-Encoding": "gzip"}, 400),
        ({"Inference-Header-Content-Length": "x"}, 400),
        ({"Inference-Header-Content-Length": "-1"}, 400),
        ({"Inference-Header-Content-Length": "99999999"}, 400),
        ({"Inference-Header-Content-Length": "9" * 40}, 400),
        ({"Inference-Header-Content-Length": "10"}, 400),
        ({"x-request-timeout-ms": "soon"}, 400),
    ],
    ids=range(11),
)
def test_headers_are_held_to_their_meaning(
    predictor: Predictor, headers: dict[str, str], status: int
) -> None:
    """Content types, encodings and the binary header's length."""
    answer = predictor.infer({"inputs": predictor.golden_inputs()}, **headers)

    assert answer.status == status, answer.body
    assert status == 200 or answer.json["error"]


def test_endless_body_is_refused_before_it_ends(predictor: Predictor) -> None:
    """A chunked body that has no end is a 413 once it is over the limit: memory is bounded."""
    head = f"POST {predictor.infer_path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    with socket.create_connection(("127.0.0.1", predictor.http_port), timeout=10) as connection:
        connection.sendall(head.encode() + chunk * 9)

        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize("way", ["length", "chunked", "gzip"])
def test_body_over_the_limit_is_a_413(predictor: Predictor, way: str) -> None:
    """By its declared length, by its chunks, or once decompressed: 413 and the server lives on."""
    size = 9 << 20
    if way == "length":
        answer = predictor.infer(b" " * size)
    elif way == "chunked":
        chunks = (b" " * (1 << 20) for _ in range(9))
        answer = predictor.request("POST", predictor.infer_path, chunks, JSON)
    else:
        packed = gzip.compress(random.Random(0).randbytes(size // 2).hex().encode() + b" " * 64)
        answer = predictor.infer(packed, **{"Content-Encoding": "gzip"})

    assert answer.status == 413
    assert "PREDICTOR_MAX_BODY_BYTES" in answer.json["error"]
    assert predictor.request("GET", "/v2/health/live").status == 200
