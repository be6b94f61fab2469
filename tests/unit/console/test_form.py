"""Forms made of V2 metadata, and what is sent when they are filled."""

import base64
import json
from typing import Any

import pytest

from controlplane.console.pages import form
from controlplane.console.pages.form import PNG_TEXT
from controlplane.console.sources.answer import SourceError

PNG = base64.b64encode(b"\x89PNG\r\n").decode()


def made(*inputs: dict[str, Any], sample: dict[str, Any] | None = None) -> form.Form:
    """A form of tensors."""
    outputs = [{"name": "text_output", "datatype": "BYTES", "shape": [-1]}]
    return form.form({"inputs": [*inputs], "outputs": outputs}, sample)


def tensor(name: str, datatype: str, shape: list[int], **parameters: Any) -> dict[str, Any]:
    """An input as metadata tells of it."""
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters}


def test_numbers_have_a_field_each_and_begin_with_the_golden_sample() -> None:
    """One row of it."""
    sample = {"inputs": [{"name": "x", "data": [4.8, 3.0, 1.4, 0.1, 9, 9, 9, 9]}]}
    asked = made(tensor("x", "FP32", [-1, 4]), sample=sample)

    assert asked.fields[0].values == ("4.8", "3", "1.4", "0.1")
    assert form.request(asked, {f"f0.{n}": str(n) for n in range(4)}) == {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0.0, 1.0, 2.0, 3.0]}]
    }


@pytest.mark.parametrize(("datatype", "text"), [("FP32", "x"), ("INT64", "1.5"), ("UINT8", "")])
def test_what_is_no_number_names_its_tensor(datatype: str, text: str) -> None:
    """And what was expected."""
    with pytest.raises(SourceError, match=rf"x: .* is no {datatype} number"):
        form.request(made(tensor("x", datatype, [-1, 1])), {"f0.0": text})


def test_a_drawing_is_sent_as_base64_text() -> None:
    """The tensor of pixels, which is optional, is not asked for."""
    asked = made(
        tensor("pixels", "FP32", [-1, 784], optional=True),
        tensor("image", "BYTES", [-1], optional=True, content_type="image/png, image/jpeg"),
    )

    assert [field.kind for field in asked.fields] == ["picture"]
    sent = form.request(asked, {"f0.drawn": PNG_TEXT + PNG})
    assert sent["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [PNG]}]
    assert form.request(asked, {"f0.file": b"file", "f0.drawn": ""})["inputs"][0]["data"] == [
        base64.b64encode(b"file").decode()
    ]


@pytest.mark.parametrize("drawn", ["data:text/html;base64,AAAA", PNG_TEXT + "%%%", "x"])
def test_what_is_no_drawing_is_refused(drawn: str) -> None:
    """Whoever sends it."""
    asked = made(tensor("image", "BYTES", [-1], content_type="image/png"))
    with pytest.raises(SourceError, match="no PNG"):
        form.request(asked, {"f0.drawn": drawn})


def test_settings_that_are_left_empty_are_not_sent() -> None:
    """A text model's form: the text, and what may be left as it is."""
    asked = made(
        tensor("text_input", "BYTES", [-1]),
        tensor("max_tokens", "INT32", [-1], optional=True, default=64),
        tensor("temperature", "FP32", [-1], optional=True),
    )

    assert asked.streams
    assert [field.name for field in asked.settings] == ["max_tokens", "temperature"]
    sent = form.request(asked, {"f0.0": "Hello\r\nyou", "f1.0": "5", "f2.0": " "})
    assert [(entry["name"], entry["data"]) for entry in sent["inputs"]] == [
        ("text_input", ["Hello\nyou"]),
        ("max_tokens", [5]),
    ]


def test_large_tensors_are_typed_as_nested_lists() -> None:
    """Their shape is that of the lists."""
    asked = made(tensor("x", "FP32", [-1, 10, 10]))
    sent = form.request(asked, {"f0.0": "[[[1, 2], [3, 4]]]"})

    assert sent["inputs"][0]["shape"] == [1, 2, 2]
    for text in ("[", "[" * 100_000, "{}"):
        with pytest.raises(SourceError) if text != "{}" else _nothing():
            form.request(asked, {"f0.0": text})


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


def test_scores_of_labelled_classes_are_bars_the_highest_first() -> None:
    """Labels are the metadata's."""
    metadata = {"outputs": [{"name": "p", "parameters": {"labels": ["a", "b"]}}]}
    scores = {"name": "p", "datatype": "FP32", "shape": [1, 2], "data": [0.1, 0.9]}
    body = json.dumps({"model_version": "v", "outputs": [scores]})
    (output,) = form.answer(200, body, 0.1, metadata).outputs

    assert [(bar.label, bar.text) for bar in output.bars] == [("b", "90.0 %"), ("a", "10.0 %")]


@pytest.mark.parametrize(
    "body", ["", "[]", "5", '{"outputs": 3}', '{"outputs": [{}]}', "[" * 10**5]
)
def test_an_answer_of_another_form_is_said_to_be_one(body: str) -> None:
    """Whatever the model sends."""
    assert form.answer(200, body, 0.1, {}).error == "The answer is no V2 answer."
