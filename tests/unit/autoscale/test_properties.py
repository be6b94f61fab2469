"""What holds for every rule and every load."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.autoscale import scaler
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.rule import Controller, Rule
from tests.support.rules import reading, rule

FLAGS = Controller()
calm = settings(deadline=None, max_examples=60)  # a busy machine is no failure

policies = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Pods", "Percent"]),
            "value": st.integers(1, 200),
            "periodSeconds": st.integers(1, 120),
        }
    ),
    min_size=1,
    max_size=3,
)
directions = st.fixed_dictionaries(
    {},
    optional={
        "stabilizationWindowSeconds": st.integers(0, 600),
        "policies": policies,
        "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
    },
)
behaviors = st.none() | st.fixed_dictionaries(
    {}, optional={"scaleUp": directions, "scaleDown": directions}
)
loads = st.lists(st.none() | st.floats(0, 500, allow_nan=False), min_size=1, max_size=60)


@st.composite
def rules(draw: st.DrawFn, /, **fixed: Any) -> Rule:
    least = draw(st.integers(1, 5))
    most = draw(st.integers(least, 50))
    fields: dict[str, Any] = {"minReplicaCount": least, "maxReplicaCount": most, **fixed}
    return rule(draw(behaviors), **fields)


def replayed(wanted: Rule, load: list[float | None], start: int) -> list[int]:
    """Replicas after each sync, pods being ready at once; None in the load is a failed query."""
    state, replicas, found = scaler.start(0), start, []
    for number, value in enumerate(load):
        seen = reading(0, error="gone") if value is None else reading(value)
        scale = Scale(replicas, replicas, replicas)
        decision, state = scaler.sync(wanted, state, seen, scale, 15.0 * number, FLAGS)
        replicas = decision.desired
        found.append(replicas)
    return found


@calm
@given(rules(), loads, st.integers(1, 60))
def test_replicas_stay_between_the_bounds(
    wanted: Rule, load: list[float | None], start: int
) -> None:
    """After the first decision, never below the minimum and never above the maximum."""
    found = replayed(wanted, load, start)

    assert all(wanted.min_replica_count <= count <= wanted.max_replica_count for count in found)


@calm
@given(rules(), loads)
def test_the_same_again(wanted: Rule, load: list[float | None]) -> None:
    """A replay has no chance in it."""
    assert replayed(wanted, load, 3) == replayed(wanted, load, 3)


@calm
@given(rules(), st.integers(1, 5), st.integers(1, 40))
def test_failures_change_nothing(wanted: Rule, start: int, count: int) -> None:
    """Without a fallback, replicas within the bounds stay while the metric cannot be read."""
    current = min(max(start, wanted.min_replica_count), wanted.max_replica_count)

    assert set(replayed(wanted, [None] * count, current)) == {current}


@calm
@given(
    rules(fallback={"failureThreshold": 2, "replicas": 2, "behavior": "currentReplicasIfHigher"}),
    loads,
)
def test_a_careful_fallback_never_scales_in(wanted: Rule, load: list[float | None]) -> None:
    """currentReplicasIfHigher: a query that fails never leaves fewer replicas than before."""
    found = replayed(wanted, load, wanted.min_replica_count)

    for before, after, value in zip(found[:-1], found[1:], load[1:], strict=True):
        if value is None:
            assert after >= before


@calm
@given(rules(), st.floats(0, 400), st.integers(1, 50))
def test_a_steady_load_settles(wanted: Rule, load: float, start: int) -> None:
    """Under one load for long enough the replicas stop changing."""
    found = replayed(wanted, [load] * 400, start)

    assert len(set(found[-20:])) == 1


@calm
@given(rules(), loads)
def test_every_decision_can_be_explained(wanted: Rule, load: list[float | None]) -> None:
    """Each counterfactual names other replicas than were decided."""
    state, replicas = scaler.start(0), wanted.min_replica_count
    for number, value in enumerate(load):
        seen = reading(0, error="gone") if value is None else reading(value)
        scale = Scale(replicas, replicas, replicas)
        decision, state = scaler.sync(wanted, state, seen, scale, 15.0 * number, FLAGS)
        replicas = decision.desired

        assert decision.explain()
        assert all(other.replicas != replicas for other in decision.counterfactuals)
