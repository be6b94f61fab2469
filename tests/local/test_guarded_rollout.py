"""`serin rollout` on the real platform: good and guilty versions under load, kills, other hands."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from controlplane.rollout.steps.state import Phase
from tests.drills.canary import Load
from tests.support import guilty, trained
from tests.support.kubectl import Kubectl
from tests.support.open_load import sending
from tests.support.platform import ROOT, Platform, wait_for

RATE = 60  # requests a second
HOST, PATH = "iris-models.localhost", "/v2/models/iris/infer"
PATIENT = ("--min-requests", "100", "--step-seconds", "5")
CALM = ("--latency-floor", "250ms")  # other tests' load is no fault of the canary's


class Shop:
    """A platform that serves iris, and versions of every kind."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        platform.publish(trained.artifact("iris"))
        self.kubectl = Kubectl(platform)
        platform.serin("up", "iris")
        self.stable = self.served()
        self.versions = {"good": platform.publish(trained.artifact("iris", "--seed=7"))}
        for way in guilty.WAYS:
            made = guilty.make(trained.artifact("iris"), way, folder / way)
            self.versions[way] = platform.publish(made)

    def served(self) -> str:
        uri = self.kubectl.get("isvc/iris")["spec"]["predictor"]["model"]["storageUri"]
        return str(uri).rsplit("/", 1)[1]

    def unserved(self) -> str:
        """A sound version that is not the one that serves."""
        sound = (self.stable, self.versions["good"])
        return next(version for version in sound if version != self.served())

    def rollout(self, *arguments: str, expect: int = 0, seconds: float = 115) -> str:
        done = self.platform.serin(
            *("rollout", *arguments, "--kubeconfig", str(self.platform.home / "kubeconfig")),
            expect=expect,
            seconds=seconds,
        )
        return done.stdout + done.stderr

    def state(self) -> dict[str, Any]:
        text = self.rollout("status", "iris", "-o", "json")
        found: dict[str, Any] = json.loads(text)
        return found

    def phase(self) -> str:
        return str(self.state()["phase"])

    def prometheus(self) -> str:
        status = json.loads(self.platform.serin("status", "--json").stdout)
        return str(status["prometheus_url"])

    def python(self, command: list[Any]) -> int:
        """Run a program of the tests; its exit code."""
        done = subprocess.run(command, cwd=ROOT, env=self.platform.env, timeout=100, check=False)
        return done.returncode

    @contextmanager
    def seeing_weights(self) -> Iterator[list[int]]:
        """The canary's weights while the block runs, each as the HTTPRoute came to have it."""
        seen = list[int]()
        template = 'jsonpath={.spec.rules[-1:].backendRefs[*].weight}{"\\n"}'  # stable, canary
        watch = self.kubectl.start("get", "httproute/iris", "-w", "-o", template)

        def read() -> None:
            assert watch.stdout is not None
            for line in watch.stdout:
                weight = int((*line.split(), "0")[1])
                if seen[-1:] != [weight]:
                    seen.append(weight)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield seen
            now = self.kubectl.weights().get("iris-canary-predictor", 0)
            wait_for(lambda: seen[-1:] == [now], 60, "the watch of the weights")
        finally:
            with watch:
                watch.terminate()
                reader.join(30)

    def load(self) -> AbstractContextManager[Load]:
        """An open load while the block runs; it counts what was lost."""
        return sending(Load(self.platform.url, HOST, PATH, RATE, guilty.INPUTS))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("rollout")
    platform = Platform(folder / "state")
    try:
        yield Shop(platform, folder)
    finally:
        platform.serin("down")
        wait_for(lambda: not platform.processes(), 90, "the engines' end")
        assert platform.leftovers() == []


@pytest.mark.parametrize(
    ("way", "guards", "options"),
    [
        ("erring", {"errors"}, CALM),
        ("slow", {"latency"}, ("--latency-floor", "10ms")),
        ("drifting", {"classes"}, CALM),
    ],
)
def test_a_guilty_version_is_aborted_at_its_first_step(
    shop: Shop, way: str, guards: set[str], options: tuple[str, ...]
) -> None:
    """With its reason in the status, in Events and in the log; stable has all requests again."""
    version = shop.versions[way]
    before = shop.served()
    with shop.load() as load:
        said = shop.rollout(
            *("start", "iris", version, "--steps", "20,60,100", *PATIENT, *options, "--watch"),
            expect=1,
        )
    state = shop.state()
    reason = state["reason"]

    assert state["outcome"] == "Aborted", said
    assert reason.split(":")[0] in guards
    assert [step["percent"] for step in state["steps"]] == [20]
    assert f"Aborted: {reason}" in said
    assert reason in shop.kubectl.out("events", "--for", "InferenceService/iris")
    assert reason in (shop.platform.home / "logs" / "rollout-iris.log").read_text("utf-8")
    assert reason in shop.rollout("history", "iris")
    assert (shop.served(), shop.kubectl.weights()) == (before, {"iris-predictor": 1})
    assert "canary" not in shop.kubectl.get("isvc/iris")["spec"]
    harmed = [one for one in load.lost if not one.startswith("500")]
    assert harmed == [], "only what the version itself failed is lost"
    assert bool(load.lost) == (way == "erring")


