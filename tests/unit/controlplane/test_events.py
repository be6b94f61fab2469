"""Events: counted where they repeat, and bounded in number, age and name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.local.api.objects import Objects
from controlplane.local.controllers import events

ABOUT = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "j", "namespace": "models", "uid": "1"},
}


def messages(store: Objects) -> set[str]:
    return {one["message"] for one in store.list_of("Event")}


def test_what_happens_again_is_counted() -> None:
    """One Event, also after a client took its count away."""
    store = Objects()
    for _ in range(2):
        events.record(store, ABOUT, "Warning", "Odd", "it is odd")
    (event,) = store.list_of("Event")
    assert event["count"] == 2

    store.update({name: value for name, value in event.items() if name != "count"})
    events.record(store, ABOUT, "Warning", "Odd", "it is odd")
    (event,) = store.list_of("Event")
    assert event["count"] == 1


def test_the_oldest_past_a_number_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else thousands of objects would leave theirs behind for as long as the platform runs."""
    monkeypatch.setattr(events, "MOST", 3)
    store = Objects()
    for index in range(5):
        monkeypatch.setattr(events, "now", lambda index=index: _ago(minutes=9 - index))
        events.record(store, ABOUT, "Normal", "Happened", str(index))

    events.forget(store)

    assert messages(store) == {"2", "3", "4"}


@pytest.mark.parametrize("last", [None, "", "yesterday", 7, "2999-01-01"])
def test_a_clients_event_with_any_time_is_kept_for_an_hour(last: Any) -> None:
    """Its object's own time counts; those of an hour ago go beside it."""
    store = Objects()
    odd = {"kind": "Event", "metadata": {"name": "odd", "namespace": "models"}, "message": "odd"}
    store.create({**odd, "lastTimestamp": last})
    old = {**odd, "metadata": {"name": "old", "namespace": "models"}, "message": "old"}
    store.create({**old, "lastTimestamp": _ago(minutes=61)})

    events.forget(store)

    assert messages(store) == {"odd"}


def test_an_events_name_is_one_that_kubernetes_takes() -> None:
    """Also of an object whose own name is as long as a name may be."""
    store = Objects()
    long = {**ABOUT, "metadata": {"name": "a" * 253, "uid": "1"}}
    events.record(store, long, "Normal", "Long", "it is long")

    (event,) = store.list_of("Event")
    assert len(event["metadata"]["name"]) == 253


def _ago(minutes: int) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
