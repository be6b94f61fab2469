"""A channel on the whole platform: an InferenceService that follows it, behind Envoy.

By hand, since it wants a machine of its own: SERIN_CHANNEL_SWAPS=3 runs the short test. With
SERIN_CHANNEL_RESULT=FILE as well it is the long run: so many swaps with every trouble in turn, of
which 50 are worth a result, and the figures of its history in the file.
"""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from controlplane.channels import pods
from controlplane.channels.writer import Done, Wish, Writer
from controlplane.errors import SerinError
from controlplane.kubernetes.client import Access, Kubernetes
from controlplane.statefolder import Home
from controlplane.store.followed import Channel
from controlplane.store.s3 import of_platform
from predictors.runtime.channel.replica import NEW_SECONDS
from scripts.benchmark.result.provenance import provenance
from scripts.benchmark.serving import machine
from tests.support import channel_traffic, trained
from tests.support.channel import variant, version
from tests.support.channel_traffic import Answered, Traffic, percentile
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for

URI = "s3://models/iris@stable"
RESULT = os.environ.get("SERIN_CHANNEL_RESULT")
SWAPS = int(os.environ.get("SERIN_CHANNEL_SWAPS", "0"))
REPLICAS, RATE = (4, 450) if RESULT else (3, 60)
CALM_SECONDS = 4
ENOUGH, LONGEST_SECONDS = (100_000 if SWAPS >= 50 else 0), 450
TROUBLES = (
    *("none", "replica killed", "none", "replica stopped", "none"),
    *("store away", "none", "rollback", "none", "API away"),
)


class Fleet:
    """Replicas of iris on a platform of their own, which follow one channel."""

    def __init__(self, platform: Platform, versions: list[str], api: Kubernetes) -> None:
        self.platform = platform
        self.versions = versions
        self.api = api
        store = of_platform(Home(platform.home))
        assert store is not None
        self.channel = Channel(store, "iris", "stable")

    @property
    def address(self) -> str:
        """Of the gateway."""
        return urlsplit(self.platform.url).netloc

    @property
    def state(self) -> dict[str, Any]:
        """What the channel says."""
        found = self.channel.read()
        assert found is not None
        return found

    def follow(self) -> bool:
        """Whether every replica is ready and serves what is committed."""
        generation, names, reports = self.state["generation"], self.names(), self.channel.reports()
        return len(names) == REPLICAS and all(
            name in reports and reports[name]["generation"] == generation for name in names
        )

    def names(self) -> list[str]:
        """The ready replicas."""
        return sorted(pods.ready(pods.following(self.api, self.channel)))

    @property
    def writer(self) -> Writer:
        """What `serin channel` writes with."""
        return Writer(self.api, self.channel, lambda _: None)

    def victim(self) -> psutil.Process:
        """The process of one ready replica."""
        state = json.loads((self.platform.home / "state.json").read_text("utf-8"))
        ready = [pod for pod in state["models"]["iris"]["pods"] if pod["ready"]]
        return psutil.Process(ready[0]["pid"])

    def server(self, *words: str) -> psutil.Process:
        """The platform's process with these words in its command line."""
        return next(one for one in self.platform.processes() if words == _words(one, words))


def _words(process: psutil.Process, words: tuple[str, ...]) -> tuple[str, ...]:
    try:
        line = process.cmdline()
    except psutil.NoSuchProcess:
        return ()
    return tuple(word for word in words if word in line)


class Swap:
    """A swap under way in a thread, as `channel set` does it."""

    def __init__(self, fleet: Fleet, version: str) -> None:
        self.done: Done | None = None
        self.refused = ""
        self._thread = threading.Thread(target=self._run, args=(fleet, version))
        number = fleet.state["proposed"]
        self._thread.start()
        wait_for(
            lambda: fleet.state["proposed"] > number or not self._thread.is_alive(),
            60,
            "the proposal",
        )

    def _run(self, fleet: Fleet, version: str) -> None:
        try:
            self.done = fleet.writer.set(Wish(version, "", None, None, 60.0))
        except SerinError as error:
            self.refused = str(error)

    def ended(self) -> Done | None:
        """What came of it; None where it said why nothing was committed."""
        self._thread.join(110)
        assert self.done is not None or "Nothing was committed" in self.refused, self.refused
        return self.done


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """SIGSTOP meanwhile: it takes connections and answers nothing."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Replicas that follow a channel of three versions."""
    made = trained.brief("iris")
    folders = [variant(made, number, tmp_path / f"v{number}") for number in range(3)]
    platform = Platform(tmp_path / "state")
    for folder in folders:
        platform.publish(folder)
    versions = [version(folder) for folder in folders]
    try:
        platform.serin("up", "iris", "--replicas", str(REPLICAS))
        platform.serin("channel", "set", "iris", versions[0])
        predictor = {"model": {"storageUri": URI}}
        Kubectl(platform).patch("isvc/iris", {"predictor": predictor})
        with Kubernetes(Access(platform.home / "kubeconfig", None, None)) as api:
            fleet = Fleet(platform, versions, api)
            wait_for(fleet.follow, 100, "replicas that follow")
            yield fleet
    finally:
        platform.serin("down")
        assert platform.leftovers() == []


def check(fleet: Fleet, history: list[Answered]) -> None:
    """Nothing is lost, no answer is of another version than its generation, no client goes back."""
    assert [one for one in history if one.failure] == []
    commits = {one["generation"]: one for one in fleet.channel.history()}
    assert [one for one in history if one.version != commits[one.generation]["version"]] == []
    assert channel_traffic.fallen(history) == []


