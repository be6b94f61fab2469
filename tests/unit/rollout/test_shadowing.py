"""The phase in which a canary answers copies: before any weight, and out of it by every way."""

from dataclasses import replace

import pytest

from controlplane.rollout.judging.judgement import CONTINUE, Verdict
from controlplane.rollout.steps.acts import (
    Act,
    EndMirror,
    GiveBack,
    Next,
    OpenMirror,
    ParkMirror,
    RemoveCanary,
    Scale,
    SetCanary,
    StartMirror,
)
from controlplane.rollout.steps.machine import ABSENT_SECONDS, command, decide
from controlplane.rollout.steps.mirror import mark
from controlplane.rollout.steps.seen import MIRROR_SECONDS, SILENT_SECONDS, Mirror
from controlplane.rollout.steps.state import Outcome, Phase, State
from tests.support.rollout_world import (
    BAD,
    GOOD,
    NEW,
    PLAN,
    SHADOW,
    World,
    last,
    run,
    started,
)

MIRRORS = [StartMirror("1", NEW), OpenMirror(), ParkMirror(), EndMirror()]
"""A mirror's life: parked before and after it copies."""
SHADOWING, SCALING = (
    replace(started(SHADOW), phase=phase) for phase in (Phase.SHADOWING, Phase.SCALING)
)


def test_no_user_is_answered_by_a_canary_that_the_comparison_finds_guilty() -> None:
    """It answers copies with as many pods as stable has, and goes without ever having weight."""
    world = World()

    acts = [found.act for _, found in run(world, started(SHADOW), {0: BAD}) if found.act]
    state = last(World(), started(SHADOW), {0: BAD})

    assert world.weights == [0]
    mirror = [one for one in acts if one in [*MIRRORS, RemoveCanary()]]
    assert acts.index(Scale(canary=True, replicas=4)) < acts.index(StartMirror("1", NEW))
    assert mirror == [*MIRRORS, RemoveCanary()]
    assert (state.outcome, state.reason) == (Outcome.ABORTED, BAD.reason)
    assert [step["percent"] for step in state.steps] == [0]


def test_a_good_canary_goes_on_to_the_first_step_with_the_pods_that_it_needs() -> None:
    """What was compared is kept; the mirror ends before the first weight."""
    world, found = World(), Verdict(CONTINUE, "nothing is wrong", shadow={"flips": 3})

    acts = [one.act for _, one in run(world, started(SHADOW), {0: found}) if one.act]
    state = last(World(), started(SHADOW), {0: found})

    assert (state.outcome, state.shadow) == (Outcome.PROMOTED, {"flips": 3})
    assert [step["percent"] for step in state.steps] == [0, *PLAN.steps]
    assert acts.index(EndMirror()) < acts.index(SetCanary(NEW, 5))
    before = acts[: acts.index(SetCanary(NEW, 5))]
    assert GiveBack({"iris-canary": 1}) in before
    assert world.least == {"iris": 4, "iris-canary": 1}


def test_a_paused_comparison_goes_on_and_a_refused_mirror_ends_it() -> None:
    """Paused: judged, not passed. A gateway that mirrors nothing for half a minute: aborted."""
    world = World(canary=(NEW, 0), mirror=Mirror(mark("1", NEW)))
    state = SHADOWING
    paused = command(state, "pause", "ada", 1.0).state

    assert decide(paused, world.see(), GOOD, 10.0).state.phase is Phase.SHADOWING
    assert decide(paused, world.see(), BAD, 10.0).state.outcome is Outcome.ABORTED

    world.mirror = Mirror(mark("1", NEW), refused="BackendNotFound")
    waiting = decide(state, world.see(), GOOD, 10.0).state
    assert waiting.phase is Phase.SHADOWING
    gone = decide(waiting, world.see(), GOOD, 11.0 + ABSENT_SECONDS).state
    assert gone.outcome is Outcome.ABORTED
    assert "BackendNotFound" in gone.reason


def test_the_mirror_of_a_rollout_before_is_removed_first() -> None:
    """Its marks would not be this one's; parked before it goes, as any."""
    world, acts = World(canary=(NEW, 0), mirror=Mirror("0/old")), list[object]()

    for now in (10.0, 20.0, 30.0):
        world.now = now
        found = decide(SHADOWING, world.see(), None, now)
        acts.append(found.act)
        world.do(found.act)
        assert found.state.phase is Phase.SHADOWING

    assert acts[:2] == [ParkMirror(), EndMirror()]
    assert acts[2] != EndMirror()


@pytest.mark.parametrize(
    ("state", "then"), [(SHADOWING, OpenMirror()), (SCALING, EndMirror())], ids=["open", "end"]
)
@pytest.mark.parametrize(
    ("known", "seconds"),
    [
        (Mirror("", accepted=True), MIRROR_SECONDS),
        (Mirror("", accepted=False), SILENT_SECONDS),
    ],
    ids=["accepted", "silent"],
)
def test_a_parked_mirror_is_left_until_every_gateway_has_its_backends(
    state: State, then: Act, known: Mirror, seconds: float
) -> None:
    """Opened or removed too early, a path would name backends that a gateway does not have."""
    parked = replace(known, mark=mark("1", NEW), copies=False, since=100.0)
    world = World(canary=(NEW, 0), mirror=parked)

    assert decide(state, world.see(), None, 100.0 + seconds - 0.1) == Next(state)
    assert decide(state, world.see(), None, 100.0 + seconds) == Next(state, then)
