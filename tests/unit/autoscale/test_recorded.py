"""The rules against decisions of a real HPA and KEDA, query by query; recorded/record.py made them.

Each query that KEDA asked is noted with its answer. At the time of each, the rules decide on the
same answer and the same replicas; what they decide must be what the Deployment then became, with
the Event that the HPA wrote and the conditions it set.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.autoscale import keda, parsing, readings, scaler
from controlplane.autoscale.decision import Decision
from controlplane.autoscale.proposals import Scale
from controlplane.autoscale.rule import Controller, Prometheus, Rule
from controlplane.autoscale.scaler import State

RECORDED = Path(__file__).parent / "recorded"
SCENARIOS = sorted(path.stem for path in RECORDED.glob("*.json"))
TESTBED = Controller(sync_period_seconds=5.0, initial_readiness_delay_seconds=5.0)
RETRY_SECONDS = 0.15
"""A failed query is asked again at once, with the scaler built anew; the second answer counts."""
SETTLED_SECONDS = 10.0
"""At first KEDA's parts write the new ScaledObject's status over each other's."""
EFFECT_SECONDS = 1.5
"""From a query to the Deployment's new size, on a busy machine."""


@dataclass(frozen=True)
class Step:
    """One decision here, and the time until the next query."""

    at: float
    until: float
    ours: Decision
    state: State


class Recording:
    """One scenario's notes."""

    def __init__(self, name: str) -> None:
        self.all = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
        self.rule: Rule = parsing.rule(self.all["scaledobject"])
        self.notes: list[dict[str, Any]] = self.all["notes"]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The notes of a kind."""
        return [note for note in self.notes if note["kind"] == kind]

    def scale(self, at: float) -> Scale:
        """The Deployment just before a time."""
        last = [note for note in self.of("deployment") if note["at"] < at][-1]
        return Scale(last["spec"], last["replicas"], last["ready"])

    def last(self, kind: str, step: Step, field: str) -> dict[str, Any]:
        """What a kind's last note before the next query says."""
        seen = [note for note in self.of(kind) if note["at"] < step.until and field in note]
        found: dict[str, Any] = seen[-1]
        return found

    def rounds(self) -> list[tuple[float, dict[str, readings.Reading]]]:
        """Queries that belong together, one of each trigger; of a retry the last."""
        found: list[tuple[float, dict[str, readings.Reading]]] = []
        triggers = {
            trigger.query: trigger
            for trigger in self.rule.triggers
            if isinstance(trigger, Prometheus)
        }
        for note in self.of("query"):
            trigger = triggers[note["query"]]
            samples = [float(value) for value in note.get("samples", ())]
            reading = readings.prometheus(trigger, samples, note.get("error", ""))
            last = found[-1][1] if found else {}
            before = last.get(trigger.metric_name)
            soon = bool(found) and note["at"] - found[-1][0] < RETRY_SECONDS
            if not (soon and (before is None or before.error)):
                found.append((note["at"], {}))
            found[-1][1][trigger.metric_name] = reading
        return [(at, one) for at, one in found if len(one) == len(triggers)]


def is_poll(recording: Recording, at: float, first: float) -> bool:
    """Whether KEDA's own loop asked: it starts first and keeps its own period."""
    interval = recording.rule.polling_interval_seconds
    phase = (at - first) % interval
    return min(phase, interval - phase) < 0.1


def replayed(recording: Recording) -> list[Step]:
    """Decide again at every query."""
    rounds = recording.rounds()
    first = rounds[0][0]
    ends = [at for at, _ in rounds[1:]] + [rounds[-1][0] + EFFECT_SECONDS]
    state = scaler.start(recording.all["started"] + first)
    steps: list[Step] = []
    for (at, answers), end in zip(rounds, ends, strict=True):
        now, scale = recording.all["started"] + at, recording.scale(at)
        if is_poll(recording, at, first):
            decision, state = scaler.poll(recording.rule, state, answers, scale, now)
        else:
            decision, state = scaler.sync(recording.rule, state, answers, scale, now, TESTBED)
        steps.append(Step(at, min(at + EFFECT_SECONDS, end), decision, state))
    return steps


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_size_is_the_recorded_one(name: str) -> None:
    """At each query the replicas that we decide are those that the Deployment got."""
    recording = Recording(name)
    steps = replayed(recording)

    recorded = [(step.at, recording.last("deployment", step, "spec")["spec"]) for step in steps]
    assert [(step.at, step.ours.desired) for step in steps] == recorded
    assert len(steps) > 10


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_reason_is_the_recorded_one(name: str) -> None:
    """The HPA's conditions and Events, in its own words."""
    recording = Recording(name)
    steps = [step for step in replayed(recording) if step.ours.by == "HPA"]

    for step in steps:
        if step.at + EFFECT_SECONDS < step.until or step.ours.rule == "ScalingDisabled":
            continue
        theirs = recording.last("hpa", step, "conditions")["conditions"]
        ours = {
            "AbleToScale": step.ours.able_to_scale,
            "ScalingActive": step.ours.scaling_active,
        }
        if not any(proposal.error for proposal in step.ours.proposals):
            ours["ScalingLimited"] = step.ours.scaling_limited
        for condition, (status, reason, _) in ours.items():
            assert theirs[condition] == [str(status), reason], (step.at, step.ours.explain())
    events = [note for note in recording.of("events") if note["reason"] == "SuccessfulRescale"]
    assert [step.ours.event for step in steps if step.ours.changes] == [
        note["message"] for note in events
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_status_is_the_recorded_one(name: str) -> None:
    """KEDA's counted failures, and whether it held the target active."""
    recording = Recording(name)

    steps = replayed(recording)
    for step in steps:
        if step.until - step.at < 0.4 or step.at < steps[0].at + SETTLED_SECONDS:
            continue  # KEDA had not written its status yet when the next query came
        theirs = recording.last("scaledobject", step, "conditions")
        if fallback := recording.rule.fallback:
            # Past the threshold KEDA's two paths at times write one count over the other's.
            most = fallback.failure_threshold + 1
            ours = step.state.memory.failure_counts
            for metric, count in ours.items():
                assert min(count, most) == min(theirs["failures"][metric], most), step.at
            falls = keda.falling_back(recording.rule, step.state.memory)
            assert theirs["conditions"]["Fallback"][0] == str(falls), step.at
        if step.ours.by == "KEDA":
            assert theirs["conditions"]["Active"][1] == step.ours.active_reason, step.at


def test_the_recording_is_of_the_versions_that_we_follow() -> None:
    """KEDA 2.20 and a Kubernetes whose HPA has two-window stabilisation."""
    found = {json.dumps(Recording(name).all["versions"]) for name in SCENARIOS}

    assert len(found) == 1
    assert "keda:2.20.2" in found.pop()