@pytest.mark.skipif(
    not SWAPS or RESULT is not None,
    reason="longer than a test of CI may take: SERIN_CHANNEL_SWAPS=4 runs it",
)
def test_swaps_under_load_lose_nothing(fleet: Fleet, tmp_path: Path) -> None:
    """By hand: compared first, with a kill amid a prepare, without a store, back, by a training."""
    versions, followed = fleet.versions, time.time()
    with Traffic(fleet.address, RATE, tmp_path / "answers") as traffic:
        done = fleet.platform.serin("channel", "set", "--shadow", "50", "iris", versions[1])
        assert done.stdout == f"{URI} is {versions[1]}, generation 2.\n"
        assert done.stderr.count("nothing is wrong: 0 of ") == REPLICAS
        swap = Swap(fleet, versions[2])
        fleet.victim().kill()
        swap.ended()
        wait_for(fleet.follow, 100, "the killed replica's return")
        # A replica needs the store for half a minute; the killed one does now.
        wait_for(lambda: time.time() > followed + NEW_SECONDS + 1, 60, "replicas that are not new")
        with stopped(fleet.server("serve", "s3")):
            answered = len(traffic.history)
            wait_for(lambda: len(traffic.history) > answered + 200, 100, "answers without a store")
        before = fleet.state["previous"]
        fleet.platform.serin("channel", "rollback", "iris")
        assert fleet.state["version"] == before
        replicas = fleet.names()
        made = fleet.platform.serin("train", "iris", "--seed", "7", "--channel", "stable")
        assert made.stdout.splitlines()[-1] == f"s3://models/iris/{fleet.state['version']}"
        assert fleet.follow()
        assert fleet.names() == replicas
        status = fleet.platform.serin("status").stdout
        assert f"{fleet.state['version']} @stable {fleet.state['generation']}" in status
    check(fleet, traffic.history)


@pytest.mark.skipif(
    not SWAPS or RESULT is None,
    reason="minutes: SERIN_CHANNEL_SWAPS=50 SERIN_CHANNEL_RESULT=FILE runs it",
)
@pytest.mark.timeout(300 + 60 * SWAPS)
def test_many_swaps_with_every_trouble(fleet: Fleet, tmp_path: Path) -> None:
    """Swaps amid kills, stops, and a store or API that is away; FILE gets the figures."""
    run = Run(fleet)
    load = machine.load_average()
    with Traffic(fleet.address, RATE, tmp_path / "answers") as traffic:
        started = time.time()
        for trouble in cycle(TROUBLES):
            enough = len(traffic.history) >= ENOUGH or time.time() > started + LONGEST_SECONDS
            if len(run.done) >= SWAPS and enough:
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
        self.done: list[tuple[str, Done]] = []
        self.back_seconds: list[float] = []
        """Of each rollback, from the order to the last switch."""
        self.withdrawn = 0
        self.troubles: Counter[str] = Counter()
        self.calm: list[tuple[float, float]] = []
        self.preparing: list[tuple[float, float]] = []
        """Each directly after its calm: only swaps without a trouble, on a fleet that was whole."""

    def swap(self, trouble: str) -> None:
        """One swap, or what comes of it."""
        fleet = self.fleet
        self.troubles[trouble] += 1
        if trouble == "rollback":
            asked = time.time()
            done = fleet.writer.back("")
            self.done.append(("rollback", done))
            self.back_seconds.append(done.document["at"] - asked + done.seconds)
            return
        if trouble == "store away":
            with stopped(fleet.server("serve", "s3")):
                time.sleep(4)
        place = fleet.versions.index(fleet.state["version"])
        calm = time.time()
        if trouble == "none":
            time.sleep(CALM_SECONDS)  # what latency is without a swap, on the same fleet
        began = time.time()
        swap = Swap(fleet, fleet.versions[(place + 1) % len(fleet.versions)])
        if trouble == "replica killed":
            fleet.victim().kill()
        elif trouble == "replica stopped":
            with stopped(fleet.victim()):
                time.sleep(3)
        elif trouble == "API away":
            with stopped(fleet.server("controlplane.local")):
                time.sleep(3)
        swapped = swap.ended()
        if swapped is None:
            self.withdrawn += 1
        else:
            self.done.append(("set", swapped))
            if trouble == "none":
                self.calm.append((calm, began))
                self.preparing.append((began, swapped.document["at"]))
        wait_for(fleet.follow, 100, f"the fleet after: {trouble}")

    def told(self, history: list[Answered]) -> dict[str, Any]:
        """The figures."""

        def p99(spans: list[tuple[float, float]]) -> float:
            times = [
                one.answered - one.sent
                for one in history
                if any(since <= one.sent < until for since, until in spans)
            ]
            return round(percentile(times, 0.99) * 1000, 2)

        def seconds(kind: str) -> list[float]:
            return [one.seconds for what, one in self.done if what == kind]

        windows = [one.window for _, one in self.done]
        return {
            **provenance("./serin", "test", arguments=["tests/local/test_channel_platform.py"]),
            "replicas": REPLICAS,
            "traffic": channel_traffic.told(history),
            "commits": len(self.done),
            "withdrawn": self.withdrawn,
            "troubles": dict(self.troubles),
            "switches_apart_seconds": {
                "p50": percentile(windows, 0.5),
                "p99": percentile(windows, 0.99),
                "most": max(windows),
            },
            "commit_to_last_switch_seconds": {
                "set": {"p50": percentile(seconds("set"), 0.5), "most": max(seconds("set"))},
                "rollback": {"most": max(seconds("rollback"), default=None)},
            },
            "order_to_last_switch_seconds": {
                "rollback": {"most": max(self.back_seconds, default=None)}
            },
            "p99_milliseconds": {"before": p99(self.calm), "during_prepare": p99(self.preparing)},
        }
