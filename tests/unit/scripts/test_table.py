import io

import pytest
from rich.console import Console

from scripts.client import table

METADATA = {
    "outputs": [
        {"name": "class_name", "datatype": "BYTES", "shape": [-1]},
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": [-1, 3],
            "parameters": {"labels": ["setosa", "versicolor", "virginica"]},
        },
    ]
}


def shown(probabilities: list[float], names: list[str], metadata: dict = METADATA) -> str:
    answer = {
        "model_name": "iris",
        "model_version": "0123456789ab",
        "outputs": [
            {"name": "class_name", "shape": [len(names)], "datatype": "BYTES", "data": names},
            {
                "name": "probabilities",
                "shape": [len(names), len(probabilities) // len(names)],
                "datatype": "FP32",
                "data": probabilities,
            },
        ],
    }
    written = io.StringIO()
    asked = [f"row {n}" for n in range(len(names))]
    Console(file=written, width=100).print(table.table_of(answer, metadata, asked, 100))
    return written.getvalue()


def nli(width: int, truncated: list[bool]) -> str:
    """The table of a pair of sentences, on a terminal of some width."""
    outputs = [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["neutral"]},
        {"name": "probabilities", "datatype": "FP32", "shape": [1, 3], "data": [0.9, 0.06, 0.04]},
        {"name": "truncated", "datatype": "BOOL", "shape": [1], "data": truncated},
    ]
    labels = {"labels": ["neutral", "contradiction", "entailment"]}
    metadata = {"outputs": [{"name": "probabilities", "parameters": labels}]}
    answer = {"model_name": "nli", "model_version": "0" * 12, "outputs": outputs}
    written = io.StringIO()
    asked = ["The cat sat on the mat · The cat was hungry and it was late in the evening"]
    Console(file=written, width=width).print(table.table_of(answer, metadata, asked, width))
    return written.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("truncated", [[True], [False]])
def test_numbers_stay_where_columns_are_few(width: int, truncated: list[bool]) -> None:
    """Bars go first; `truncated` is a column only where it is true."""
    text = nli(width, truncated)

    assert all(number in text for number in ("90.0%", "6.0%", "4.0%"))
    assert ("truncated" in text) is truncated[0]
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert ("█" * 10 in text) is (width == 120 or (width == 80 and not truncated[0]))


def test_what_is_piped_has_neither_bars_nor_blanks_at_the_end() -> None:
    """One line for each row asked."""
    answer = {
        "model_name": "iris",
        "outputs": [
            {"name": "class_name", "data": ["setosa", "virginica"]},
            {"name": "probabilities", "data": [0.75, 0.25, 0.0, 0.0, 0.5, 0.5]},
        ],
    }

    assert table.shown(answer, METADATA, ["1 2", "3 4"]) == (
        "input  class name  probabilities\n"
        "1 2    setosa      setosa 75.0%, versicolor 25.0%, virginica 0.0%\n"
        "3 4    virginica   versicolor 50.0%, virginica 50.0%, setosa 0.0%\n"
    )


def test_probabilities_are_bars_with_their_labels_the_likeliest_first() -> None:
    """A bar's length is the share of 12 cells, to an eighth of a cell."""
    text = shown([0.25, 0.6875, 0.0625], ["versicolor"])
    lines = [line for line in text.splitlines() if "%" in line]

    assert "iris 0123456789ab" in text
    assert "versicolor " + "█" * 8 + "▎" in lines[0]
    assert "setosa     " + "█" * 3 + " " in lines[1]
    assert "virginica  ▊ " in lines[2]
    assert [line.split("%")[0][-5:] for line in lines] == [" 68.8", " 25.0", "  6.2"]


def test_each_row_asked_has_its_line() -> None:
    """Several rows stay apart, each with its own answer."""
    text = shown([1, 0, 0, 0, 0.5, 0.5], ["setosa", "virginica"])

    assert text.index("row 0") < text.index("100.0%") < text.index("row 1") < text.index("50.0%")


def test_without_labels_places_are_counted() -> None:
    """The index stands where no name is known."""
    text = shown([0.1, 0.9], ["1"], metadata={})

    assert "1 " + "█" * 10 + "▊" in text


def test_a_share_that_rounding_took_past_one_is_still_a_share() -> None:
    """Ten votes of 0.1, added up in FP32."""
    text = shown([1.0000001, 0.0, 0.0], ["setosa"])

    assert "setosa     " + "█" * 12 + " 100.0%" in text


@pytest.mark.parametrize("values", [[2.5, -1.0, 0.0], [0.5, 0.5, 0.5]])
def test_what_is_no_distribution_stays_numbers(values: list[float]) -> None:
    """Logits and scores get no bars."""
    text = shown(values, ["x"])

    assert "%" not in text
    assert " ".join(f"{value:g}" for value in values) in text
