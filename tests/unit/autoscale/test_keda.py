"""KEDA's part: readings, zero and idle, cooldown, fallback, pauses, cron."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.autoscale import readings, scaler
from controlplane.autoscale.cron import is_active, standard
from controlplane.autoscale.decision import Decision
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.rule import Controller, Cron, Prometheus, Rule
from controlplane.autoscale.scaler import State
from tests.support.rules import document, reading, rule

FLAGS = Controller()


@pytest.mark.parametrize("ignore", [True, False])
@pytest.mark.parametrize(
    ("samples", "value", "error"),
    [
        ([], 0, "the result is empty"),
        ([math.nan], 0, "returns nan"),
        ([math.inf], 0, "returns inf"),
        ([1.0, 2.0], None, "multiple elements"),
        ([7.25], 7250, ""),
        ([0.0019], 1, ""),  # thousandths, truncated
        ([-3.0], 0, ""),
    ],
)
def test_query_result(samples: list[float], value: int | None, error: str, ignore: bool) -> None:
    """What is no number is 0 with ignoreNullValues and an error without; two are always wrong."""
    trigger = Prometheus("s0-prometheus", "", "", "q", 1000, ignore_null_values=ignore)

    found = readings.prometheus(trigger, samples)

    if value is None or (error and not ignore):
        assert error in found.error
    else:
        assert (found.value, found.error) == (value, "")


@pytest.mark.parametrize(("value", "active"), [(5.0, False), (5.001, True), (0.0, False)])
def test_activation_is_strictly_more(value: float, active: bool) -> None:
    """A value equal to activationThreshold wakes nobody."""
    trigger = Prometheus("s0-prometheus", "", "", "q", 1000, activation=5.0)

    assert readings.prometheus(trigger, [value]).active is active


def polled(
    wanted: Rule, state: State, value: float, replicas: int, now: float, **more: Any
) -> tuple[Decision, State]:
    scale = Scale(replicas, replicas, replicas)
    return scaler.poll(wanted, state, reading(value, **more), scale, now)


def test_zero_to_one_and_back() -> None:
    """A trigger above its activation wakes the target; quiet for the cooldown, it sleeps."""
    wanted = rule(cooldownPeriod=30)
    state = scaler.start(0)

    woken, state = polled(wanted, state, 3, 0, 100)
    cooling, state = polled(wanted, state, 0, 1, 130)
    asleep, _ = polled(wanted, state, 0, 1, 130.1)

    assert (woken.desired, woken.rule) == (1, "KEDAScaleTargetActivated")
    assert woken.event == (
        "Scaled apps/v1.Deployment models/web from 0 to 1, triggered by s0-prometheus"
    )
    assert (cooling.desired, cooling.rule) == (1, "ScalerCooldown")
    assert "would be 0 without the 30 s cooldown" in cooling.explain()
    assert (asleep.desired, asleep.rule) == (0, "KEDAScaleTargetDeactivated")


def test_waking_goes_to_the_minimum() -> None:
    """From zero a target goes straight to minReplicaCount."""
    found, _ = polled(rule(minReplicaCount=3), scaler.start(0), 1, 0, 100)

    assert found.desired == 3


def test_initial_cooldown() -> None:
    """A target that was never active is spared for initialCooldownPeriod, not cooldownPeriod."""
    wanted = rule(initialCooldownPeriod=60, cooldownPeriod=600)

    assert polled(wanted, scaler.start(0), 0, 2, 60)[0].desired == 2
    assert polled(wanted, scaler.start(0), 0, 2, 61)[0].desired == 0


def test_idle_replicas() -> None:
    """The idle number stands while quiet, minReplicaCount as soon as something is active."""
    wanted = rule(idleReplicaCount=0, minReplicaCount=2, cooldownPeriod=10)

    assert polled(wanted, scaler.start(0), 0, 4, 100)[0].desired == 0
    assert polled(wanted, scaler.start(0), 1, 0, 100)[0].desired == 2
    assert polled(wanted, scaler.start(0), 0, 0, 100)[0].desired == 0


def test_with_a_minimum_keda_leaves_scaling_in_to_the_hpa() -> None:
    """Quiet with minReplicaCount 1 changes nothing at a poll."""
    found, _ = polled(rule(minReplicaCount=1), scaler.start(0), 0, 5, 1000)

    assert (found.desired, found.rule) == (5, "ScalerNotActive")


def test_an_error_never_puts_to_sleep() -> None:
    """Without a fallback a failed query stops KEDA from doing anything."""
    found, _ = polled(rule(cooldownPeriod=1), scaler.start(0), 0, 1, 1000, error="no answer")

    assert (found.desired, found.rule) == (1, "TriggerError")


@pytest.mark.parametrize(
    ("behavior", "current", "expected"),
    [
        (None, 5, 3),
        ("static", 5, 3),
        ("static", 2, 3),
        ("currentReplicas", 5, 5),
        ("currentReplicas", 2, 2),
        ("currentReplicasIfHigher", 5, 5),
        ("currentReplicasIfHigher", 2, 3),
        ("currentReplicasIfLower", 5, 3),
        ("currentReplicasIfLower", 2, 2),
    ],
)
@pytest.mark.parametrize("kind", ["AverageValue", "Value"])
def test_fallback(behavior: str | None, current: int, expected: int, kind: str) -> None:
    """After failureThreshold failures in a row the stand-in leads the HPA to the fallback."""
    chosen = {"behavior": behavior} if behavior else {}
    fields = document()["spec"]["triggers"][0] | {"metricType": kind}
    wanted = rule(
        {"scaleDown": {"stabilizationWindowSeconds": 0}},
        fallback={"failureThreshold": 2, "replicas": 3, **chosen},
        triggers=[fields],
    )
    state, scale = scaler.start(0), Scale(current, current, current)
    found = []
    for number in range(3):
        decision, state = scaler.sync(
            wanted, state, reading(0, error="gone"), scale, 15.0 * number, FLAGS
        )
        found.append(decision.desired)
    back, state = scaler.sync(wanted, state, reading(10 * current), scale, 45, FLAGS)

    assert found == [current, current, expected]
    assert f"s0-prometheus: fallback to {expected} replicas after 3 failures" in decision.explain()
    assert state.memory.failure_counts == {"s0-prometheus": 0}
    assert back.scaling_active[0]


def test_fallback_of_value_needs_a_ready_pod() -> None:
    """Type Value divides by ready pods; with none the failure stays a failure."""
    fields = document()["spec"]["triggers"][0] | {"metricType": "Value"}
    wanted = rule(fallback={"failureThreshold": 0, "replicas": 3}, triggers=[fields])

    found, _ = scaler.sync(
        wanted, scaler.start(0), reading(0, error="gone"), Scale(2, 2, 0), 0, FLAGS
    )

    assert (found.desired, found.scaling_active[0]) == (2, False)


def annotated(name: str, value: str = "true", **spec: Any) -> Rule:
    from controlplane.autoscale import parsing

    tree = document(**spec)
    tree["metadata"]["annotations"] = {f"autoscaling.keda.sh/{name}": value}
    return parsing.rule(tree)


def test_paused() -> None:
    """A paused ScaledObject keeps its replicas, or takes those that the annotation names."""
    scale = Scale(4, 4, 4)
    kept, _ = polled(annotated("paused"), scaler.start(0), 100, 4, 0)
    named, _ = polled(annotated("paused-replicas", "2"), scaler.start(0), 100, 4, 0)
    hpa, _ = scaler.sync(annotated("paused"), scaler.start(0), reading(900), scale, 0, FLAGS)

    assert (kept.desired, named.desired, hpa.desired) == (4, 2, 4)
    assert annotated("paused", "false").paused is False
    assert annotated("paused", "nonsense").paused is True


def test_one_direction_paused() -> None:
    """paused-scale-in and paused-scale-out disable one direction, of KEDA and of the HPA."""
    scale = Scale(4, 4, 4)

    def after(wanted: Rule, value: float) -> int:
        state = scaler.start(0)
        _, state = scaler.sync(wanted, state, reading(40), scale, 0, FLAGS)
        return scaler.sync(wanted, state, reading(value), scale, 1000, FLAGS)[0].desired

    assert after(annotated("paused-scale-in"), 10) == 4
    assert after(annotated("paused-scale-in"), 60) == 6
    assert after(annotated("paused-scale-out"), 60) == 4
    assert after(annotated("paused-scale-out"), 10) == 1
    assert polled(annotated("paused-scale-in"), scaler.start(0), 0, 1, 999)[0].desired == 1
    assert polled(annotated("paused-scale-out"), scaler.start(0), 9, 0, 999)[0].desired == 0


def test_forced_activation() -> None:
    """The annotation wakes a target whose triggers are quiet."""
    found, _ = polled(annotated("force-activation"), scaler.start(0), 0, 0, 0)

    assert found.desired == 1


def test_cached_metrics() -> None:
    """With useCachedMetrics the HPA sees what the last poll saw."""
    fields = document()["spec"]["triggers"][0] | {"useCachedMetrics": True}
    wanted = rule({"scaleUp": {}}, triggers=[fields])
    _, state = polled(wanted, scaler.start(0), 20, 1, 0)

    found, _ = scaler.sync(wanted, state, reading(90), Scale(1, 1, 1), 15, FLAGS)

    assert found.desired == 2


@pytest.mark.parametrize(
    ("at", "active"),
    [
        ("08:59:59", False),
        ("09:00:00", True),
        ("12:00:00", True),
        ("16:59:59", True),
        ("17:00:00", False),
        ("23:00:00", False),
    ],
)
@pytest.mark.parametrize(("zone", "hours"), [("UTC", 0), ("Asia/Tokyo", 9)])
def test_cron(at: str, active: bool, zone: str, hours: int) -> None:
    """A cron trigger is active from start to end, in its own time zone."""
    cron = Cron("s0-cron", "", zone, "0 9 * * *", "0 17 * * *", 5)
    now = datetime.fromisoformat(f"2026-03-10T{at}").replace(tzinfo=UTC).timestamp()

    assert is_active(cron, now - hours * 3600) is active


@pytest.mark.parametrize(
    ("time", "same"),
    [
        ("0 0 ? * *", "0 0 * * *"),
        ("0 0 * * MON-FRI", "0 0 * * 1-5"),
        ("5/20 * * jan,MAR *", "5-59/20 * * 1,3 *"),
        ("*/15 */1 */2 * *", "0-59/15 * 1-31/2 * *"),
        ("@daily", "0 0 * * *"),
    ],
)
def test_kedas_grammar_of_time(time: str, same: str) -> None:
    """Question marks, names, steps from a number, descriptors."""
    assert standard(time) == same


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ("0 0 * * 7", r"end of range \(7\) above maximum \(6\)"),
        ("0 0 0 * * *", "expected exactly 5 fields, found 6"),
        ("0 0 L * *", "failed to parse int from L"),
        ("0 0 * * 1#2", "failed to parse int from 1#2"),
        ("0 0 0 * *", "below minimum"),
        ("0 0 * * 5-1", "beyond end of range"),
        ("0 0 1-2-3 * *", "too many hyphens"),
        ("*/0 * * * *", "step of range should be a positive number"),
        ("@every 1h", "unrecognized descriptor"),
        ("0,,1 * * * *", "failed to parse int"),
    ],
)
def test_times_that_keda_refuses(time: str, said: str) -> None:
    """Other crons take them; a window that works on a laptop alone is no help."""
    with pytest.raises(ValueError, match=said):
        standard(time)


def test_cron_over_midnight() -> None:
    """An end before the start belongs to the next day."""
    cron = Cron("s0-cron", "", "UTC", "0 22 * * *", "0 6 * * *", 5)
    at = datetime(2026, 3, 10, tzinfo=UTC).timestamp()

    assert [is_active(cron, at + hour * 3600) for hour in (5, 7, 21, 23)] == [
        True,
        False,
        False,
        True,
    ]


def test_cron_replicas() -> None:
    """Active, a cron trigger asks for its desiredReplicas; else for one."""
    cron = Cron("s0-cron", "", "UTC", "0 9 * * *", "0 17 * * *", 5)
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()

    assert readings.cron(cron, noon).value == 5000
    assert readings.cron(cron, noon + 8 * 3600).value == 1000
