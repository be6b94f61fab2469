"""V2 over REST, held for every model: valid requests in each form, then everything refused."""

import gzip
import json
import socket
import zlib
from typing import Any

import numpy as np
import pytest
import tritonclient.http

from predictors.runtime.v2.datatypes import from_wire, to_wire
from tests.support.predictor import JSON, Answer, Predictor, metric


def outputs_of(answer: Answer) -> dict[str, dict[str, Any]]:
    """The output tensors by name, after the marks that every answer carries."""
    assert answer.status == 200, answer.body
    document = answer.json
    assert document["id"]
    return {tensor["name"]: tensor for tensor in document["outputs"]}


def binary_body(predictor: Predictor, **parameters: Any) -> tuple[bytes, dict[str, str]]:
    """The golden sample with every input as raw bytes."""
    inputs, raw = predictor.golden_inputs(), []
    for tensor in inputs:
        array = np.array(tensor.pop("data"), object if tensor["datatype"] == "BYTES" else None)
        raw.append(to_wire(array, tensor["datatype"]))
        tensor["parameters"] = {"binary_data_size": len(raw[-1])}
    header = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header))}
    return header + b"".join(raw), headers


def split(answer: Answer) -> dict[str, np.ndarray]:
    """Every output of a binary answer as a flat array."""
    assert answer.status == 200, answer.body
    length = int(answer.headers["inference-header-content-length"])
    raw = answer.body[length:]
    arrays = {}
    for tensor in json.loads(answer.body[:length])["outputs"]:
        size = tensor["parameters"]["binary_data_size"]
        count = int(np.prod(tensor["shape"]))
        arrays[tensor["name"]] = from_wire(raw[:size], tensor["datatype"], count, tensor["name"])
        raw = raw[size:]
    assert not raw
    return arrays


def test_golden_sample_is_answered_as_published(predictor: Predictor) -> None:
    """The answer is the one in the manifest, from the version that the manifest makes."""
    answer = predictor.infer({"id": "größe-1", "inputs": predictor.golden_inputs()})

    assert answer.headers["content-type"] == "application/json"
    assert (answer.json["id"], answer.json["model_name"]) == ("größe-1", predictor.model)
    assert answer.json["model_version"] == predictor.manifest.version
    for expected in predictor.manifest.golden_sample["outputs"]:
        got = outputs_of(answer)[expected["name"]]
        assert (got["datatype"], got["shape"]) == (expected["datatype"], expected["shape"])
        if expected["datatype"].startswith("FP"):
            assert np.allclose(got["data"], expected["data"], rtol=1e-3, atol=1e-5)
        else:
            assert got["data"] == expected["data"]


def test_nested_data_is_the_same_as_flat(predictor: Predictor) -> None:
    """`data` nested as its shape gives the same outputs."""
    nested = predictor.golden_inputs()
    for tensor in nested:
        tensor["data"] = np.array(tensor["data"], object).reshape(tensor["shape"]).tolist()

    flat_outputs = outputs_of(predictor.infer({"inputs": predictor.golden_inputs()}))
    assert outputs_of(predictor.infer({"inputs": nested})) == flat_outputs


def test_binary_tensors_in_and_out_carry_the_same_bits(predictor: Predictor) -> None:
    """Raw in and raw out equal JSON in and JSON out, to the last bit."""
    plain = outputs_of(predictor.infer({"inputs": predictor.golden_inputs()}))
    body, headers = binary_body(predictor, binary_data_output=True)
    answer = predictor.request("POST", predictor.infer_path, body, headers)

    assert answer.headers["content-type"] == "application/octet-stream"
    for name, array in split(answer).items():
        expected = plain[name]
        if expected["datatype"] == "BYTES":
            assert [one.decode() for one in array.tolist()] == expected["data"]
        else:
            assert array.tobytes() == np.array(expected["data"], array.dtype).tobytes()


