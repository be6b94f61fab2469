"""A channel in a terminal."""

import time
from typing import Any

from controlplane.store import channels
from controlplane.store.followed import Channel
from controlplane.store.s3 import Store
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


def test_what_was_refused_is_said_until_the_next_commit() -> None:
    """With the version, the generation and the reason, in lines of 80 columns."""
    store = Store("http://127.0.0.1:9", "a", "b")
    state = channels.first("0" * 12, "ann", "", 1.0, mode="strict", keep=60.0)
    state = channels.proposed(state, "1" * 12, "ann", "", time.time(), 60.0, 200)
    channel = Channel(store, "iris", "stable")
    assert "generation 2: being prepared, --shadow 200\n" in shown.description(channel, state)

    why = f"Nothing was committed: {NAME}: shadow flips: another class 41 of 60; limit 0.05."
    said = shown.description(channel, channels.withdrawn(state, why))
    assert "proposed" not in said
    refusal = said[said.index("refused") :]
    assert refusal.split() == ["refused", "1" * 12 + ",", "generation", "2:", *why.split()]
    assert max(map(len, said.splitlines())) <= 80

    state = channels.armed(channels.proposed(state, "2" * 12, "ann", "", 2.0, 60.0), 2.0)
    assert "refused" not in shown.description(channel, channels.committed(state, 3.0))
