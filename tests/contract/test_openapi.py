"""docs/api/openapi.yaml, held to what every predictor serves."""

import base64
import json
from functools import cache, reduce
from operator import getitem
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from predictors.runtime.rest.files import FileRequests
from predictors.runtime.v2.signature import Signature
from tests.support.documents import ROOT
from tests.support.predictor import JSON, Answer, Predictor, model_class

FILE = ROOT / "docs" / "api" / "openapi.yaml"
API = yaml.safe_load(FILE.read_text("utf-8"))
SEVEN = (ROOT / "docs" / "seven.png").read_bytes()
INFER = "/v2/models/{model}/infer"
STREAMS = ("generate", "generate_stream")


def resolved(part: Any) -> Any:
    """What a part stands for."""
    while "$ref" in part:
        _, *names = part["$ref"].split("/")
        part = reduce(getitem, names, API)
    return part


def check(schema: Any, value: Any) -> None:
    """Hold a value to a schema of the file."""
    Draft202012Validator(schema | {"components": API["components"]}).validate(value)


def hold(answer: Answer, path: str, method: str) -> None:
    """Hold an answer to what the file says of its operation."""
    responses = API["paths"][path][method]["responses"]
    assert str(answer.status) in responses, (path, answer.status, answer.body)
    content = resolved(responses[str(answer.status)])["content"]
    kind = answer.headers["content-type"].partition(";")[0]
    if kind == "application/json":
        check(content[kind]["schema"], answer.json)
    else:
        assert kind in content


def inner_references(part: Any) -> list[str]:
    """Every $ref in there."""
    if isinstance(part, list):
        return [name for one in part for name in inner_references(one)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if "$ref" in part else []
    return own + [name for one in part.values() for name in inner_references(one)]


@cache
def declared(model: str) -> Signature:
    """A model's signature."""
    cls = model_class(model)
    return Signature.of(cls.inputs, cls.outputs)


def test_the_file_is_whole() -> None:
    """Every schema is one, every reference leads somewhere, and nothing lies there unused."""
    references = inner_references(API)
    for schema in API["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for name in references:
        assert resolved({"$ref": name})
    offered = {
        f"#/components/{kind}/{name}" for kind, parts in API["components"].items() for name in parts
    }
    assert offered == set(references)


def test_every_operation_has_a_name_and_its_parameters() -> None:
    """Code generators take functions' names from there."""
    operations = []
    for path, item in API["paths"].items():
        named = [resolved(one)["name"] for one in item.get("parameters", [])]
        assert ("model" in named) == ("{model}" in path)
        operations += [item[method] for method in item if method in {"get", "post"}]

    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] and operation["responses"] for operation in operations)


@pytest.mark.parametrize("path", [path for path, item in API["paths"].items() if "get" in item])
def test_pages_are_as_described(predictor: Predictor, path: str) -> None:
    """Each page of the file is served, in its form; of another model it is a 404."""
    answer = predictor.request("GET", path.format(model=predictor.model))
    assert answer.status == 200
    hold(answer, path, "get")

    if "{model}" in path:
        hold(predictor.request("GET", path.format(model="another")), path, "get")


def test_requests_and_answers_are_as_described(predictor: Predictor) -> None:
    """The golden sample is a request of the file; its answer and refusals are answers of it."""
    document = {"inputs": predictor.golden_inputs()}
    check({"$ref": "#/components/schemas/InferRequest"}, document)
    binary = document | {"parameters": {"binary_data_output": True}}
    kinds = {"Content-Type": "text/plain"}
    for answer, status in (
        (predictor.infer(document), 200),
        (predictor.infer(binary), 200),
        (predictor.infer({"inputs": []}), 400),
        (predictor.request("POST", "/v2/models/another/infer", b"{}", JSON), 404),
        (predictor.infer(b" " * (9 << 20)), 413),
        (predictor.infer(document, **kinds), 415),
        (predictor.infer(document | {"parameters": {"timeout": 1}}), 504),
    ):
        assert answer.status == status, answer.body
        hold(answer, INFER, "post")


def test_the_examples_are_answered(predictor: Predictor) -> None:
    """Each example of the file, by the model whose tensors it names."""
    body = API["paths"][INFER]["post"]["requestBody"]["content"]["application/json"]
    generate = resolved({"$ref": "#/components/requestBodies/Generate"})["content"]
    served = []
    for name, example in body["examples"].items():
        check(body["schema"], example["value"])
        if predictor.model == "iris":
            served.append((name, INFER, example["value"]))
    for name, example in generate["application/json"]["examples"].items():
        check(generate["application/json"]["schema"], example["value"])
        if predictor.model == "causal-lm":
            served += [(name, f"/v2/models/{{model}}/{verb}", example["value"]) for verb in STREAMS]
    if not served:
        pytest.skip("the examples are of other models")
    for name, path, value in served:
        text = json.dumps(value).encode()
        answer = predictor.request("POST", path.format(model=predictor.model), text, JSON)
        assert answer.status == 200, (name, answer.body)
        hold(answer, path, "post")


def test_files_come_in_the_types_of_the_file(predictor: Predictor) -> None:
    """Every content type that a model takes is in the file, and a file is answered as it says."""
    kinds = FileRequests(declared(predictor.model)).content_types
    if not kinds:
        pytest.skip("takes no files")
    content = API["paths"][INFER]["post"]["requestBody"]["content"]
    assert {kind.decode() for kind in kinds} <= content.keys()
    headers = {"Content-Type": "image/png"}
    answer = predictor.request("POST", predictor.infer_path, SEVEN, headers)
    assert answer.status == 200
    hold(answer, INFER, "post")
    image = {"name": "image", "datatype": "BYTES", "shape": [1]}
    text = base64.b64encode(SEVEN).decode()
    assert predictor.infer({"inputs": [image | {"data": [text]}]}).status == 200


@pytest.mark.parametrize("verb", STREAMS)
def test_models_that_do_not_stream_refuse_as_described(predictor: Predictor, verb: str) -> None:
    """A 404 with V2's error, or a 400 where the model streams and the body is wrong."""
    path = f"/v2/models/{{model}}/{verb}"
    answer = predictor.request("POST", path.format(model=predictor.model), b"{}", JSON)

    assert answer.status in {400, 404}
    hold(answer, path, "post")
