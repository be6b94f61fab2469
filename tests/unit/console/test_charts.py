"""Charts: which line has which colour."""

import pytest

from controlplane.console.pages import charts
from controlplane.console.sources.metrics import Moments, Series

MOMENTS = Moments(0.0, 15.0, 3)


def line(name: str, *values: float | None) -> Series:
    return Series({"name": name}, values)


@pytest.mark.parametrize(
    ("series", "colours"),
    [
        (
            [line("canary b", None, 1, 1), line("stable a", 1, 1, 1)],
            {"stable a": 0, "canary b": 1},
        ),
        ([line("canary b", 1, 1, 1)], {"canary b": 1}),
        (
            [line("stable a", 1, 1, None), line("stable b", None, 1, 1)],
            {"stable b": 0, "stable a": 2},
        ),
        ([line("wanted", 1), line("ready", 1)], {"ready": 0, "wanted": 1}),
        ([line(f"stable {n:02}", 1) for n in range(9)], None),
    ],
    ids=["both", "canary", "versions", "others", "many"],
)
def test_a_part_has_its_colour_whatever_else_is_drawn(
    series: list[Series], colours: dict[str, int] | None
) -> None:
    """Stable's and the canary's are those of the page's legend, latest version first."""
    chart = charts.chart("c", "C", "", series, MOMENTS, lambda line: line.labels["name"])
    drawn = {line.name: line.colour for line in chart.lines}

    if colours is not None:
        assert drawn == colours
    assert all(0 <= colour < charts.COLOURS for colour in drawn.values())
