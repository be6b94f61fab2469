"""Verdicts on counts: each guard, missing data, and the words they are told in."""

import numpy as np
import pytest

from controlplane.errors import SerinError
from controlplane.rollout.judging.evidence import Evidence, collect
from controlplane.rollout.judging.judgement import ABORT, CONTINUE, HOLD, judge
from controlplane.rollout.plan import (
    Latency,
    Objectives,
    Plan,
    parse_objectives,
    parse_seconds,
    parse_steps,
)

PLAN = Plan(objectives=Objectives(0.01, (Latency(0.99, 0.05),)))


def evidence(**changed: tuple[int, int]) -> Evidence:
    """A step at 10 %, 1,000 requests of the canary; `changed` is (stable, canary) of a count."""
    counts = {"errors": (9, 1), "slow": (90, 10), "yes": (4500, 500), "unsure": (900, 100)}
    counts |= changed
    sizes = np.array([9000.0, 1000.0])
    pair = {name: np.array(both, float) for name, both in counts.items()}
    return Evidence(
        requests=sizes,
        errors=pair["errors"],
        bounds=(0.01, 0.05),
        slower=np.stack([pair["slow"], pair["slow"] / 10, sizes], axis=1),
        classes=("no", "yes"),
        answered=np.stack([sizes - pair["yes"], pair["yes"], sizes], axis=1),
        confidences=(0.5,),
        unsure=np.stack([pair["unsure"], sizes], axis=1),
    )


def test_an_equal_canary_passes_once_the_step_lasted() -> None:
    """Held before, with what it waits for."""
    assert judge(evidence(), PLAN, 10, 60).decision == CONTINUE
    early = judge(evidence(), PLAN, 10, 30)
    assert early.decision == HOLD
    assert "30 of 60 s" in early.reason


@pytest.mark.parametrize(
    ("guard", "changed", "said"),
    [
        ("errors", {"errors": (9, 20)}, "canary 20 of 1000 (2 %), stable 9 of 9000 (0.1 %)"),
        ("errors limit", {"errors": (360, 45)}, "limit 0.01"),
        ("latency", {"slow": (90, 60)}, "above 10 ms: canary 60 of 1000 (6 %)"),
        ("latency limit", {"slow": (9000, 500)}, "above 50 ms"),
        ("classes", {"yes": (4500, 800)}, "class "),
        ("confidence", {"unsure": (900, 300)}, "confidence up to 0.5: canary 300 of 1000"),
    ],
)
def test_each_guard_aborts_with_its_numbers(
    guard: str, changed: dict[str, tuple[int, int]], said: str
) -> None:
    """At once, however short the step was."""
    found = judge(evidence(**changed), PLAN, 10, 1)

    assert found.decision == ABORT
    assert found.reason.startswith(f"{guard}: ")
    assert said in found.reason
    assert "alarm at 2.4e+03" in found.reason


def test_what_looks_bad_and_is_not_sure_yet_is_held() -> None:
    """With the numbers."""
    found = judge(evidence(errors=(9, 5)), PLAN, 10, 60)

    assert found.decision == HOLD
    assert found.reason.startswith("suspicious, errors: failed: canary 5 of 1000")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"requests": np.zeros(2), "errors": np.zeros(2)}, "no request of the canary"),
        ({"requests": np.array([0.0, 1000])}, "no request of stable"),
        ({"requests": np.array([9000.0, 499])}, "499 of 500 requests of the canary"),
        ({"bounds": (), "slower": np.zeros((2, 1))}, "no latencies"),
        ({"slower": np.array([[90.0, 9, 9000], [0, 0, 0]])}, "no latencies of the canary"),
        ({"answered": np.array([[4500.0, 4500, 9000], [0, 0, 0]])}, "no classes of the canary"),
    ],
)
def test_missing_data_is_never_a_pass(change: dict[str, object], said: str) -> None:
    """Held, with what is missing."""
    found = evidence()
    for name, value in change.items():
        setattr(found, name, value)

    verdict = judge(found, PLAN, 10, 1000)

    assert verdict.decision == HOLD
    assert said in verdict.reason


