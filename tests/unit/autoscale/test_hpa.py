"""The HPA's arithmetic, in cases that upstream's tables make (replica_calculator, horizontal)."""

from typing import Any

import pytest

from controlplane.autoscale import hpa
from controlplane.autoscale.decision import Decision
from controlplane.autoscale.hpa import Seen
from controlplane.autoscale.limits import Entry, History
from controlplane.autoscale.proposals import Scale, Tolerances, external, resource
from controlplane.autoscale.readings import PodUsage, Reading
from controlplane.autoscale.rule import Controller, MetricType, Prometheus, Resource
from tests.support.rules import reading, rule

FLAGS = Controller()
NEAR = Tolerances(0.1, 0.1)
NOW = 10_000.0


def steady(current: int, asked: float = 0, **fields: Any) -> Decision:
    """One decision of an HPA whose memory is empty but for one recommendation that is too old."""
    old = History(recommendations=(Entry(current, NOW - 4000),))
    seen = Seen(Scale(current, current, current), reading(asked))
    return hpa.decide(rule(**fields), old, seen, NOW, FLAGS)[0]


@pytest.mark.parametrize(
    ("kind", "target", "usage", "scale", "expected"),
    [
        ("Value", 6666, 8600, Scale(3, 3, 3), 4),  # TestScaleUpCMExternal
        ("AverageValue", 2222, 8600, Scale(3, 3, 3), 4),  # TestScaleUpPerPodCMExternal
        ("Value", 14400, 8600, Scale(5, 5, 5), 3),  # TestScaleDownCMExternal
        ("AverageValue", 3000, 8600, Scale(5, 5, 5), 3),  # TestScaleDownPerPodCMExternal
        ("AverageValue", 1000, 10999, Scale(10, 10, 10), 10),  # within 10 %
        ("AverageValue", 1000, 11001, Scale(10, 10, 10), 12),  # past it: all of it, rounded up
        ("AverageValue", 1000, 9000, Scale(10, 10, 10), 10),
        ("AverageValue", 1000, 8999, Scale(10, 10, 10), 9),
        ("Value", 1000, 2000, Scale(4, 4, 1), 2),  # unready pods are not multiplied
        ("AverageValue", 1000, 0, Scale(4, 4, 4), 0),
        ("AverageValue", 1, 2**62, Scale(1, 1, 1), 2**31 - 1),  # saturates
    ],
)
def test_external_metric(kind: str, target: int, usage: int, scale: Scale, expected: int) -> None:
    """A metric from KEDA asks for the total over the target, or for the ratio of what is ready."""
    trigger = Prometheus("s0-prometheus", "", "", "", target, metric_type=MetricType(kind))

    found = external(trigger, Reading("s0-prometheus", usage), scale, NEAR, "web")

    assert found.replicas == expected


@pytest.mark.parametrize(
    ("target", "usages", "ready", "replicas", "expected"),
    [
        (30, [300, 500, 700], "rrr", 3, 5),  # TestScaleUp
        (50, [100, 300, 500, 250, 250], "rrrrr", 5, 3),  # TestScaleDown
        (50, [100, 300, 500, 250, 250], "rrruu", 5, 2),  # TestScaleDownIncludeUnreadyPods
        (30, [100, 500, 700], "urr", 3, 4),  # unready pods use nothing on the way up
        (100, [None, 95], "rr", 2, 2),  # a missing pod uses all of its request on the way down
        (100, [None, 3000], "rr", 2, 3),  # and nothing on the way up: 1500 of 1000 a pod
        (50, [510, 520], "rr", 2, 2),  # whole percent, 51 to 50: near enough
        (50, [500, 500, 5000], "rrd", 2, 2),  # a pod that leaves does not count
        (50, [900, None], "rp", 2, 2),  # pending: 90 % turns into 45 %, the other direction
    ],
)
def test_cpu_utilization(
    target: int, usages: list[int | None], ready: str, replicas: int, expected: int
) -> None:
    """Processor time is compared with what pods request, missing and unready ones apart."""
    pods = [
        PodUsage(
            f"pod-{number}",
            1000,
            usage,
            phase="Pending" if how == "p" else "Running",
            ready=how == "r",
            deleting=how == "d",
            started_at=NOW - 60,
        )
        for number, (usage, how) in enumerate(zip(usages, ready, strict=True))
    ]
    trigger = Resource("", MetricType.UTILIZATION, target)

    found = resource(trigger, pods, Scale(replicas, replicas, replicas), NEAR, FLAGS, NOW)

    assert found.replicas == expected


