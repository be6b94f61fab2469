"""Load curves, from files and built in."""

import random
from pathlib import Path

import pytest

from controlplane.errors import SerinError
from controlplane.simulation import load


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text, "utf-8")
    return path


def test_a_file_with_heading_and_comments(tmp_path: Path) -> None:
    """A rate holds until the next line's time, the last one as long as the one before it."""
    found = load.read(
        written(tmp_path, "# measured\nseconds,requests_per_second\n0,5\n10,20\n40,0.5\n")
    )

    assert [found.rate(at) for at in (0, 9.9, 10, 39, 69)] == [5, 5, 20, 20, 0.5]
    assert found.duration == 70


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no lines of numbers"),
        ("0,1\n5\n", ":2: expected 2 numbers, got '5'"),
        ("0,1\nfive,2\n", ":2: expected 2 numbers, got 'five,2'"),
        ("0,1\n0,2\n", ":2: expected a later time"),
        ("0,-1\n", "is no time and rate of 0 or more"),
        ("0,error\n", "is no time and rate of 0 or more"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str, complaint: str) -> None:
    """The line is named, with what was expected and what is there."""
    with pytest.raises(SerinError) as caught:
        load.read(written(tmp_path, text))

    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("constant", [100, 100, 100, 100]),
        ("step", [10, 100, 100, 100]),
        ("spike", [10, 100, 10, 10]),
        ("daily", [10, 55, 100, 55]),
    ],
)
def test_built_in_curves(name: str, rates: list[float]) -> None:
    """Each goes between the two rates that are asked for."""
    found = load.built_in(name, 10, 100, 1000)

    assert [found.rate(at) for at in (0, 250, 500, 750)] == pytest.approx(rates)


def test_arrivals_follow_the_rate_and_the_seed() -> None:
    """As many as the curve says, within 4σ; the same seed gives the same times."""
    curve = load.built_in("step", 10, 50, 1000)
    times = list(curve.arrivals(random.Random(7)))

    assert times == sorted(times)
    assert times == list(curve.arrivals(random.Random(7)))
    assert times != list(curve.arrivals(random.Random(8)))
    for start, end, expected in ((0, 200, 2000), (200, 1000, 40000)):
        count = sum(start <= at < end for at in times)
        assert abs(count - expected) < 4 * expected**0.5
