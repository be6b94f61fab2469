"""What is typed after `serin infer MODEL`, as the tensors of a request."""

from pathlib import Path
from typing import Any

import pytest

from scripts.client.errors import UsageError
from scripts.client.question import question_of


def takes(name: str, datatype: str, *shape: int, **parameters: Any) -> dict[str, Any]:
    """An input as metadata describes it."""
    described = {"name": name, "datatype": datatype, "shape": list(shape)}
    return described | {"parameters": parameters} if parameters else described


IRIS = {"inputs": [takes("input-0", "FP32", -1, 4)]}
COUNTS = {"inputs": [takes("counts", "INT64", -1, 2)]}
CNN = {
    "inputs": [
        takes("input-0", "FP32", -1, 1, 2, 2, optional=True),
        takes("image", "BYTES", -1, optional=True, content_type="image/png, image/jpeg"),
    ]
}
NLI = {"inputs": [takes("premise", "BYTES", -1), takes("hypothesis", "BYTES", -1, 1)]}
LM = {
    "inputs": [
        takes("text_input", "BYTES", -1),
        takes("max_tokens", "INT32", -1, optional=True),
        takes("temperature", "FP32", -1, 1, optional=True),
        takes("stop", "BYTES", -1, optional=True),
        takes("echo", "BOOL", -1, optional=True),
        takes("words", "BYTES", -1, -1, optional=True),
    ]
}


def test_numbers_fill_row_after_row() -> None:
    """Eight numbers are two flowers."""
    flowers = ["5.1", "3.5", "1.4", ".2", "-6", "3e0", "5.2", "2.3"]
    question = question_of("iris", IRIS, flowers)

    assert question.tensors == [
        {
            "name": "input-0",
            "datatype": "FP32",
            "shape": [2, 4],
            "data": [5.1, 3.5, 1.4, 0.2, -6.0, 3.0, 5.2, 2.3],
        }
    ]
    assert question.asked == ["5.1 3.5 1.4 .2", "-6 3e0 5.2 2.3"]


def test_files_go_to_the_input_of_images_as_they_are(tmp_path: Path) -> None:
    """What is in them is for the model to judge; numbers still go to the input of numbers."""
    path = tmp_path / "1.png"
    path.write_bytes(b"\x89PNG")
    question = question_of("cnn", CNN, [str(path), str(path)])
    numbers = question_of("cnn", CNN, ["0", "1", "1", "0"])

    assert question.tensors == [
        {"name": "image", "datatype": "BYTES", "shape": [2], "data": [b"\x89PNG"] * 2}
    ]
    assert question.asked == [str(path)] * 2
    assert [(one["name"], one["shape"]) for one in numbers.tensors] == [("input-0", [1, 1, 2, 2])]


def test_texts_fill_the_required_inputs_in_their_order() -> None:
    """Four texts for two inputs are two rows; a number is a text there."""
    question = question_of("nli", NLI, ["A man sleeps.", "He is awake.", "One", "1"])

    assert [tensor["data"] for tensor in question.tensors] == [
        ["A man sleeps.", "One"],
        ["He is awake.", "1"],
    ]
    assert [tensor["shape"] for tensor in question.tensors] == [[2], [2, 1]]
    assert question.asked == ["A man sleeps. · He is awake.", "One · 1"]


def test_settings_fill_other_inputs_for_every_row() -> None:
    """By name, in the input's own datatype; a list has an element for each --set."""
    chosen = {"max_tokens": ["32"], "temperature": [".5"], "stop": ["7"], "echo": ["true"]}
    chosen |= {"words": ["x", "y"]}
    question = question_of("lm", LM, ["Once", "Upon"], chosen)

    assert [(one["name"], one["shape"], one["data"]) for one in question.tensors] == [
        ("text_input", [2], ["Once", "Upon"]),
        ("max_tokens", [2], [32, 32]),
        ("temperature", [2, 1], [0.5, 0.5]),
        ("stop", [2], ["7", "7"]),
        ("echo", [2], [True, True]),
        ("words", [2, 2], ["x", "y", "x", "y"]),
    ]


