"""A channel on the whole platform: an InferenceService that follows it, behind Envoy."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.support import channel_traffic, trained
from tests.support.channel import variant, version
from tests.support.channel_traffic import Traffic
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for

URI = "s3://models/iris@stable"
REPLICAS = 3


class Fleet:
    """Replicas of iris on a platform of their own, which follow one channel."""

    def __init__(self, platform: Platform, versions: list[str]) -> None:
        self.platform = platform
        self.versions = versions

    @property
    def state(self) -> dict[str, Any]:
        """The channel's state, as it is in the store."""
        path = self.platform.home / "s3/models/iris/channels/stable/state.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except ValueError:  # it is being written
            return self.state
        return found

    def status(self) -> dict[str, Any]:
        """What `channel status -o json` prints."""
        done = self.platform.serin("channel", "status", "iris", "-o", "json")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def follow(self) -> bool:
        """Whether every replica is ready and serves what is committed."""
        said = self.status()
        return len(said["replicas"]) == REPLICAS and all(
            one["ready"] and one.get("generation") == said["generation"] for one in said["replicas"]
        )

    def proposed(self, process: "Popen[str]") -> bool:
        """Whether a version is being prepared, or that is over already."""
        return self.state["next"] is not None or process.poll() is not None

    def victim(self) -> psutil.Process:
        """The process of one replica."""
        return psutil.Process(self.platform.pods()[0]["pid"])

    @contextmanager
    def store_stopped(self) -> Iterator[None]:
        """Nothing answers from the S3 server meanwhile, though it takes connections."""
        server = next(
            one for one in self.platform.processes() if one.cmdline()[1:3] == ["serve", "s3"]
        )
        server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            server.send_signal(signal.SIGCONT)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Three replicas that follow a channel of three versions."""
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
        wait_for(fleet.follow, 60, "replicas that follow")
        yield fleet
    finally:
        platform.serin("down")
        assert platform.leftovers() == []


def test_swaps_under_load_lose_nothing(fleet: Fleet) -> None:
    """Through Envoy, with a replica killed and the store stopped amid a prepare, and back again."""
    platform, versions = fleet.platform, fleet.versions
    address = urlsplit(platform.url).netloc
    with Traffic(address, 100) as traffic:
        platform.serin("channel", "set", "iris", versions[1])
        with during_prepare(fleet, versions[2]):
            fleet.victim().kill()
        wait_for(fleet.follow, 60, "the killed replica's return")
        with during_prepare(fleet, versions[0]), fleet.store_stopped():
            answered = len(traffic.history)
            wait_for(lambda: len(traffic.history) > answered + 100, 60, "answers without a store")
        wait_for(fleet.follow, 60, "every replica after the store's return")
        before = fleet.state["previous"]
        platform.serin("channel", "rollback", "iris")
        assert fleet.state["version"] == before
    assert traffic.failures == []
    assert channel_traffic.fallen(traffic.history) == []
    committed = {one["generation"]: one["version"] for one in history(fleet)}
    assert {(one.generation, one.version) for one in traffic.history} <= set(committed.items())


@contextmanager
def during_prepare(fleet: Fleet, version: str) -> Iterator[None]:
    """Have a version set; whether that comes to something is the writer's, and is said."""
    process = fleet.platform.start("channel", "set", "iris", version)
    wait_for(lambda: fleet.proposed(process), 30, "the proposal")
    try:
        yield
    finally:
        out, err = process.communicate(timeout=100)
    if process.returncode:
        assert "Nothing was committed" in err, (out, err)
    else:
        assert fleet.state["version"] == version


def history(fleet: Fleet) -> list[dict[str, Any]]:
    """Every commit."""
    done = fleet.platform.serin("channel", "history", "iris", "-o", "json")
    found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return found
