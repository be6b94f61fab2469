"""Stabilisation windows and scaling policies, in cases that upstream's tables make."""

import pytest

from controlplane.autoscale import limits
from controlplane.autoscale.limits import Entry, History
from controlplane.autoscale.rule import Controller
from tests.support.rules import rule

FLAGS = Controller()
NOW = 10_000.0


@pytest.mark.parametrize(
    ("recommendations", "asked", "expected", "kept"),
    [
        ([], 5, 5, 1),
        ([(4, 120), (5, 60)], 3, 5, 3),
        ([(1, 120), (2, 60)], 3, 3, 3),
        ([(10, 600), (9, 540)], 3, 3, 2),
        ([(10, 600), (4, 60), (5, 120), (9, 540)], 3, 5, 4),
    ],
)
def test_stabilization_without_behavior(
    recommendations: list[tuple[int, int]], asked: int, expected: int, kept: int
) -> None:
    """The highest recommendation of five minutes holds; one that is older is overwritten."""
    history = History(tuple(Entry(replicas, NOW - age) for replicas, age in recommendations))

    found = limits.stabilize(history, rule(), FLAGS, 5, asked, NOW)
    remembered = history.recommend(asked, NOW, NOW - 300)

    assert found.replicas == expected
    assert len(remembered.recommendations) == kept
    assert Entry(asked, NOW) in remembered.recommendations


@pytest.mark.parametrize(
    ("up", "down", "recommendations", "current", "asked", "expected"),
    [
        (0, 300, [(8, 200)], 8, 3, 8),  # recently 8 were asked for
        (0, 300, [(8, 301)], 8, 3, 3),
        (60, 300, [(2, 30)], 2, 9, 2),  # recently 2 were enough
        (60, 300, [(2, 61)], 2, 9, 9),
        (60, 300, [(4, 30), (7, 10)], 5, 9, 5),  # between the two limits: stay
        (60, 300, [(4, 200), (7, 200)], 5, 6, 6),
        (60, 300, [(6, 200)], 7, 3, 6),  # down as far as the highest recent recommendation
        (0, 0, [(8, 1)], 8, 3, 3),
    ],
)
def test_stabilization_with_behavior(
    up: int,
    down: int,
    recommendations: list[tuple[int, int]],
    current: int,
    asked: int,
    expected: int,
) -> None:
    """Replicas move into the span between the lowest and the highest recent recommendation."""
    wanted = rule(
        {
            "scaleUp": {"stabilizationWindowSeconds": up},
            "scaleDown": {"stabilizationWindowSeconds": down},
        }
    )
    history = History(tuple(Entry(replicas, NOW - age) for replicas, age in recommendations))

    assert limits.stabilize(history, wanted, FLAGS, current, asked, NOW).replicas == expected


TEN = [(1, 5), (5, 10), (9, 20), (42, 61)]  # 15 within a minute, 42 just before


@pytest.mark.parametrize(
    ("policies", "select", "events", "current", "asked", "expected"),
    [
        ([("Pods", 100), ("Percent", 100)], None, [], 10, 500, 110),
        ([("Pods", 2), ("Percent", 100)], None, [], 10, 500, 20),
        ([("Pods", 2), ("Percent", 100)], "Min", [], 10, 500, 12),
        ([("Pods", 2)], "Disabled", [], 10, 500, 10),
        ([("Percent", 10)], None, [], 3, 500, 4),  # rounded up
        ([("Percent", 100)], None, TEN, 100, 500, 170),  # (100 - 15) + 100 %
        ([("Percent", 200)], None, TEN, 100, 500, 255),
        ([("Pods", 150)], None, TEN, 100, 500, 235),
        ([("Pods", 5)], None, TEN, 100, 500, 100),  # 90 would be fewer than there are
        ([("Pods", 900)], None, TEN, 100, 2000, 985),
    ],
)
def test_scale_up_policies(
    policies: list[tuple[str, int]],
    select: str | None,
    events: list[tuple[int, int]],
    current: int,
    asked: int,
    expected: int,
) -> None:
    """A period's start is what there was before its own changes."""
    found = _limited("scaleUp", policies, select, events, current, asked)

    assert found == expected


@pytest.mark.parametrize(
    ("policies", "select", "events", "current", "asked", "expected"),
    [
        ([("Pods", 20), ("Percent", 1)], None, [], 100, 2, 80),
        ([("Pods", 20), ("Percent", 1)], "Min", [], 100, 2, 99),
        ([("Pods", 2)], "Disabled", [], 100, 2, 100),
        ([("Percent", 100)], None, [], 10, 0, 1),  # never below the minimum
        ([("Percent", 50)], None, [], 5, 1, 2),  # 2.5, truncated
        ([("Percent", 50)], None, TEN, 100, 2, 57),  # (100 + 15) - 50 %
        ([("Pods", 5)], None, TEN, 100, 2, 100),  # 110 would be more than there are
        ([("Pods", 30)], None, TEN, 100, 2, 85),
    ],
)
def test_scale_down_policies(
    policies: list[tuple[str, int]],
    select: str | None,
    events: list[tuple[int, int]],
    current: int,
    asked: int,
    expected: int,
) -> None:
    """Percent truncates; Min keeps the most replicas."""
    found = _limited("scaleDown", policies, select, events, current, asked)

    assert found == expected


def _limited(
    direction: str,
    policies: list[tuple[str, int]],
    select: str | None,
    events: list[tuple[int, int]],
    current: int,
    asked: int,
) -> int:
    entries = tuple(Entry(change, NOW - age) for change, age in events)
    history = History(scale_ups=entries) if direction == "scaleUp" else History(scale_downs=entries)
    listed = [{"type": kind, "value": value, "periodSeconds": 60} for kind, value in policies]
    chosen = {"selectPolicy": select} if select else {}
    wanted = rule({direction: {"policies": listed, **chosen}}, maxReplicaCount=1000)
    return limits.limit(history, wanted, current, asked, NOW).replicas