def test_outputs_are_given_in_the_order_and_form_asked_for(predictor: Predictor) -> None:
    """`outputs` selects, orders and chooses binary for each."""
    names = [tensor["name"] for tensor in predictor.manifest.golden_sample["outputs"]][::-1]
    asked = [{"name": names[0], "parameters": {"binary_data": True}}]
    asked += [{"name": name} for name in names[1:2]]
    answer = predictor.infer({"inputs": predictor.golden_inputs(), "outputs": asked})

    length = int(answer.headers["inference-header-content-length"])
    tensors = json.loads(answer.body[:length])["outputs"]
    assert [tensor["name"] for tensor in tensors] == names[:2]
    assert tensors[0]["parameters"]["binary_data_size"] == len(answer.body) - length
    assert all("data" in tensor for tensor in tensors[1:])


def test_missing_id_is_made_up(predictor: Predictor) -> None:
    """`id` is optional in V2; answers have one all the same, each another."""
    first, second = (predictor.infer({"inputs": predictor.golden_inputs()}) for _ in range(2))

    assert first.json["id"] != second.json["id"]


def test_the_proxys_ids_come_back_and_are_logged(predictor: Predictor) -> None:
    """x-request-id and traceparent are in the answer and in the request's log line."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ids = {"x-request-id": "from-envoy-7", "traceparent": trace}
    answer = predictor.infer({"id": "logged-1", "inputs": predictor.golden_inputs()}, **ids)

    assert {name: answer.headers[name] for name in ids} == ids


def test_version_in_the_path_must_be_the_one_served(predictor: Predictor) -> None:
    """/versions/<v> works for the served version and is a 404 for any other."""
    base = f"/v2/models/{predictor.model}/versions"
    body = json.dumps({"inputs": predictor.golden_inputs()}).encode()
    served = f"{base}/{predictor.manifest.version}"

    assert predictor.request("POST", f"{served}/infer", body, JSON).status == 200
    assert predictor.request("GET", served).json["versions"] == [predictor.manifest.version]
    assert predictor.request("GET", f"{served}/ready").status == 200
    assert predictor.request("POST", f"{base}/000000000000/infer", body, JSON).status == 404
    assert predictor.request("GET", f"{base}/000000000000/ready").status == 404


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity", "chunked"])
def test_encoded_bodies_are_understood(predictor: Predictor, encoding: str) -> None:
    """Compressed, identity and chunked bodies give the plain body's outputs."""
    body = json.dumps({"inputs": predictor.golden_inputs()}).encode()
    plain = outputs_of(predictor.infer(body))
    if encoding == "chunked":
        middle = len(body) // 2
        answer = predictor.request(
            "POST", predictor.infer_path, iter([body[:middle], body[middle:]]), JSON
        )
    else:
        packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body), "identity": body}
        answer = predictor.infer(packed[encoding], **{"Content-Encoding": encoding})

    assert outputs_of(answer) == plain


def test_batch_of_no_rows_is_answered_with_no_rows(predictor: Predictor) -> None:
    """A zero-row batch is valid: every output has zero rows."""
    inputs = predictor.golden_inputs()
    for tensor in inputs:
        tensor["shape"][0], tensor["data"] = 0, []

    outputs = outputs_of(predictor.infer({"inputs": inputs}))
    assert all(tensor["shape"][0] == 0 and tensor["data"] == [] for tensor in outputs.values())


