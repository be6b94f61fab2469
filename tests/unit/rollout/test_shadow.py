"""Both versions' answers joined by request, and what is said of a canary that no user sees."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controlplane.rollout.judging.answers import EXAMPLES, GRACE_SECONDS, Answer, Answers, Compared
from controlplane.rollout.judging.evidence import CANARY, STABLE
from controlplane.rollout.judging.judgement import ABORT, CONTINUE, HOLD
from controlplane.rollout.judging.shadow import judge_shadow
from controlplane.rollout.plan import Plan, parse_share
from scripts.simulation.shadows import SAME, Pair, compare

PLAN = Plan(shadow=500)


def answer(label: str = "", *scores: float, outcome: str = "ok", **more: Any) -> Answer:
    return Answer("pod", str(more.pop("time", "1")), outcome, label, scores, more.pop("digest", ""))


def joined(*pairs: tuple[Answer | None, Answer | None], now: float = 0.0) -> Compared:
    """Requests 0, 1, … with their answers of stable and of the canary, counted at a time."""
    answers = Answers()
    for index, pair in enumerate(pairs):
        for arm, one in zip((STABLE, CANARY), pair, strict=True):
            if one:
                answers.add(arm, f"r-{index}", one, 0.0)
    return answers.count(now)


def test_answers_are_compared_by_class_and_by_the_distance_of_their_scores() -> None:
    """A flip is shown with its id and both answers."""
    found = joined(
        (answer("setosa", 0.9, 0.1), answer("setosa", 0.7, 0.3)),
        (answer("setosa", 0.6, 0.4), answer("other", 0.2, 0.8)),
    )

    assert (found.compared, found.classed, found.flips) == (2, 2, 1)
    assert found.farthest == pytest.approx(0.4)
    assert found.as_json()["mean_distance"] == pytest.approx(0.3)
    assert found.examples == [{"request": "r-1", "stable": "setosa 0.60", "canary": "other 0.80"}]


def test_models_without_classes_are_compared_by_digest_and_judged_by_nothing_of_it() -> None:
    """The number of differing answers is told."""
    found = joined(*[(answer(digest="a"), answer(digest="b"))] * 600)

    assert (found.both, found.differing, found.flips) == (600, 600, 0)
    assert len(found.examples) == EXAMPLES
    assert judge_shadow(found, PLAN).decision == CONTINUE


def test_what_failed_is_counted_by_who_failed() -> None:
    """What both refuse says nothing, nor does what a client gave up."""
    bad, good = answer(outcome="error"), answer("a", 1.0)
    invalid, left = answer(outcome="invalid"), answer(outcome="cancelled")

    found = joined((good, bad), (good, invalid), (bad, good), (invalid, invalid), (good, left))

    assert (found.canary_failed, found.stable_failed, found.compared) == (2, 1, 3)


def test_what_is_missing_has_time_first_and_never_counts_as_compared() -> None:
    """On either side; after what failed anyway nobody asks."""
    pairs = [(answer("a", 1.0), None), (None, answer("a", 1.0)), (answer(outcome="error"), None)]

    early, late = joined(*pairs), joined(*pairs, now=GRACE_SECONDS)

    assert (early.waiting, early.canary_missing, early.stable_missing) == (3, 0, 0)
    assert (late.waiting, late.canary_missing, late.stable_missing) == (0, 1, 1)
    assert late.compared == 0


def test_a_line_read_twice_counts_once_and_an_id_used_twice_for_nothing() -> None:
    """Looks overlap, and some clients send ids of their own."""
    answers, one = Answers(), answer("a", 1.0)
    for _ in range(2):
        answers.add(STABLE, "r", one, 0.0)
        answers.add(CANARY, "r", one, 0.0)
    assert answers.count(0.0).compared == 1

    answers.add(STABLE, "r", replace(one, time="2"), 0.0)
    answers.add(STABLE, "", one, 0.0)

    assert (answers.count(0.0).compared, answers.count(0.0).repeated) == (0, 1)


def test_too_few_answers_hold_and_say_what_is_missing() -> None:
    """Nothing is passed on missing data, however good the rest is."""
    nothing = judge_shadow(Compared(), PLAN)
    some = judge_shadow(Compared(both=499, classed=499, canary_missing=2), PLAN)

    assert (nothing.decision, some.decision) == (HOLD, HOLD)
    assert "are there requests?" in nothing.reason
    assert "499 of 500" in some.reason
    assert "2 of the canary" in some.reason
    assert judge_shadow(Compared(both=500, classed=500), PLAN).decision == CONTINUE


def test_a_version_as_good_is_hardly_ever_aborted() -> None:
    """Also where it flips as many classes as is allowed, and where both fail often."""
    random, pairs = np.random.default_rng(1), list(SAME.values())

    ends = [compare(pairs[index % 3], random)[0].decision for index in range(300)]

    assert ends.count(ABORT) == 0
    assert ends.count(CONTINUE) >= 290


@pytest.mark.parametrize(
    ("pair", "guard", "requests"),
    [
        (Pair(flips=0.3), "shadow flips", 150),
        (Pair(flips=0.15), "shadow flips", 500),
        (Pair(canary_fails=0.05), "shadow errors", 1000),
        (Pair(missing=1.0), "shadow missing", 100),
    ],
)
def test_a_worse_version_is_aborted_soon(pair: Pair, guard: str, requests: int) -> None:
    """By the guard that it is for, in all of 40 comparisons."""
    random = np.random.default_rng(2)

    ends = [compare(pair, random) for _ in range(40)]

    assert {verdict.decision for verdict, _ in ends} == {ABORT}
    assert all(verdict.reason.startswith(f"{guard}: ") for verdict, _ in ends)
    assert np.median([asked for _, asked in ends]) <= requests


def test_a_share_is_typed_as_percent_or_number() -> None:
    """2% and 0.02."""
    assert parse_share("2%") == parse_share("0.02") == pytest.approx(0.02)
