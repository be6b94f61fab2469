"""The store of Kubernetes objects."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import SerinError
from controlplane.kubernetes.refusals import AlreadyExists, Conflict, Gone, NotFound
from controlplane.local.api import objects
from controlplane.local.api.objects import Objects


def deployment(name: str = "iris-predictor", replicas: int = 1) -> dict[str, Any]:
    """A Deployment in few words."""
    metadata = {"name": name, "namespace": "models"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": replicas},
    }


def test_the_system_fields_are_the_stores() -> None:
    """Whatever a client writes there: uid, version, generation and time are set here."""
    store = Objects()
    made = store.create(deployment())

    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"].endswith("Z")
    changed = store.update({**made, "spec": {"replicas": 2}})
    assert changed["metadata"]["generation"] == 2
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_a_status_is_written_apart_and_is_no_new_generation() -> None:
    """An update keeps the status, a status update keeps the spec."""
    store = Objects()
    made = store.create(deployment())
    store.set_status("Deployment", "models", "iris-predictor", {"readyReplicas": 1})

    changed = store.update({**made, "metadata": deployment()["metadata"], "spec": {"replicas": 3}})

    assert changed["status"] == {"readyReplicas": 1}
    assert changed["metadata"]["generation"] == 2
    again = store.update({**changed, "spec": {}, "status": {}}, status=True)
    assert again["spec"] == {"replicas": 3}
    assert again["metadata"]["generation"] == 2


def test_an_update_that_changes_nothing_is_no_new_version() -> None:
    """Else every reconciliation would wake every watcher."""
    store = Objects()
    made = store.create(deployment())

    assert store.update(made) == made


def test_who_read_an_older_version_is_refused() -> None:
    """Optimistic concurrency, with the API server's sentence."""
    store = Objects()
    made = store.create(deployment())
    store.update({**made, "spec": {"replicas": 2}})

    with pytest.raises(Conflict, match="the object has been modified"):
        store.update({**made, "spec": {"replicas": 3}})
    with pytest.raises(AlreadyExists):
        store.create(deployment())
    with pytest.raises(NotFound):
        store.get("Deployment", "models", "other")


def test_what_is_handed_out_is_a_copy() -> None:
    """Changing it changes nothing here."""
    store = Objects()
    made = store.create(deployment())
    made["spec"]["replicas"] = 9
    store.list_of("Deployment")[0]["spec"]["replicas"] = 9

    assert store.get("Deployment", "models", "iris-predictor")["spec"]["replicas"] == 1


def test_a_watch_sees_every_change_from_where_it_starts() -> None:
    """Changes of before it began, too, as long as they are remembered."""

    async def scenario() -> list[tuple[str, int]]:
        store = Objects()
        start = store.revision
        store.create(deployment())
        seen = []
        async for change in store.watch(start):
            seen.append((change.type, change.object["spec"]["replicas"]))
            if change.type == "ADDED":
                changed = deployment(replicas=2)
                await asyncio.to_thread(store.update, changed)
            elif change.type == "MODIFIED":
                store.delete("Deployment", "models", "iris-predictor")
            else:
                break
        return seen

    found = asyncio.run(asyncio.wait_for(scenario(), 5))

    assert found == [("ADDED", 1), ("MODIFIED", 2), ("DELETED", 2)]


def test_a_watch_from_too_long_ago_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client lists again; silence would be a lie."""
    monkeypatch.setattr(objects, "REMEMBERED", 3)
    store = Objects()
    start = store.revision
    for index in range(4):
        store.create(deployment(f"d{index}"))

    assert len(store.changes(start + 1)) == 3
    with pytest.raises(Gone):
        store.changes(start)


def test_the_history_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few changes of objects of some MiB are as much as thousands of small ones."""
    monkeypatch.setattr(objects, "REMEMBERED_BYTES", 1500)
    store = Objects()
    start = store.revision
    for index in range(4):
        store.create({**deployment(f"d{index}"), "data": "x" * 300})

    assert len(store.changes(start + 2)) == 2
    with pytest.raises(Gone):
        store.changes(start + 1)


def test_a_list_holds_one_kind_by_namespace_and_name() -> None:
    """Others of the same name are not in it, and what is deleted is not either."""
    store = Objects()
    for name in ("b", "a"):
        store.create(deployment(name))
        store.create({**deployment(name), "kind": "ReplicaSet"})
    store.delete("Deployment", "models", "a")
    store.create(deployment("c"))

    assert [one["metadata"]["name"] for one in store.list_of("Deployment")] == ["b", "c"]
    assert store.list_of("Deployment", "default") == []
    assert (store.count("Deployment"), store.count("ReplicaSet"), store.count("Job")) == (2, 2, 0)


def test_objects_survive_a_restart_and_versions_only_grow(tmp_path: Path) -> None:
    """One file; what a watcher knew before is gone, and no version is given out twice."""
    path = tmp_path / "objects.json"
    before = Objects(path)
    made = before.create(deployment())
    asyncio.run(before.save())
    unsaved = before.create(deployment("unsaved"))

    after = Objects(path)

    assert after.get("Deployment", "models", "iris-predictor") == made
    assert after.find("Deployment", "models", "unsaved") is None
    assert after.revision > int(unsaved["metadata"]["resourceVersion"])
    with pytest.raises(Gone):
        after.changes(before.revision)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    """Nothing is overwritten; the sentence says what to do."""
    path = tmp_path / "objects.json"
    path.write_text('{"format": 1, "objects": [', "utf-8")

    with pytest.raises(SerinError, match=r"objects\.json is damaged"):
        Objects(path)
    path.write_text(json.dumps({"format": 99, "revision": 1, "objects": []}), "utf-8")
    with pytest.raises(SerinError, match="another version"):
        Objects(path)
