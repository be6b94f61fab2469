"""Where a rollback leads."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.store.catalog import Catalog, Object, Version
from controlplane.store.served import target


def version(name: str, day: int, **metrics: Any) -> Version:
    """A published version of iris."""
    written = Object(f"iris/{name}/MANIFEST.json", 1, datetime(2026, 1, day, tzinfo=UTC))
    return Version("iris", name, (written,), {"metrics": metrics})


PUBLISHED = [version("a1", 1), version("b2", 2), version("c3", 3), version("s4", 4, smoke=True)]


class Shelf(Catalog):
    """A catalog without a store."""

    def __init__(self, versions: Iterable[Version]) -> None:
        self.all = sorted(versions, key=lambda one: one.published_at, reverse=True)


def replica_set(name: str, revision: int, *, served: bool = True) -> dict[str, Any]:
    """A template that iris' Deployment had."""
    marks = {"deployment.kubernetes.io/revision": str(revision)}
    if served:
        marks["serin/served"] = "true"
    uri = f"s3://models/iris/{name}"
    source = "internal.serving.kserve.io/storage-initializer-sourceuri"
    return {
        "metadata": {"annotations": marks, "ownerReferences": [{"name": "iris-predictor"}]},
        "spec": {"template": {"metadata": {"annotations": {source: uri}}}},
    }


@pytest.mark.parametrize(
    ("history", "current", "answering", "expected"),
    [
        ([], "c3", {"c3"}, "b2"),  # served nothing before: the one published before
        ([("a1", 1), ("c3", 2)], "c3", {"c3"}, "a1"),
        ([("c3", 2), ("a1", 3)], "a1", {"a1"}, "c3"),  # and forth again
        ([("b2", 1), ("a1", 3)], "x", {"a1"}, "a1"),  # a failed target: what answers
        ([("b2", 1), ("a1", 3)], "c3", {"a1"}, "a1"),  # one that starts: the same
        ([("a1", 1), ("c3", 2)], "c3", set(), "a1"),  # nothing answers: what served before
        ([("s4", 1), ("c3", 2)], "c3", {"c3"}, "b2"),  # never to a smoke version by itself
    ],
)
def test_a_rollback_goes_to_what_served(
    history: list[tuple[str, int]], current: str, answering: set[str], expected: str
) -> None:
    """To what answers while the target does not, else to what was served last before."""
    sets = [replica_set(name, revision) for name, revision in history]
    sets.append(replica_set("b2" if expected != "b2" else "a1", 9, served=False))

    found = target(Shelf(PUBLISHED), "iris", f"s3://models/iris/{current}", sets, None, answering)

    assert found.version == expected


def test_a_named_version_may_be_any() -> None:
    """The beginning of its name is enough, of a smoke version too."""
    found = target(Shelf(PUBLISHED), "iris", "s3://models/iris/c3", [], "s", {"c3"})

    assert found.version == "s4"