@pytest.mark.parametrize("percent", [10, 100])
def test_a_limit_beyond_the_histogram_is_never_a_pass(percent: int) -> None:
    """No bucket tells how many were slower, so nothing has been said about it."""
    plan = Plan(objectives=Objectives(0.01, (Latency(0.99, 60.0),)))

    verdict = judge(evidence(), plan, percent, 1000)

    assert verdict.decision == HOLD
    assert "last bound is 0.05 s" in verdict.reason


def test_at_100_percent_limits_still_hold() -> None:
    """Stable has no requests then, and is not missed."""
    alone = evidence()
    for counts in (alone.requests, alone.errors, alone.slower, alone.answered, alone.unsure):
        counts[0] = 0
    assert judge(alone, PLAN, 100, 60).decision == CONTINUE
    alone.errors[1] = 45
    assert judge(alone, PLAN, 100, 60).decision == ABORT


def test_what_has_no_classes_is_judged_without() -> None:
    """A text generator exports none."""
    found = evidence()
    found.classes, found.answered = (), np.zeros((2, 1))
    found.confidences, found.unsure = (), np.zeros((2, 1))

    verdict = judge(found, PLAN, 10, 60)

    assert verdict.decision == CONTINUE
    assert {one.name for one in verdict.guards}.isdisjoint({"classes", "confidence"})


def test_latencies_below_the_floor_are_not_compared() -> None:
    """A cold canary's microseconds are nobody's concern."""
    found = evidence(slow=(90, 900))
    found.bounds = (0.001, 0.05)
    found.slower[:, 1] = (9, 1)

    assert judge(found, PLAN, 10, 60).decision == CONTINUE


def test_counts_are_read_as_prometheus_gives_them() -> None:
    """Faults are errors, clients' own faults count for nothing, buckets become 'slower than'."""
    stable, canary = {"deployment": "iris-predictor"}, {"deployment": "iris-canary-predictor"}
    answers = {
        "predictor_requests_total": [
            ({**stable, "outcome": "ok"}, 90.0),
            ({**canary, "outcome": "ok"}, 8.0),
            ({**canary, "outcome": "error"}, 2.0),
            ({**canary, "outcome": "invalid"}, 5.0),
        ],
        "predictor_request_duration_seconds_bucket": [
            ({**stable, "le": "0.01"}, 60.0),
            ({**stable, "le": "+Inf"}, 90.0),
            ({**canary, "le": "0.01"}, 7.0),
            ({**canary, "le": "0.015"}, 8.0),  # of the canary's image alone: nothing to compare
            ({**canary, "le": "+Inf"}, 10.0),
        ],
        "predictor_answers_total": [({**stable, "class": "yes"}, 90.0)],
    }
    asked = []

    def ask(query: str) -> list[tuple[dict[str, str], float]]:
        asked.append(query)
        return next((found for name, found in answers.items() if f"({name}{{" in query), [])

    found = collect(ask, "models", "iris", 61.5)

    assert found.requests.tolist() == [90, 10]
    assert found.errors.tolist() == [0, 2]
    assert found.bounds == (0.01,)
    assert found.slower.tolist() == [[30, 90], [3, 10]]
    assert found.classes == ("yes",)
    assert found.answered.tolist() == [[90, 90], [0, 0]]
    assert found.confidences == ()
    assert all("[61s]" in query for query in asked)


def test_steps_objectives_and_times_are_parsed() -> None:
    """As people type them; what makes no sense is refused with an example."""
    assert parse_steps("5, 25%,100") == (5, 25, 100)
    assert parse_seconds("5ms") == 0.005
    found = parse_objectives("p99=50ms, p99.9=1.5s,errors=0.1%")
    assert found.errors == pytest.approx(0.001)
    assert [(one.name, one.seconds) for one in found.latencies] == [("p99", 0.05), ("p99.9", 1.5)]
    assert parse_objectives("") == Objectives()
    plan = Plan(objectives=found)
    assert Plan.of(plan.as_json()) == plan
    for steps in ("5,25", "100,100", "0,100", "-5,100", "five", ""):
        with pytest.raises(SerinError, match="--steps"):
            parse_steps(steps)
    for slo in ("p99", "p0=1s", "errors=100%", "latency=5ms", "p99=0ms"):
        with pytest.raises(SerinError, match="--slo"):
            parse_objectives(slo)
