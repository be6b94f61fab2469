import io

import pytest
from rich.console import Console

from scripts.client.table import table_of

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
    Console(file=written, width=100).print(table_of(answer, metadata, asked))
    return written.getvalue()


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
