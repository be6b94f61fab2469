"""A channel in a terminal."""

from typing import Any

from scripts.channels import shown
from scripts.show import columns

NAME = "causal-lm-predictor-7d9f8c6b5d-x2x7q"  # of a cluster
SILENT = f"{NAME[:-1]}z"
REPORT: dict[str, Any] = {
    "generation": 118,
    "prepared": 119,
    "version": "0" * 12,
    "switched_late_seconds": 0.0123,
    "failures": {},
    "trouble": "the channel was not read for 3 s",
    "kept": "",
}


def test_a_row_fits_80_columns_and_what_a_replica_says_is_below() -> None:
    """With the longest names of pods, and a line for one that wrote no report."""
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    pods = [{"metadata": {"name": name}, "status": ready} for name in (NAME, SILENT)]
    reports = {NAME: REPORT}
    table = columns.plain(shown.REPLICAS, shown.replicas(reports, pods))

    assert max(map(len, table.splitlines())) <= 80
    assert table.splitlines()[1].split() == [NAME, "yes", "118", "0" * 12, "119", "+12", "ms"]
    assert shown.notes(reports, pods) == [
        f"{NAME}: the channel was not read for 3 s",
        f"{SILENT}: no report yet",
    ]
