from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from scripts.client.errors import UsageError
from scripts.client.tensors import tensor_of


def metadata(*shape: int, datatype: str = "FP32") -> dict:
    return {"inputs": [{"name": "input-0", "datatype": datatype, "shape": list(shape)}]}


def test_numbers_fill_row_after_row() -> None:
    """Eight numbers are two flowers."""
    flowers = ["5.1", "3.5", "1.4", ".2", "-6", "3e0", "5.2", "2.3"]

    tensor = tensor_of("iris", metadata(-1, 4), flowers)

    assert tensor == {
        "name": "input-0",
        "datatype": "FP32",
        "shape": [2, 4],
        "data": [5.1, 3.5, 1.4, 0.2, -6.0, 3.0, 5.2, 2.3],
    }


@pytest.mark.parametrize("shape", [(-1, 784), (-1, 28, 28), (-1, 1, 28, 28)])
def test_images_fill_digit_after_digit(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Each image is one row of the model's own shape, flat or not."""
    path = tmp_path / "1.png"
    image = Image.new("L", (40, 40))
    ImageDraw.Draw(image).line([(20, 5), (20, 35)], fill=255, width=5)
    image.save(path)

    tensor = tensor_of("mnist-forest", metadata(*shape), [str(path), str(path)])

    assert tensor["shape"] == [2, *shape[1:]]
    assert tensor["data"][:784] == tensor["data"][784:]
    assert max(tensor["data"]) == 1


def test_whole_numbers_are_sent_as_such() -> None:
    """An INT64 tensor gets integers, and no fraction is rounded away."""
    tensor = tensor_of("counts", metadata(-1, 2, datatype="INT64"), ["3", "4.0"])

    assert [type(number) for number in tensor["data"]] == [int, int]
    with pytest.raises(UsageError, match=r"counts takes whole numbers: got 4\.5"):
        tensor_of("counts", metadata(-1, 2, datatype="INT64"), ["3", "4.5"])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["5.1", "3.5", "1.4"], "iris takes 4 numbers a row: got 3"),
        (["1", "2", "3", "4", "5"], "iris takes 4 numbers a row: got 5"),
        (["1", "2", "3", "x"], "iris takes 4 numbers a row: 'x' is not a number"),
        (["1", "2", "3", "nan"], "iris takes 4 numbers a row: 'nan' is not a number"),
        (["--jsn", "1", "2", "3"], "iris takes 4 numbers a row: '--jsn' is not a number"),
    ],
)
def test_values_that_do_not_fit_are_one_sentence(values: list[str], sentence: str) -> None:
    """What was expected and what came, and exit code 2."""
    with pytest.raises(UsageError) as caught:
        tensor_of("iris", metadata(-1, 4), values)

    assert caught.value.message == sentence
    assert caught.value.exit_code == 2


def test_a_model_that_takes_something_else_says_what() -> None:
    """Text, and rows of any length, are not guessed at."""
    with pytest.raises(UsageError, match="nli takes input-0 BYTES"):
        tensor_of("nli", metadata(-1, datatype="BYTES"), ["a"])
    with pytest.raises(UsageError, match="any length"):
        tensor_of("ragged", metadata(-1, -1), ["1"])
