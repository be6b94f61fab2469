"""A channel on the whole platform: an InferenceService that follows it, behind Envoy.

SERIN_CHANNEL_RESULT=FILE makes the long run: SERIN_CHANNEL_SWAPS swaps (50) with every trouble in
turn, and the figures of its history in the file.
"""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from scripts.benchmark.result.provenance import provenance
from scripts.benchmark.serving import machine
from tests.support import channel_traffic, trained
from tests.support.channel import variant, version
from tests.support.channel_traffic import Answered, Traffic, percentile
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for

URI = "s3://models/iris@stable"
RESULT = os.environ.get("SERIN_CHANNEL_RESULT")
SWAPS = int(os.environ.get("SERIN_CHANNEL_SWAPS", "50"))
REPLICAS, RATE = (4, 450) if RESULT else (3, 60)
ENOUGH = 100_000 if SWAPS >= 50 else 0
TROUBLES = ("", "killed", "", "stopped", "", "store away", "", "rollback", "", "API away")
_SAID = re.compile(r"switched (\d+) ms apart, ([\d.]+) s after the commit")


class Fleet:
    """Replicas of iris on a platform of their own, which follow one channel."""

    def __init__(self, platform: Platform, versions: list[str]) -> None:
        self.platform = platform
        self.versions = versions

    @property
    def state(self) -> dict[str, Any]:
        """The channel's state, as it is in the store."""
        path = self.platform.home / "s3/models/iris/channels/stable/state.json"
        found: dict[str, Any] = {}

        def read() -> bool:
            try:
                found.update(json.loads(path.read_text("utf-8")))
            except (OSError, ValueError):  # it is being written
                return False
            return True

        wait_for(read, 20, "a whole state")
        return found

    def follow(self) -> bool:
        """Whether every replica is ready and serves what is committed."""
        done = self.platform.serin("channel", "status", "iris", "-o", "json")
        said = json.loads(done.stdout)
        return len(said["replicas"]) == REPLICAS and all(
            one["ready"] and one.get("generation") == said["generation"] for one in said["replicas"]
        )

    def set(self, version: str) -> "Popen[str]":
        """Start to have a version served; returns once it is being prepared, or that is over."""
        number = self.state["proposed"]
        process = self.platform.start("channel", "set", "iris", version)
        wait_for(
            lambda: self.state["proposed"] > number or process.poll() is not None,
            60,
            "the proposal",
        )
        return process

    def victim(self) -> psutil.Process:
        """The process of one replica."""
        return psutil.Process(self.platform.pods()[0]["pid"])

    def store(self) -> psutil.Process:
        """The S3 server."""
        return next(
            one for one in self.platform.processes() if one.cmdline()[1:3] == ["serve", "s3"]
        )

    def api(self) -> psutil.Process:
        """The process that is the API and probes the pods."""
        pid = json.loads((self.platform.home / "state.json").read_text("utf-8"))["pid"]
        return psutil.Process(pid)

    def history(self) -> dict[int, dict[str, Any]]:
        """Every commit by its generation."""
        done = self.platform.serin("channel", "history", "iris", "-o", "json")
        return {one["generation"]: one for one in json.loads(done.stdout)["items"]}


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """SIGSTOP meanwhile: it takes connections and answers nothing."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def ended(process: "Popen[str]") -> str:
    """What a `channel set` said that committed; empty where it said why nothing was committed."""
    out, err = process.communicate(timeout=110)
    if process.returncode == 0:
        return err
    assert "Nothing was committed" in err, (out, err)
    return ""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Replicas that follow a channel of three versions."""
    made = trained.brief("iris")
    folders = [variant(made, number, tmp_path / f"v{number}") for number in range(3)]
    platform = Platform(tmp_path / "state")
    for folder in folders:
        platform.publish(folder)
    fleet = Fleet(platform, [version(folder) for folder in folders])
    try:
        platform.serin("up", "iris", "--replicas", str(REPLICAS))
        platform.serin("channel", "set", "iris", fleet.versions[0])
        predictor = {"model": {"storageUri": URI}}
        Kubectl(platform).patch("isvc/iris", {"predictor": predictor})
        wait_for(fleet.follow, 100, "replicas that follow")
        yield fleet
    finally:
        platform.serin("down")
        assert platform.leftovers() == []


def check(fleet: Fleet, history: list[Answered]) -> None:
    """Nothing is lost, no answer is of another version than its generation, no client goes back."""
    assert [one for one in history if one.failure] == []
    commits = fleet.history()
    assert [one for one in history if one.version != commits[one.generation]["version"]] == []
    assert channel_traffic.fallen(history) == []


