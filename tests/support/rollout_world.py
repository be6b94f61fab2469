"""A cluster that follows at once, for the rollout's state machine, and runs of it to their end."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from controlplane.rollout.judging.judgement import ABORT, CONTINUE, Verdict
from controlplane.rollout.plan import Plan
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
    SetStable,
    StartMirror,
)
from controlplane.rollout.steps.machine import decide
from controlplane.rollout.steps.mirror import mark
from controlplane.rollout.steps.seen import Mirror, Seen, Workload
from controlplane.rollout.steps.state import Phase, State

OLD, NEW = "s3://models/iris/old", "s3://models/iris/new"
GOOD = Verdict(CONTINUE, "nothing is wrong")
BAD = Verdict(ABORT, "errors: 20 of 100")
PLAN = Plan(steps=(5, 25, 50, 100), settle_seconds=0)
SHADOW = replace(PLAN, shadow=500)


@dataclass
class World:
    """A cluster that follows its spec at once; ScaledObjects hold replicas at their minimum."""

    stable_uri: str = OLD
    canary: tuple[str, int] | None = None
    least: dict[str, int] = field(default_factory=lambda: {"iris": 4, "iris-canary": 1})
    weights: list[int] = field(default_factory=list)
    """Every weight that the canary ever got, in order."""
    spec: str = "spec"
    failed: str = ""
    dead: bool = False
    mirror: Mirror | None = None
    now: float = 0.0

    def see(self) -> Seen:
        uri, percent = self.canary or ("", 0)
        pods = 0 if self.dead else self.least["iris-canary"]
        running = bool(uri) and not self.failed
        return Seen(
            stable_uri=self.stable_uri,
            canary_uri=uri,
            percent=percent,
            spec=self.spec,
            routed=percent if running else 0,
            mirror=self.mirror,
            stable=_pods(self.stable_uri, self.least["iris"], "iris"),
            canary=replace(
                _pods(uri, pods if running else 0, "iris-canary"),
                least=self.least["iris-canary"],
                rolled=running,
                failed=self.failed,
            ),
        )

    def do(self, act: Act | None) -> None:
        match act:
            case StartMirror(rollout, uri):
                assert self.canary == (NEW, 0)
                self.mirror = Mirror(mark(rollout, uri), copies=False, since=self.now)
            case OpenMirror() | ParkMirror():
                assert self.mirror is not None
                opens = isinstance(act, OpenMirror)
                self.mirror = replace(self.mirror, copies=opens, since=self.now)
            case EndMirror():
                assert self.mirror is None or not self.mirror.copies, "its backends go first"
                self.mirror = None
            case SetCanary(uri, percent):
                assert self.mirror is None, "no user's request while requests are mirrored"
                self.canary = (uri, percent)
                if self.weights[-1:] != [percent]:
                    self.weights.append(percent)
            case RemoveCanary():
                self.canary = None
            case SetStable(uri):
                self.stable_uri = uri
            case Scale(canary, replicas):
                self.least["iris-canary" if canary else "iris"] = replicas
            case GiveBack(least):
                self.least |= least


def _pods(uri: str, count: int, by: str) -> Workload:
    return Workload(uri, count, count, rolled=True, scaled_by=by, least=count, most=10)


def started(plan: Plan = PLAN) -> State:
    return State("1", OLD, NEW, "spec", plan, started=0.0)


def run(
    world: World, state: State, verdicts: dict[int, Verdict], *, limit: int = 200
) -> Iterator[tuple[State, Next]]:
    """Tick until it is over; yields each state with what was decided on it."""
    now = state.since
    for _ in range(limit):
        if state.is_over:
            return
        now += 10
        world.now = now
        compares = state.phase is Phase.SHADOWING and world.mirror and world.mirror.copies
        judges = state.phase is Phase.JUDGING or compares
        verdict = verdicts.get(state.percent, GOOD) if judges else None
        found = decide(state, world.see(), verdict, now)
        yield state, found
        world.do(found.act)
        state = State.of(json.loads(json.dumps(found.state.as_json())))
    raise AssertionError(f"not over after {limit} looks: {state}")


def last(world: World, state: State, verdicts: dict[int, Verdict]) -> State:
    for _, found in run(world, state, verdicts):
        state = found.state
    return state
