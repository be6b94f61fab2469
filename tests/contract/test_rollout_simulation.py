"""The rates that docs/rollouts.md states: simulated with the product's code, seeds and all."""

import json
from pathlib import Path

import pytest

from predictors.runtime.observe.metrics import ModelMetrics
from scripts.simulation import rollouts
from scripts.simulation.rollouts import BOUNDS, PLAN, RESULT, SCENARIOS, Scenario, Version, simulate

FACTS = json.loads(RESULT.read_text("utf-8"))
DOCUMENT = Path(__file__).parents[2] / "docs" / "rollouts.md"


def test_the_document_shows_the_results_of_this_plan() -> None:
    """`python -m scripts.simulation.rollouts` makes both anew."""
    assert FACTS["plan"] == json.loads(json.dumps(PLAN.as_json()))
    assert [one["scenario"] for one in FACTS["results"]] == [one.name for one in SCENARIOS]
    assert rollouts.table(FACTS["results"]) in DOCUMENT.read_text("utf-8")


def test_latencies_are_counted_between_the_bounds_of_a_predictor() -> None:
    """Which the simulation may not import: its rates would be those of another histogram."""
    metrics = ModelMetrics("m", "1", "python").collect()
    (found,) = (one for one in metrics if one.name == "predictor_request_duration_seconds")
    bounds = [float(one.labels["le"]) for one in found.samples if "le" in one.labels]

    assert tuple(bounds[: len(BOUNDS)]) == BOUNDS


def test_a_version_as_good_as_stable_is_hardly_ever_aborted() -> None:
    """2,000 rollouts of the same version: the rate's upper 95 % bound is at most 1 %."""
    same = SCENARIOS[0]
    assert same.canary == same.stable

    found = rollouts.summary(same, simulate(same, PLAN, 2000, seed=2026))

    assert found["aborted_upper_95"] <= 0.01
    assert found["undecided"] <= 4  # held for more than 20 minutes
    for one in FACTS["results"][:3]:
        assert one["rollouts"] >= 2000
        assert one["aborted_upper_95"] <= 0.01


@pytest.mark.parametrize(
    ("version", "most_requests"),
    [(Version(errors=0.02), 1000), (Version(slower=1.3), 1500), (Version(tail=1.3), 5000)],
    ids=["2 % errors", "p99 +30 %", "p99 +30 %, the tail alone"],
)
def test_a_worse_version_is_aborted_soon(version: Version, most_requests: int) -> None:
    """Within so many requests of the canary's, in 95 of 100 rollouts; all in the end."""
    ends = simulate(Scenario("worse", version), PLAN, 200, seed=2026)

    assert ends.aborted.all()
    assert sorted(ends.requests)[189] <= most_requests