def test_a_version_that_swaps_classes_is_aborted_before_any_user_sees_it(shop: Shop) -> None:
    """By comparing answers one by one, which no share of classes shows; the mirror goes with it."""
    before, version = shop.served(), shop.versions["swapping"]
    with shop.load() as load:
        said = shop.rollout(
            *("start", "iris", version, "--shadow", "150", "--steps", "40,100", *PATIENT, *CALM),
            "--watch",
            expect=1,
        )
    state = shop.state()
    found, shown = state["shadow"], shop.rollout("status", "iris")

    assert state["outcome"] == "Aborted", said
    assert state["reason"].startswith("shadow flips: another class")
    assert [step["percent"] for step in state["steps"]] == [0]
    assert found["flips"] > 10
    assert {one["stable"].split()[0] for one in found["examples"]} <= {"versicolor", "virginica"}
    assert f"{found['compared']} mirrored requests compared" in shown
    assert found["examples"][0]["request"] in shown
    assert state["reason"] in shop.kubectl.out("events", "--for", "InferenceService/iris")
    assert load.lost == []
    assert {one.version for one in load.answers} == {before}
    assert "iris-shadow" not in shop.kubectl.out("get", "httproutes")


@pytest.mark.timeout(300)  # some fifteen engines are started, one after the other
def test_a_good_version_is_promoted_though_its_engine_is_killed(shop: Shop, tmp_path: Path) -> None:
    """Kill -9 in every phase and after every act: no step skipped, no weight twice, none lost."""
    old, new = shop.served(), shop.unserved()
    deaths = tmp_path / "deaths"
    command = [sys.executable, "-P", "-m", "tests.support.fragile_engine", "iris"]
    command += [str(shop.platform.home / "kubeconfig"), shop.prometheus(), str(deaths)]
    with shop.load() as load, shop.seeing_weights() as weights:
        shop.rollout(
            *("start", "iris", new, "--shadow", "150", "--steps", "40,100", *PATIENT, *CALM)
        )
        wait_for(lambda: len(shop.platform.engines()) == 1, 60, "its engine")
        (engine,) = shop.platform.engines()
        engine.kill()
        engine.wait(10)
        while (code := shop.python(command)) == -signal.SIGKILL:
            pass
    state = shop.state()
    died = set(deaths.read_text("utf-8").splitlines())

    assert code == 0, state
    assert {f"{phase} entered" for phase in list(Phase)[1:-1]} <= died
    assert {"Preparing SetCanary", "Shadowing StartMirror", "Shadowing OpenMirror"} <= died
    assert {"Scaling ParkMirror", "Scaling EndMirror"} <= died
    assert {"Shifting SetCanary", "Renewing SetStable"} <= died
    assert {"Draining SetCanary", "Removing RemoveCanary"} <= died
    assert state["outcome"] == "Promoted"
    assert [step["percent"] for step in state["steps"]] == [0, 40, 100]
    assert state["shadow"]["compared"] >= 150
    assert state["shadow"]["canary_failed"] == state["shadow"]["canary_missing"] == 0
    assert weights == [0, 40, 100, 0]
    assert load.lost == []
    assert {one.version for one in load.answers} == {old, new}
    assert load.answers[-1].version == new
    assert shop.served() == new
    assert shop.kubectl.weights() == {"iris-predictor": 1}
    assert "iris-shadow" not in shop.kubectl.out("get", "httproutes")


def test_a_second_engine_leaves_at_once(shop: Shop) -> None:
    """One acts on a model; whoever comes second says so."""
    shop.rollout("start", "iris", shop.versions["drifting"], "--steps", "40,100")
    wait_for(lambda: shop.phase() == "Judging", 60, "the first step")

    second = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "controlplane.rollout", "iris"),
            f"--kubeconfig={shop.platform.home / 'kubeconfig'}",
        ],
        cwd=ROOT,
        env=shop.platform.env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    shop.rollout("abort", "iris")
    wait_for(lambda: shop.phase() == "Done", 60, "its end")
    assert "another acts" in second.stdout


def test_the_engine_steps_back_from_what_somebody_else_changed(shop: Shop) -> None:
    """It leaves their weight, says what it found, and a new rollout asks for a clean start."""
    version = shop.versions["drifting"]
    shop.rollout("start", "iris", version, "--steps", "40,100")
    wait_for(lambda: shop.phase() == "Judging", 60, "the first step")
    refused = shop.rollout("start", "iris", version, expect=1)
    canary = shop.kubectl.get("isvc/iris")["spec"]["canary"]

    shop.kubectl.patch("isvc/iris", {"canary": [{**canary[0], "trafficPercent": 37}]})
    wait_for(lambda: shop.phase() == "Done", 60, "the engine to notice")

    state = shop.state()
    found = shop.kubectl.get("isvc/iris")["spec"]["canary"][0]["trafficPercent"]
    again = shop.rollout("start", "iris", version, expect=1)
    shop.kubectl.patch("isvc/iris", {"canary": None})
    assert "is under way" in refused
    assert state["outcome"] == "SteppedBack"
    assert "a canary of 37 % where 40 % was set" in state["reason"]
    assert found == 37
    assert "has a canary that no rollout made" in again
    assert "RolloutSteppedBack" in shop.kubectl.out("events", "--for", "InferenceService/iris")
