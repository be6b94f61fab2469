"""Drawn panels: axes, units, colours, and what stands where nothing was measured."""

import re

import pytest

from scripts.show.curves import Line, Panel, picture


def drawn(*panels: Panel) -> str:
    return picture("title", panels, 600, "note")


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (6.346, ["0 ms", "5 ms", "10 ms"]),
        (0.19, ["0 ms", "0.1 ms", "0.2 ms"]),
        (2500, ["2,500 ms"]),
    ],
)
def test_an_axis_ends_at_a_round_number_and_has_a_middle(highest: float, ticks: list[str]) -> None:
    """Each number with its unit."""
    text = drawn(Panel("latency", [Line([0.0, highest])], unit="ms"))

    assert all(f">{tick}<" in text for tick in ticks)


def test_a_panel_without_values_says_so() -> None:
    """It shows no numbers, which would be taken for measured ones."""
    text = drawn(Panel("latency", [Line([None, None])], unit="ms"), Panel("none", []))

    assert text.count(">no data<") == 2
    assert "ms<" not in text


def test_every_panel_has_its_times() -> None:
    """Not the last one alone."""
    assert drawn(*[Panel("p", [Line([1.0])])] * 3).count(">10 min<") == 3


def test_twenty_lines_are_told_apart() -> None:
    """By colour, and by strokes where colours come again."""
    lines = [Line([1.0, 2.0], f"line {number}") for number in range(20)]
    strokes = re.findall(
        r'<polyline class="(s\d) line"( stroke-dasharray="[^"]*")?', drawn(Panel("p", lines))
    )

    assert len(set(strokes)) == len(lines)
