"""What lines look like on a terminal of 40 columns."""

import json

import pytest

from scripts.show.document import pretty
from scripts.show.lines import hanging
from scripts.show.records import readable


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("short", ["short"]),
        (
            "Error: one word after another until it no longer fits",
            ["Error: one word after another until it", "  no longer fits"],
        ),
        (
            " 4:15  1 → 5  more replicas than the maximum allows",
            [" 4:15  1 → 5  more replicas than the", "              maximum allows"],
        ),
        (
            "mean 7.4 ms  p50 3.48 ms  p90 30.7 ms  p99 67.9 ms",
            ["mean 7.4 ms  p50 3.48 ms  p90 30.7 ms", "  p99 67.9 ms"],
        ),
        (
            "it took from here to there at most 131 ms",
            ["it took from here to there at most", "  131 ms"],
        ),
        ("see " + "x" * 50, ["see", "  " + "x" * 50]),
    ],
)
def test_a_long_line_goes_on_under_its_own_text(line: str, rows: list[str]) -> None:
    """Between words; a number keeps its unit, a name its value; a long path stays whole."""
    assert hanging(line, 40).split("\n") == rows


def test_json_for_eyes_is_the_same_json_and_fits() -> None:
    """A field a line, numbers wrapped."""
    answer = {"model": "iris", "outputs": [{"data": [0.125] * 40, "shape": [1, 40]}], "empty": []}
    text = pretty(answer, 40)

    assert json.loads(text) == answer
    assert max(map(len, text.splitlines())) <= 40


def test_a_request_is_one_short_line() -> None:
    """Time of day, model, status, duration and the id that the answer has."""
    record = {
        "level": "INFO",
        "logger": "serin.request",
        "event": "infer",
        "model": "iris",
        "time": "2026-11-28T06:07:53.576666",
        "status": 429,
        "outcome": "rejected",
        "duration_seconds": 0.000263,
        "request_id": "8788be8256d13463-41",
        "x_request_id": "d7fa1776-3c3b-409b-b676-b9918449c83f",
    }

    assert readable(json.dumps(record)) == (
        "06:07:53 iris 429 0.263 ms rejected 8788be8256d13463-41"
    )


def test_other_lines_say_all_they_know() -> None:
    """A warning its level and fields, a decision its sentence; what is no record stays as it is."""
    warning = {"time": "2026-11-28T06:07:53", "level": "WARNING", "event": "slow", "rows_left": 3}
    decision = {"time": "2026-11-28T06:07:53", "scaledobject": "iris", "explanation": "1 → 2"}

    assert readable(json.dumps(warning)) == "06:07:53 WARNING slow rows_left 3"
    assert readable(json.dumps(decision)) == "06:07:53 iris 1 → 2"
    assert readable("Traceback: [1]") == "Traceback: [1]"
    assert readable("[1]") == "[1]"
