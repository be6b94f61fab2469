"""Replicas and writers of a channel together, on a virtual clock, with all that may go wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controlplane.errors import SerinError
from controlplane.store import channels
from predictors.runtime.channel import document as documents
from predictors.runtime.channel.replica import LEASE_SECONDS, Replica

VERSIONS = [f"{number:012x}" for number in range(1, 6)]
STEP = 0.1
SKEW = 0.1
"""Clocks are off by as much at most."""
START = 1_000_000.0


class Node:
    """One replica's process, its clock, its link to the store, and what it is doing."""

    def __init__(self, skew: float) -> None:
        self.skew = skew
        self.linked = True
        self.stopped = False
        self.ready_since: float | None = None
        self.replica: Replica | None = None
        self.highest = 0

    def now(self, time: float) -> float:
        return time + self.skew


class Writer:
    """A writer between two of its steps, which may have lost its lease meanwhile."""

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        self.proposed = 0
        self.lead = channels.LEAD_SECONDS


class Channel(RuleBasedStateMachine):
    """A store, three or four replicas and two writers."""

    @initialize(
        skews=st.lists(st.floats(-SKEW / 2, SKEW / 2), min_size=3, max_size=4),
        mode=st.sampled_from([channels.STRICT, channels.STRICT, channels.AVAILABLE]),
    )
    def begin(self, skews: list[float], mode: str) -> None:
        self.time = START
        self.mode = mode
        self.state = channels.first(VERSIONS[0], "test", "", START, mode=mode, keep=20.0)
        self.commits = {1: VERSIONS[0]}
        self.window_until = START
        self.nodes = [Node(skew) for skew in skews]
        self.reports: dict[str, dict[str, Any]] = {}
        self.writers = [Writer(), Writer()]
        self.holder = 0
        for node in self.nodes:
            self.start(node)
        self.pass_time(5)

    # --- what processes do ---

    def start(self, node: Node) -> None:
        """A process starts with the version that the node found committed."""
        node.replica = Replica(self.state["version"])
        node.ready_since, node.highest, node.stopped = None, 0, False

    def poll(self, index: int, node: Node) -> None:
        replica = node.replica
        assert replica is not None
        if node.linked:
            document = documents.read(json.dumps(self.state).encode())
            replica.read(document, node.now(self.time), node.now(self.time))
            self.reports[str(index)] = replica.report(node.now(self.time))

    @rule(steps=st.integers(1, 30))
    def pass_time(self, steps: int) -> None:
        for _ in range(steps):
            self.time += STEP
            for index, node in enumerate(self.nodes):
                if node.replica is None or node.stopped:
                    node.ready_since = None
                    continue
                node.replica.tick(node.now(self.time))
                self.poll(index, node)
                if not node.replica.answers(node.now(self.time)):
                    node.ready_since = None
                elif node.ready_since is None:
                    node.ready_since = self.time
            self.check()

    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        """A download ends well, or is corrupt or lost; others are still under way."""
        waiting = [node for node in self.nodes if node.replica and node.replica.wanted]
        if waiting:
            node = data.draw(st.sampled_from(waiting))
            assert node.replica is not None
            wanted = node.replica.wanted
            assert wanted is not None
            if data.draw(st.integers(0, 4)):
                node.replica.loaded(wanted[1], node.now(self.time))
            else:
                node.replica.refused(wanted[0], "sha256 differs")

    @rule()
    def load_everywhere(self) -> None:
        for node in self.nodes:
            if node.replica:
                node.replica.retry()
                if wanted := node.replica.wanted:
                    node.replica.loaded(wanted[1], node.now(self.time))

    @rule(index=st.integers(0, 3))
    def cut(self, index: int) -> None:
        node = self.nodes[index % len(self.nodes)]
        node.linked = not node.linked

    @rule()
    def mend_all(self) -> None:
        for node in self.nodes:
            node.linked, node.stopped = True, False

    @rule(index=st.integers(0, 3))
    def crash(self, index: int) -> None:
        self.start(self.nodes[index % len(self.nodes)])

    @rule(index=st.integers(0, 3))
    def stop_or_continue(self, index: int) -> None:
        """SIGSTOP and SIGCONT: nobody is answered meanwhile, and what is due comes first then."""
        node = self.nodes[index % len(self.nodes)]
        node.stopped = not node.stopped
        if not node.stopped and node.replica:
            node.replica.tick(node.now(self.time))

    @precondition(lambda self: len(self.nodes) < 6)
    @rule(skew=st.floats(-SKEW / 2, SKEW / 2))
    def join(self, skew: float) -> None:
        self.nodes.append(Node(skew))
        self.start(self.nodes[-1])

    # --- what writers do; `holder` has the Lease ---

    def listed(self) -> list[str]:
        """The ready pods as the API has them: a second late for those that became ready."""
        return [
            str(index)
            for index, node in enumerate(self.nodes)
            if node.ready_since is not None and self.time - node.ready_since > 1.0
        ]

    def write(self, who: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
        """A write is of the holder, on what it has read; another finds that out in time."""
        if self.holder != who:
            self.writers[who].document = None
            return False
        before, self.state = self.state, change(self.state)
        assert self.state["proposed"] >= before["proposed"]
        if self.state["generation"] != before["generation"]:
            assert self.state["generation"] > before["generation"]
            self.commits[self.state["generation"]] = self.state["version"]
        return True

    @rule(who=st.integers(0, 1))
    def take_lease(self, who: int) -> None:
        if self.holder != who:
            self.holder = who

    @rule(who=st.integers(0, 1), version=st.sampled_from(VERSIONS))
    def propose(self, who: int, version: str) -> None:
        now = self.time
        if self.time < self.state["activate_at"] or version == self.state["version"]:
            return
        if self.write(who, lambda state: channels.proposed(state, version, "test", "", now, 30.0)):
            self.writers[who].proposed = self.state["proposed"]
            self.writers[who].lead = channels.LEAD_SECONDS

    @rule(who=st.integers(0, 1))
    def arm(self, who: int) -> None:
        state, now = self.state, self.time
        if state["next"] is None or channels.unprepared(state, self.listed(), self.reports):
            return
        self.write(who, lambda state: channels.armed(state, now))

    @rule(who=st.integers(0, 1))
    def commit(self, who: int) -> None:
        state = self.state
        if self.holder != who or state["next"] is None:
            return
        if state["next"]["generation"] != self.writers[who].proposed or not state["next"]["arm"]:
            return  # another's, or not that far
        if channels.unprepared(state, self.listed(), self.reports):
            return
        now, lead = self.time, self.writers[who].lead
        try:
            self.write(who, lambda state: channels.committed(state, now, lead=lead))
        except SerinError:
            return
        self.window_until = max(self.state["activate_at"], now + LEASE_SECONDS) + SKEW + STEP

    @rule(who=st.integers(0, 1))
    def withdraw(self, who: int) -> None:
        if self.state["next"] is not None:
            self.write(who, lambda state: channels.withdrawn(state, "no"))

    @rule(who=st.integers(0, 1))
    def go_back(self, who: int) -> None:
        now = self.time
        if channels.without_prepare(self.state, self.listed(), self.reports, now):
            return
        before = self.state["previous"]

        def back(state: dict[str, Any]) -> dict[str, Any]:
            return channels.armed(channels.proposed(state, before, "test", "", now, 10.0), now)

        if self.write(who, back):
            self.writers[who].proposed = self.state["proposed"]
            self.writers[who].lead = channels.BACK_SECONDS

    # --- what must hold ---

    @invariant()
    def hold(self) -> None:
        if hasattr(self, "nodes"):
            self.check()

    def check(self) -> None:
        answering = []
        for node in self.nodes:
            replica = node.replica
            if replica is None:
                continue
            assert replica.generation >= node.highest, "a generation fell"
            node.highest = replica.generation
            if replica.generation:
                assert replica.version == self.commits[replica.generation], "half a switch"
            assert replica.version in replica.held, "serves what is not loaded"
            assert len(replica.held) <= 3
            if not node.stopped and replica.answers(node.now(self.time)):
                answering.append(replica)
        if self.mode == channels.STRICT and self.time > self.window_until:
            versions = {replica.version for replica in answering}
            assert len(versions) <= 1, f"two versions answer: {versions}"


Channel.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestReplicasInStep = Channel.TestCase


def run(replica: Replica, since: float, until: float) -> None:
    """Let a process run, and its timers with it."""
    for step in range(int((until - since) * 2) + 1):
        replica.tick(since + step / 2)
    replica.tick(until)


def told(state: dict[str, Any]) -> documents.Document:
    """A state as replicas read it."""
    return documents.read(json.dumps(state).encode())


def prepared(version: str) -> tuple[Replica, dict[str, Any]]:
    """A replica that is past its first half minute, and armed for a proposal that it prepared."""
    state = channels.first(VERSIONS[0], "test", "", START, mode=channels.STRICT, keep=20.0)
    replica = Replica(VERSIONS[0])
    now = START + 60
    replica.read(told(state), START, START)
    run(replica, START, now)
    state = channels.proposed(state, version, "test", "", now, 30.0)
    replica.read(told(state), now, now)
    replica.loaded(version, now)
    replica.read(told(state := channels.armed(state, now)), now, now)
    return replica, state


def test_a_replica_that_is_not_armed_needs_no_store() -> None:
    """S3 away for an hour takes nothing from a replica to which nothing may be committed."""
    state = channels.first(VERSIONS[0], "test", "", START, mode=channels.STRICT, keep=20.0)
    replica = Replica(VERSIONS[0])
    replica.read(told(state), START + 40, START)
    run(replica, START, START + 40)
    replica.read(told(state), START + 40, START + 40)
    run(replica, START + 40, START + 3600)
    assert replica.answers(START + 3600)


def test_a_process_that_was_stopped_reads_before_it_answers() -> None:
    """It was perhaps taken for gone, and a commit written without it, whatever it knew of it."""
    state = channels.first(VERSIONS[0], "test", "", START, mode=channels.STRICT, keep=20.0)
    replica = Replica(VERSIONS[0])
    document = told(state)
    replica.read(document, START, START)
    run(replica, START, START + 40)
    replica.read(document, START + 40, START + 40)
    back = START + 40 + LEASE_SECONDS + 0.1
    replica.tick(back)
    assert not replica.answers(back)
    replica.read(document, START + 41, back + 0.1)  # it had asked before it was stopped
    assert not replica.answers(back + 0.1)
    replica.read(document, back + 0.2, back + 0.3)
    assert replica.answers(back + 0.3)


def test_a_replica_that_has_prepared_and_is_not_armed_needs_no_store() -> None:
    """A store that goes amid a prepare, or while an engine is kept, takes no replica with it."""
    replica, state = prepared(VERSIONS[1])
    state = state | {"next": state["next"] | {"arm": False, "expires_at": START + 600}}
    replica.read(told(state), START + 60, START + 60)
    run(replica, START + 60, START + 120)
    assert replica.report(START + 120)["prepared"] == 2
    assert replica.answers(START + 120)


def test_an_armed_replica_that_cannot_read_answers_nobody() -> None:
    """It may have missed the commit, so it stops before the earliest instant that one can have."""
    replica, _ = prepared(VERSIONS[1])
    now = START + 60 + LEASE_SECONDS + 0.1
    replica.tick(now)
    assert not replica.answers(now)
    assert "not read" in replica.trouble(now)


def test_the_version_before_is_committed_without_a_prepare_while_it_is_kept() -> None:
    """Going back is one commit, and the engine that is kept serves again."""
    replica, state = prepared(VERSIONS[1])
    state = channels.committed(state, START + 61)
    replica.read(told(state), START + 61, START + 61)
    run(replica, START + 61, START + 64)
    assert (replica.version, replica.generation) == (VERSIONS[1], 2)
    reports = {"a": replica.report(START + 64)}
    assert not channels.without_prepare(state, ["a"], reports, START + 64)
    state = channels.proposed(state, VERSIONS[0], "test", "", START + 64, 30.0)
    state = channels.armed(state, START + 64)
    replica.read(told(state), START + 64, START + 64)
    reports = {"a": replica.report(START + 64)}
    assert not channels.unprepared(state, ["a"], reports)
    state = channels.committed(state, START + 64, lead=channels.BACK_SECONDS)
    replica.read(told(state), START + 64.1, START + 64.1)
    replica.tick(START + 65)
    assert (replica.version, replica.generation) == (VERSIONS[0], 3)


def test_a_replica_that_keeps_an_engine_needs_no_store() -> None:
    """Going back is said before it is committed, so nothing may be missed until then."""
    replica, state = prepared(VERSIONS[1])
    state = channels.committed(state, START + 61)
    run(replica, START + 60, START + 61)
    replica.read(told(state), START + 61, START + 61)
    run(replica, START + 61, START + 3600)
    assert replica.generation == 2
    assert replica.answers(START + 3600)


@pytest.mark.parametrize(
    "changed",
    [
        {"generation": 0},
        {"version": "../../etc"},
        {"activate_at": "soon"},
        {"mode": "sometimes"},
        {"next": {"generation": 1, "version": VERSIONS[1], "expires_at": 1, "arm": False}},
        {"next": 3},
    ],
)
def test_a_document_of_another_form_is_refused(changed: dict[str, Any]) -> None:
    """A document that no writer writes changes nothing, and the reason names the field's value."""
    state = channels.first(VERSIONS[0], "test", "", START, mode=channels.STRICT, keep=20.0)
    with pytest.raises(documents.ChannelError):
        documents.read(json.dumps(state | changed).encode())


def test_an_older_generation_is_no_news() -> None:
    """A stale copy neither sets a replica back nor counts as a read."""
    replica, state = prepared(VERSIONS[1])
    after = channels.committed(state, START + 61)
    replica.read(documents.read(json.dumps(after).encode()), START + 61, START + 61)
    replica.read(told(state), START + 62, START + 62)
    replica.tick(START + 64)
    assert replica.generation == 2