@pytest.mark.parametrize(
    ("current", "asked", "most", "expected", "reason"),
    [
        (3, 10_000, 10, 6, "ScaleUpLimit"),
        (1, 10_000, 100, 4, "ScaleUpLimit"),
        (3, 10_000, 5, 5, "TooManyReplicas"),
        (3, 0, 10, 1, "TooFewReplicas"),
        (3, 35, 10, 4, "DesiredWithinRange"),
    ],
)
def test_limits_without_behavior(
    current: int, asked: float, most: int, expected: int, reason: str
) -> None:
    """At most double, or 4; and never past minimum and maximum."""
    found = steady(current, asked, maxReplicaCount=most)

    assert (found.desired, found.scaling_limited[1]) == (expected, reason)


def test_bounds_come_before_metrics() -> None:
    """More than the maximum is cut and less than the minimum filled up, whatever metrics say."""
    assert steady(9, 1000, maxReplicaCount=5).desired == 5
    assert steady(1, 0, minReplicaCount=3).event == (
        "New size: 3; reason: Current number of replicas below Spec.MinReplicas"
    )


def test_nothing_is_done_at_zero() -> None:
    """An HPA rests while its target has no replicas: waking it is KEDA's part."""
    found = steady(0, 1000)

    assert (found.desired, found.rule) == (0, "ScalingDisabled")


def test_the_first_look_remembers_the_size() -> None:
    """A new HPA does not scale in before its window is over."""
    seen = Seen(Scale(5, 5, 5), reading(1))

    first, history = hpa.decide(rule(), History(), seen, NOW, FLAGS)
    later, _ = hpa.decide(rule(), history, seen, NOW + 301, FLAGS)

    assert (first.desired, first.rule) == (5, "ScaleDownStabilized")
    assert later.desired == 1


@pytest.mark.parametrize(("asked", "expected"), [(80, 8), (20, 4)])
def test_one_failed_metric_of_two(asked: float, expected: int) -> None:
    """Growing on the other is allowed, shrinking is not."""
    two = rule(
        {"scaleUp": {}},
        triggers=[
            {
                "type": "prometheus",
                "metadata": {"serverAddress": "p", "query": q, "threshold": "10"},
            }
            for q in ("a", "b")
        ],
    )
    readings = reading(asked) | reading(0, "s1-prometheus", error="no answer")

    found, _ = hpa.decide(two, History(), Seen(Scale(4, 4, 4), readings), NOW, FLAGS)

    assert found.desired == expected
    assert found.scaling_active[0] is (expected == 8)


def test_all_metrics_failed() -> None:
    """Nothing happens and the reason is the first failure."""
    seen = Seen(Scale(4, 4, 4), reading(0, error="no answer"))

    found, history = hpa.decide(rule(), History(), seen, NOW, FLAGS)

    assert found.desired == 4
    assert found.rule == "FailedGetExternalMetric"
    assert "no answer" in found.event
    assert [entry.replicas for entry in history.recommendations] == [4]


def test_the_highest_of_several_metrics_wins() -> None:
    """Each metric proposes, and the most replicas win."""
    two = rule(
        triggers=[
            {
                "type": "prometheus",
                "metricType": kind,
                "metadata": {"serverAddress": "p", "query": "q", "threshold": "10"},
            }
            for kind in ("AverageValue", "Value")
        ]
    )
    readings = reading(40) | reading(30, "s1-prometheus")

    found, _ = hpa.decide(two, History(), Seen(Scale(3, 3, 3), readings), NOW, FLAGS)

    assert [proposal.replicas for proposal in found.proposals] == [4, 9]
    assert found.desired == 6  # the legacy limit: double


def test_own_tolerance() -> None:
    """A behavior's tolerance replaces the controller's in its direction."""
    close = {"scaleUp": {"tolerance": "0.02"}}

    assert steady(10, 105).desired == 10
    assert steady(10, 105, behavior=close).desired == 11
    assert steady(10, 95, behavior=close).desired == 10


def test_explanation() -> None:
    """A decision says what it saw and what each rule that mattered kept from happening."""
    wanted = rule({"scaleDown": {"stabilizationWindowSeconds": 300}}, minReplicaCount=1)
    history = History((Entry(9, NOW - 60),))

    found, _ = hpa.decide(wanted, history, Seen(Scale(9, 9, 9), reading(63)), NOW, FLAGS)

    assert found.desired == 9
    assert found.explain() == (
        "HPA ScaleDownStabilized: 9 stays; recent recommendations were higher than current one, "
        "applying the highest recent recommendation; external metric s0-prometheus 7 to 10 a "
        "replica asks for 7; would be 7 without the 300 s scale-down window"
    )
