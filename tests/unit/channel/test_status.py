"""The platform's status of models that follow a channel."""

from typing import Any

import pytest

from controlplane.errors import SerinError
from controlplane.store.followed import Channel
from controlplane.store.s3 import Store
from scripts.channels.served import behind_channels, follow_channels
from scripts.show import table, versions

STORE = Store("http://127.0.0.1:9", "a", "b")
OLD, NEW = "0" * 12, "1" * 12


def status(version: str) -> dict[str, Any]:
    """Of one model with two ready pods."""
    pods = [{"name": name, "version": version, "ready": True} for name in ("a", "b")]
    model = {"version": version, "target_version": version, "state": "Ready", "reason": ""}
    counts = {"replicas_ready": 2, "replicas_wanted": 2}
    return {"models": {"iris": {**model, **counts, "pods": pods}}}


def test_a_channels_version_and_generation_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the table, in the JSON, and in the count of the pods that serve a version."""
    monkeypatch.setattr(Channel, "read", lambda _: {"version": NEW, "generation": 7})
    monkeypatch.setattr(Channel, "reports", lambda _: {"a": {"version": OLD}})
    now = status("iris@stable")
    assert follow_channels(now)
    shown = behind_channels(now, STORE)
    assert table.rows(shown) == [("iris", f"{NEW} @stable 7", "2/2", "Ready", "")]
    assert versions.serving(shown) == {("iris", OLD): 1, ("iris", NEW): 1}
    assert now == status("iris@stable")


def test_a_store_that_does_not_answer_takes_no_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel's name stays, and the reason is said."""

    def fail(_: Channel) -> None:
        raise SerinError("The S3 store does not answer.")

    monkeypatch.setattr(Channel, "read", fail)
    (row,) = table.rows(behind_channels(status("iris@stable"), STORE))
    assert row[1:] == ("iris@stable", "2/2", "Ready", "The S3 store does not answer.")


def test_a_status_without_channels_stays_as_it_is() -> None:
    """No store is asked."""
    assert not follow_channels(status(NEW))
    assert behind_channels(status(NEW), STORE) == status(NEW)
