"""The state machine on a model of a cluster: kills anywhere, other people's edits, commands."""

from dataclasses import replace

import pytest

from controlplane.rollout.judging.judgement import HOLD, Verdict
from controlplane.rollout.plan import Plan
from controlplane.rollout.steps.acts import RemoveCanary, Scale, SetCanary, SetStable
from controlplane.rollout.steps.machine import ABSENT_SECONDS, command, decide
from controlplane.rollout.steps.state import Outcome, Phase
from tests.support.rollout_world import (
    BAD,
    GOOD,
    NEW,
    OLD,
    PLAN,
    SHADOW,
    World,
    last,
    run,
    started,
)

PLANS = pytest.mark.parametrize("plan", [PLAN, SHADOW], ids=["plain", "shadow"])


def test_a_good_version_is_promoted_in_the_order_that_loses_nothing() -> None:
    """Scaled before each weight; stable renewed at weight 0; the canary drained, then removed."""
    world = World()

    acts = [found.act for _, found in run(world, started(), {}) if found.act]

    assert [one for one in acts if isinstance(one, (SetCanary, SetStable, RemoveCanary))] == [
        *(SetCanary(NEW, percent) for percent in (0, 5, 25, 50, 100)),
        SetStable(NEW),
        SetCanary(NEW, 0),
        RemoveCanary(),
    ]
    needed = {50: 2, 100: 4}  # of stable's four; one pod carries 25 %
    for percent, replicas in needed.items():
        assert acts.index(Scale(canary=True, replicas=replicas)) < acts.index(
            SetCanary(NEW, percent)
        )
    assert world.least == {"iris": 4, "iris-canary": 1}
    assert world.stable_uri == NEW
    assert world.canary is None


@pytest.mark.parametrize("guilty", PLAN.steps)
def test_a_guilty_version_goes_at_the_step_that_shows_it(guilty: int) -> None:
    """No later weight is ever set; what served before serves all."""
    world = World()

    state = last(world, started(), {guilty: BAD})

    assert state.outcome is Outcome.ABORTED
    assert state.reason == BAD.reason
    assert state.steps[-1]["percent"] == guilty
    assert world.weights == [0, *(p for p in PLAN.steps if p <= guilty), 0]
    assert (world.stable_uri, world.canary) == (OLD, None)
    assert world.least == {"iris": 4, "iris-canary": 1}


def ticks(verdicts: dict[int, Verdict], plan: Plan = PLAN) -> list[tuple[Phase, int]]:
    return [(state.phase, state.step) for state, _ in run(World(), started(plan), verdicts)]


@PLANS
@pytest.mark.parametrize("verdicts", [{}, {25: BAD}, {0: BAD}], ids=["good", "guilty", "dark"])
@pytest.mark.parametrize("when", ["before it acted", "before it wrote", "after it wrote"])
def test_a_kill_at_any_tick_changes_nothing(
    verdicts: dict[int, Verdict], when: str, plan: Plan
) -> None:
    """The next engine reads what was written, does it again, and ends where it would have ended."""
    undisturbed = World()
    expected = last(undisturbed, started(plan), verdicts)
    phases = {phase for phase, _ in ticks(verdicts, plan)}
    assert (Phase.SHADOWING in phases) == bool(plan.shadow)
    if not (plan.shadow and 0 in verdicts):
        assert phases >= {Phase.PREPARING, Phase.SCALING, Phase.SHIFTING, Phase.JUDGING}

    for killed_at in range(len(ticks(verdicts, plan))):
        world, state = World(), started(plan)
        for tick, (before, found) in enumerate(run(world, state, verdicts)):
            state = found.state
            if tick == killed_at:
                if when != "before it acted":
                    world.do(found.act)
                state = found.state if when == "after it wrote" else before
                break
        end = last(world, state, verdicts)

        assert (end.outcome, end.reason) == (expected.outcome, expected.reason)
        assert world.weights == undisturbed.weights, f"killed at tick {killed_at} {when}"
        assert world.least == undisturbed.least
        assert (world.stable_uri, world.canary) == (undisturbed.stable_uri, undisturbed.canary)
        assert world.mirror is None


EDITS = {
    "another version of stable": lambda world: setattr(world, "stable_uri", "s3://models/iris/x"),
    "another canary": lambda world: setattr(world, "canary", ("s3://models/iris/x", 5)),
    "another weight": lambda world: setattr(world, "canary", (NEW, 37)),
    "another spec": lambda world: setattr(world, "spec", "edited"),
}