def test_a_required_input_may_be_set_as_well() -> None:
    """One premise for several hypotheses."""
    question = question_of("nli", NLI, ["a", "b"], {"premise": ["p"]})

    assert {one["name"]: one["data"] for one in question.tensors} == {
        "premise": ["p", "p"],
        "hypothesis": ["a", "b"],
    }


def test_whole_numbers_are_sent_as_such() -> None:
    """An INT64 tensor gets integers, to the last digit, and no fraction is rounded away."""
    large = str(2**62 + 1)
    (tensor,) = question_of("counts", COUNTS, ["4.0", large]).tensors

    assert tensor["data"] == [4, 2**62 + 1]
    assert [type(number) for number in tensor["data"]] == [int, int]


ROW = "iris takes 4 numbers a row: "


@pytest.mark.parametrize(
    ("metadata", "values", "chosen", "sentence"),
    [
        (IRIS, ["5.1", "3.5", "1.4"], {}, ROW + "got 3"),
        (IRIS, ["1", "2", "3", "4", "5"], {}, ROW + "got 5"),
        (IRIS, ["1", "2", "3", "x"], {}, ROW + "'x' is not a number"),
        (IRIS, ["1", "2", "3", "nan"], {}, ROW + "'nan' is not a number"),
        (IRIS, ["--jsn", "1", "2", "3"], {}, ROW + "'--jsn' is not a number"),
        (COUNTS, ["3", "4.5"], {}, "iris takes 2 numbers a row: '4.5' is not a whole number"),
        (NLI, ["a", "b", "c"], {}, "iris takes 2 texts a row (premise, hypothesis): got 3"),
        (CNN, ["no.png"], {}, "no.png is no number, and no such file exists"),
        (CNN, ["."], {}, ". cannot be read: Is a directory"),
        (LM, ["a"], {"max_tokens": ["many"]}, "max_tokens is INT32: 'many' is not a whole number"),
        (LM, ["a"], {"echo": ["yes"]}, "echo is BOOL: 'yes' is not true or false"),
        (LM, ["a"], {"echo": ["true"] * 2}, "--set echo: it takes one value, and is given 2"),
        (IRIS, ["1"], {"k": ["2"]}, "iris has no input k: it takes input-0 FP32"),
        (
            {"inputs": [takes("a", "FP32", -1), takes("b", "BYTES", -1)]},
            ["1", "x"],
            {},
            "iris takes a FP32, b BYTES: give all but one kind with --set",
        ),
        (
            {"inputs": [takes("a", "FP32", -1, -1)]},
            ["1"],
            {},
            "iris takes rows of any length, [-1, -1]: which one is meant?",
        ),
    ],
)
def test_values_that_do_not_fit_are_one_sentence(
    metadata: dict[str, Any], values: list[str], chosen: dict[str, list[str]], sentence: str
) -> None:
    """What was expected and what came, and exit code 2."""
    with pytest.raises(UsageError) as caught:
        question_of("iris", metadata, values, chosen)

    assert caught.value.message == sentence
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "values",
    [
        ["5.1,3.5,1.4,0.2"],
        ["5.1, 3.5, 1.4, 0.2"],
        ["[5.1, 3.5, 1.4, 0.2]"],
        ["5.1,", "3.5,", "1.4,", "0.2"],
        ["5.1;3.5", "1.4 0.2"],
    ],
)
def test_numbers_are_taken_as_people_paste_them(values: list[str]) -> None:
    """With commas, brackets or blanks; the row shows the numbers alone."""
    question = question_of("iris", IRIS, values)

    assert question.tensors[0]["data"] == [5.1, 3.5, 1.4, 0.2]
    assert question.asked == ["5.1 3.5 1.4 0.2"]