@pytest.mark.skipif(RESULT is not None, reason="the long run has it all")
def test_swaps_under_load_lose_nothing(fleet: Fleet) -> None:
    """Through Envoy, with a replica killed amid a prepare, the store away, and back again."""
    versions = fleet.versions
    with Traffic(urlsplit(fleet.platform.url).netloc, RATE) as traffic:
        assert ended(fleet.set(versions[1]))
        swap = fleet.set(versions[2])
        fleet.victim().kill()
        ended(swap)
        wait_for(fleet.follow, 100, "the killed replica's return")
        with stopped(fleet.store()):
            answered = len(traffic.history)
            wait_for(lambda: len(traffic.history) > answered + 200, 100, "answers without a store")
        before = fleet.state["previous"]
        fleet.platform.serin("channel", "rollback", "iris")
        assert fleet.state["version"] == before
    check(fleet, traffic.history)


@pytest.mark.skipif(RESULT is None, reason="the long run")
@pytest.mark.timeout(300 + 60 * SWAPS)
def test_many_swaps_with_every_trouble(fleet: Fleet) -> None:
    """The run whose figures docs/channels.md has."""
    run = Run(fleet)
    started, load = time.time(), machine.load_average()
    with Traffic(urlsplit(fleet.platform.url).netloc, RATE) as traffic:
        time.sleep(20)  # what latency is without swaps
        run.calm.append((started, time.time()))
        for trouble in cycle(TROUBLES):
            if len(run.said) >= SWAPS and len(traffic.history) >= ENOUGH:
                break
            run.swap(trouble)
    check(fleet, traffic.history)
    assert RESULT is not None
    told = run.told(traffic.history) | {"load_average": [load, machine.load_average()]}
    Path(RESULT).write_text(json.dumps(told, indent=1) + "\n", "utf-8")


class Run:
    """Swaps with troubles, and what was measured of them."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.said: list[tuple[str, float, float]] = []
        """Of each commit: set or rollback, seconds between switches, and until the last."""
        self.withdrawn = 0
        self.troubles: dict[str, int] = {}
        self.calm: list[tuple[float, float]] = []
        self.preparing: list[tuple[float, float]] = []
        self._versions = cycle([*fleet.versions[1:], fleet.versions[0]])

    def swap(self, trouble: str) -> None:
        """One swap, or what comes of it."""
        fleet = self.fleet
        self.troubles[trouble or "none"] = self.troubles.get(trouble or "none", 0) + 1
        if trouble == "rollback":
            done = fleet.platform.serin("channel", "rollback", "iris")
            self._say("rollback", done.stderr)
            return
        if trouble == "store away":
            with stopped(fleet.store()):
                time.sleep(4)
        current = fleet.state["version"]
        swap = fleet.set(next(one for one in self._versions if one != current))
        began = time.time()
        if trouble == "killed":
            fleet.victim().kill()
        elif trouble == "stopped":
            with stopped(fleet.victim()):
                time.sleep(3)
        elif trouble == "API away":
            with stopped(fleet.api()):
                time.sleep(3)
        self._say("set", ended(swap))
        if not trouble:
            self.preparing.append((began, fleet.state["at"]))
        else:
            wait_for(fleet.follow, 100, f"the fleet after: {trouble}")

    def _say(self, kind: str, text: str) -> None:
        if found := _SAID.search(text):
            self.said.append((kind, int(found[1]) / 1000, float(found[2])))
        else:
            self.withdrawn += 1

    def told(self, history: list[Answered]) -> dict[str, Any]:
        """The figures."""

        def p99(spans: list[tuple[float, float]]) -> float:
            times = [
                one.answered - one.sent
                for one in history
                if any(since <= one.sent < until for since, until in spans)
            ]
            return round(percentile(times, 0.99) * 1000, 2)

        return {
            **provenance("./serin", "test", arguments=["tests/local/test_channel_platform.py"]),
            "replicas": REPLICAS,
            "traffic": channel_traffic.told(history),
            "commits": len(self.said),
            "withdrawn": self.withdrawn,
            "troubles": self.troubles,
            "switches_apart_seconds": {
                "p50": percentile([one for _, one, _ in self.said], 0.5),
                "p99": percentile([one for _, one, _ in self.said], 0.99),
                "most": max(one for _, one, _ in self.said),
            },
            "commit_to_last_switch_seconds": {
                kind: max(one for what, _, one in self.said if what == kind)
                for kind in ("set", "rollback")
                if any(what == kind for what, _, _ in self.said)
            },
            "p99_milliseconds": {"before": p99(self.calm), "during_prepare": p99(self.preparing)},
        }
