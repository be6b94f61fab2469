import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from scripts.show import columns, table

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def predictor(state: str, reason: str = "", **fields: Any) -> dict[str, Any]:
    """A model, or a canary, as state.json has it."""
    version = "2f88c279ec26" if state == "Ready" else ""
    return {
        "version": version,
        "target_version": "2f88c279ec26",
        "share": 100,
        "target_share": 100,
        "replicas_ready": int(state == "Ready"),
        "replicas_wanted": 1,
        "hosts": [],
        "state": state,
        "reason": reason,
        "canaries": (),
        **fields,
    }


def shown(models: dict[str, Any], width: int) -> list[str]:
    """The table on a terminal of this width."""
    written = io.StringIO()
    console = Console(file=written, width=width)
    console.print(table.Table(table.HEADER, table.rows({"models": models})))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_a_model_without_a_version_has_a_row() -> None:
    """It has no host, no version and no pod yet; its reason is there."""
    model = predictor("Unpublished", "s3://models/iris has none", target_version="")
    (row,) = table.rows({"models": {"iris": model}})

    assert row == ("iris", "–", "0/1", "Unpublished", "s3://models/iris has none")


@pytest.mark.parametrize(
    ("share", "target", "name"),
    [(10, 10, "└ canary 10 %"), (0, 10, "└ canary 0 → 10 %")],
)
def test_a_canary_has_a_row_below_its_model(share: int, target: int, name: str) -> None:
    """With the share that it has, and the one that it shall have."""
    canary = predictor("Ready", name="canary", share=share, target_share=target)
    rows = table.rows({"models": {"iris": predictor("Ready", canaries=[canary])}})

    assert [row[0] for row in rows] == ["iris", name]
    assert rows[1][1:4] == ("2f88c279ec26", "1/1", "Ready")


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_reason_stands_below_its_row(width: int) -> None:
    """No number breaks: what does not fit goes to lines of its own, whole words, indented."""
    reason = "version bad2 does not start: " + "s3://models/iris/bad2 is not published; " * 3
    model = predictor("Failed", reason.strip(), version="72b7f69b70fb", target_version="bad2")
    lines = shown({"iris": model, "nli": predictor("Ready")}, width)

    assert max(map(len, lines)) <= width
    assert re.split(" {2,}", lines[1]) == ["iris", "72b7f69b70fb → bad2", "0/1", "Failed"]
    assert all(line.startswith("  ") for line in lines[2:-1])
    assert " ".join(line.strip() for line in lines[2:-1]) == reason.strip()
    assert lines[-1].split() == ["nli", "2f88c279ec26", "1/1", "Ready"]


def test_jobs_are_shown_while_they_run_and_for_an_hour() -> None:
    """What ended before that is history."""

    def job(name: str, ended: str) -> dict[str, Any]:
        state = "Complete" if ended else "Running"
        began = "2026-01-01T10:00:00Z"
        return {
            "name": name,
            "state": state,
            "reason": "",
            "tries": 1,
            "started_at": began,
            "ended_at": ended,
        }

    listed = [
        job("runs", ""),
        job("lately", "2026-01-01T11:30:00Z"),
        job("long-ago", "2026-01-01T10:30:00Z"),
    ]
    rows = table.jobs({"jobs": listed}, NOW)

    assert [row[0] for row in rows] == ["runs", "lately"]
    assert columns.plain(table.JOBS, rows).splitlines()[1].split() == (
        ["runs", "2", "h", "1", "Running"]
    )