@PLANS
@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_in_any_phase_makes_the_engine_step_back(edit: str, plan: Plan) -> None:
    """It leaves what the person wrote, says what it found, and gives scaling back."""
    for edited_at in range(len(ticks({}, plan))):
        world, state = World(), started(plan)
        for tick, (_, found) in enumerate(run(world, state, {})):
            state = found.state
            if tick == edited_at:
                world.do(found.act)
                break
        if state.is_over:
            continue
        EDITS[edit](world)
        made = (world.stable_uri, world.canary, world.spec)

        end = last(world, state, {})

        assert end.outcome is Outcome.LEFT, f"after tick {edited_at}: {state.phase}"
        assert end.reason
        assert (world.stable_uri, world.canary, world.spec) == made
        assert world.least == {"iris": 4, "iris-canary": 1}
        assert world.mirror is None


def test_a_removed_canary_is_noticed() -> None:
    """Kubectl patch with canary null, while requests are judged."""
    world = World(canary=(NEW, 5))
    judging = replace(started(), phase=Phase.JUDGING, weight=5)
    world.canary = None

    found = decide(judging, world.see(), GOOD, 10.0)

    assert found.state.outcome is Outcome.LEFT
    assert "no canary" in found.state.reason
    assert decide(judging, None, None, 10.0).state.outcome is Outcome.LEFT


def test_hold_and_pause_stay_where_they_are_and_a_guilty_canary_still_goes() -> None:
    """A paused rollout judges on; resumed, it passes."""
    world = World(canary=(NEW, 5))
    judging = replace(started(), phase=Phase.JUDGING, weight=5)

    held = decide(judging, world.see(), Verdict(HOLD, "3 of 500 requests"), 10.0).state
    paused = command(judging, "pause", "ada", 10.0).state

    assert held.phase is Phase.JUDGING
    assert held.verdict["reason"] == "3 of 500 requests"
    assert decide(judging, world.see(), None, 10.0).state.phase is Phase.JUDGING
    assert decide(paused, world.see(), GOOD, 10.0).state.phase is Phase.JUDGING
    assert decide(paused, world.see(), BAD, 10.0).state.outcome is Outcome.ABORTED
    resumed = command(paused, "resume", "ada", 10.0).state
    assert decide(resumed, world.see(), GOOD, 10.0).state.step == 1


@PLANS
@pytest.mark.parametrize("word", ["promote", "abort"])
def test_a_word_ends_it_from_any_tick(word: str, plan: Plan) -> None:
    """Promote goes to 100 % whatever guards say; abort leads back, even while stable is renewed."""
    for told_at in range(len(ticks({}, plan))):
        world, state = World(), started(plan)
        for tick, (_, found) in enumerate(run(world, state, {})):
            state = found.state
            if tick == told_at:
                world.do(found.act)
                break
        too_late = state.outcome is Outcome.PROMOTED and state.phase is not Phase.RENEWING
        state = command(state, word, "ada", 5.0).state

        end = last(world, state, dict.fromkeys((0, *PLAN.steps), Verdict(HOLD, "too few")))

        promoted = word == "promote" or too_late
        assert end.outcome is (Outcome.PROMOTED if promoted else Outcome.ABORTED)
        assert world.stable_uri == (NEW if promoted else OLD)
        assert world.canary is None
        assert world.mirror is None


def test_each_verdict_is_told_once_whatever_its_numbers_do() -> None:
    """As Events: hold by its kind, and continue with its reason."""
    world = World(canary=(NEW, 5))
    state = replace(started(), phase=Phase.JUDGING, weight=5)
    reasons = [
        "3 of 500 requests",
        "90 of 500 requests",
        "suspicious, errors: 4",
        "suspicious, errors: 5",
    ]
    told = []
    for reason in reasons:
        found = decide(state, world.see(), Verdict(HOLD, reason), 10.0)
        state = found.state
        told += [note.text for note in found.notes]
    told += [note.text for note in decide(state, world.see(), GOOD, 20.0).notes]

    assert told == ["5 %: 3 of 500 requests", "5 %: suspicious, errors: 4", "5 %: nothing is wrong"]


def test_a_canary_that_does_not_start_or_dies_is_given_up() -> None:
    """With the Deployment's reason; with its own time limit; and once it has no pod for long."""
    broken = last(World(failed="is not published"), started(), {})
    assert broken.outcome is Outcome.ABORTED
    assert "is not published" in broken.reason

    slow = replace(started(), plan=replace(PLAN, start_seconds=60))
    world = World(canary=(NEW, 0), dead=True)
    assert decide(slow, world.see(), None, 59.0).state.outcome is None
    assert "within 60 s" in decide(slow, world.see(), None, 61.0).state.reason

    world = World(canary=(NEW, 5), dead=True)
    judging = replace(started(), phase=Phase.JUDGING, weight=5)
    waiting = decide(judging, world.see(), GOOD, 10.0).state
    assert waiting.phase is Phase.JUDGING
    gone = decide(waiting, world.see(), GOOD, 11.0 + ABSENT_SECONDS).state
    assert gone.outcome is Outcome.ABORTED
    assert "no pod" in gone.reason