def test_more_rows_than_a_batch_are_answered_row_by_row(predictor: Predictor) -> None:
    """150 rows, more than one batch, give each row what it gives alone."""
    inputs = predictor.golden_inputs()
    rows = inputs[0]["shape"][0]
    repeat = -(-150 // rows)
    single = outputs_of(predictor.infer({"inputs": inputs}))
    for tensor in inputs:
        tensor["data"] = tensor["data"] * repeat
        tensor["shape"][0] = rows * repeat

    for name, tensor in outputs_of(predictor.infer({"inputs": inputs})).items():
        expected = single[name]["data"] * repeat
        if tensor["datatype"].startswith("FP"):
            assert np.allclose(tensor["data"], expected, rtol=1e-5, atol=1e-6)
        else:
            assert tensor["data"] == expected


def test_pipelined_requests_are_answered_in_order(predictor: Predictor) -> None:
    """Requests sent without waiting, short, long, compressed and a page, come back in order."""
    inputs = predictor.golden_inputs()
    short = json.dumps({"inputs": inputs}).encode()
    for tensor in inputs:  # more rows than are computed where they arrive
        repeat = -(-150 // tensor["shape"][0])
        tensor["data"] = tensor["data"] * repeat
        tensor["shape"][0] *= repeat
    long = json.dumps({"inputs": inputs}).encode()
    wire = b""
    for number in range(7):
        own = b'{"id":"p%d",' % number + (short if number % 3 else long)[1:]
        extra = b""
        if number % 3 == 2:  # takes the other way through the server
            own, extra = gzip.compress(own), b"Content-Encoding: gzip\r\n"
        wire += (
            (
                f"POST {predictor.infer_path} HTTP/1.1\r\nHost: x\r\n"
                "Content-Type: application/json\r\n"
                f"Content-Length: {len(own)}\r\n"
            ).encode()
            + extra
            + b"\r\n"
            + own
        )
    wire += b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", predictor.http_port), timeout=20) as connection:
        connection.sendall(wire)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk

    ids = [received.find(b'"id":"p%d"' % number) for number in range(7)]
    assert received.count(b"HTTP/1.1 200 OK") == 8
    assert -1 not in ids
    assert ids == sorted(ids)
    assert received.endswith(b'{"live":true}')


def test_pages_tell_what_is_served(predictor: Predictor) -> None:
    """Health, server and model metadata have V2's fields, with true shapes and datatypes."""
    model = predictor.request("GET", f"/v2/models/{predictor.model}").json

    assert predictor.request("GET", "/v2/health/live").json == {"live": True}
    assert predictor.request("GET", "/v2/health/ready").json == {"ready": True}
    assert "binary_tensor_data" in predictor.request("GET", "/v2").json["extensions"]
    assert predictor.request("GET", "/v2/models").json == {"models": [predictor.model]}
    assert (model["name"], model["versions"]) == (predictor.model, [predictor.manifest.version])
    signature = predictor.manifest.document["signature"]
    for side in ("inputs", "outputs"):
        for described, declared in zip(model[side], signature[side], strict=True):
            optional = described.get("parameters", {}).get("optional", False)
            assert optional == declared.get("optional", False)
            told = {key: described[key] for key in declared.keys() - {"optional"}}
            assert told == {key: declared[key] for key in told}


def test_config_is_tritons_form_of_the_signature(predictor: Predictor) -> None:
    """Names, TYPE_ names and dims without the batch; tritonclient reads it."""
    path = f"/v2/models/{predictor.model}"
    config = predictor.request("GET", f"{path}/config").json
    versioned = predictor.request("GET", f"{path}/versions/{predictor.manifest.version}/config")
    page = predictor.request("GET", path).json
    with tritonclient.http.InferenceServerClient(f"127.0.0.1:{predictor.http_port}") as client:
        assert client.get_model_config(predictor.model) == config == versioned.json

    assert (config["name"], config["platform"]) == (page["name"], page["platform"])
    assert config["max_batch_size"] > 0
    for side, tensors in (("input", page["inputs"]), ("output", page["outputs"])):
        for described, tensor in zip(config[side], tensors, strict=True):
            datatype = {"BYTES": "STRING"}.get(tensor["datatype"], tensor["datatype"])
            assert described["name"] == tensor["name"]
            assert described["data_type"] == f"TYPE_{datatype}"
            assert described["dims"] == tensor["shape"][1:]


def test_no_extension_is_named_that_is_not_served(predictor: Predictor) -> None:
    """perf_analyzer asks for statistics, traces and shared memory where a server names them."""
    extensions = set(predictor.request("GET", "/v2").json["extensions"])
    model = f"/v2/models/{predictor.model}"

    for name, path in (
        ("statistics", f"{model}/stats"),
        ("trace", f"{model}/trace/setting"),
        ("logging", "/v2/logging"),
        ("system_shared_memory", "/v2/systemsharedmemory/status"),
        ("cuda_shared_memory", "/v2/cudasharedmemory/status"),
        ("model_repository", "/v2/repository/index"),
        ("model_configuration", f"{model}/config"),
        ("binary_tensor_data", model),
    ):
        served = predictor.request("GET", path).status == 200
        assert (name in extensions) <= served, name


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("/health", "/v2/health/live"),
        ("/healthz", "/v2/health/ready"),
        ("/ready", "/v2/health/ready"),
        ("/livez", "/v2/health/live"),
        ("/health/ready", "/v2/health/ready"),
        ("/v2/health", "/v2/health/live"),
        ("/ping", "/v2/health/live"),
        ("/predict", "POST /v2/models/{model}/infer"),
        ("/invocations", "POST /v2/models/{model}/infer"),
        ("/model/info", "GET /v2/models/{model}"),
        ("/docs", "docs/api/openapi.yaml"),
        ("/openapi.json", "docs/api/openapi.yaml"),
        ("/v2/models/{model}/stats", "metrics"),
        ("/v2/systemsharedmemory/status", "shared memory"),
        ("/anything", "/v2/models/{model}"),
    ],
)
def test_paths_of_other_servers_name_the_one_here(
    predictor: Predictor, path: str, instead: str
) -> None:
    """A 404 that says what to ask instead."""
    answer = predictor.request("GET", path.format(model=predictor.model))

    assert answer.status == 404
    assert instead.format(model=predictor.model) in answer.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/v2/health/live", 200),
        ("POST", "/v2/models/{model}/config", 405),
        ("GET", "{infer}", 405),
        ("OPTIONS", "{infer}", 405),
        ("HEAD", "{infer}", 405),
        ("DELETE", "/v2/models/{model}", 405),
        ("POST", "/v2/health/ready", 405),
        ("POST", "/v1/models/{model}:predict", 404),
        ("GET", "/v1/models/{model}:explain", 404),
        ("GET", "/metrics", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/", 404),
        ("POST", "/v2/repository/models/{model}/unload", 404),
        ("POST", "/v2/repository/models/{model}/load", 404),
        ("POST", "/v2/repository/index", 404),
        ("POST", "/v2/models/another/infer", 404),
        ("GET", "/v2/models/another", 404),
        ("GET", "/v2/models/another/ready", 404),
        ("GET", "/v2/models/%2e%2e%2fetc", 404),
    ],
)
def test_what_is_not_offered_is_refused_by_name(
    predictor: Predictor, method: str, path: str, status: int
) -> None:
    """Other methods are 405 with Allow; other protocols and paths are 404; all as V2 errors."""
    path = path.format(infer=predictor.infer_path, model=predictor.model)
    answer = predictor.request(method, path)

    assert answer.status == status
    if status == 405:
        assert answer.headers["allow"]
    if method == "HEAD":
        assert not answer.body
    else:
        assert status == 200 or answer.json["error"]


def test_metrics_have_a_port_of_their_own_and_every_series_from_the_start(
    predictor: Predictor,
) -> None:
    """In-flight is there at 0, all outcomes exist, and one answer counts one."""
    labels = {"model": predictor.model, "model_version": predictor.manifest.version}
    before = predictor.metrics()
    predictor.infer({"inputs": predictor.golden_inputs()})
    predictor.infer(b"{")
    after = predictor.metrics()

    assert metric(before, "predictor_requests_in_flight", **labels) == 0
    assert metric(after, "predictor_model_info", **labels) == 1
    for outcome in ("ok", "invalid"):
        counts = [
            metric(text, "predictor_requests_total", outcome=outcome, **labels)
            for text in (before, after)
        ]
        assert counts[1] - counts[0] == 1
    assert metric(after, "predictor_requests_total", outcome="rejected", **labels) >= 0
