"""When a pod of a laptop may start its process: many that start leave the others a processor."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controlplane.local.node import pods
from controlplane.local.node.pods import Pod, Surroundings
from controlplane.statefolder import Home
from controlplane.store.s3 import Store
from tests.support.manifests import planned, service

SECONDS = 30


@dataclass
class Process:
    """One that runs until it is told to end."""

    name: str
    code: int | None = None
    pid: int = 0

    def exit_code(self) -> int | None:
        """What it ended with."""
        return self.code

    def send(self, number: int) -> None:
        """End."""
        self.code = -number

    def kill(self) -> None:
        """End."""
        self.code = -9

    def log_text(self) -> str:
        """Nothing."""
        return ""


@dataclass
class World:
    """Pods whose processes and probes are the test's."""

    home: Home
    starts: int
    retries: int
    started: list[Process] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    ready: set[str] = field(default_factory=set)

    def pods(self, count: int) -> list[Pod]:
        """Begin so many."""
        around = Surroundings(
            self.home,
            Store("http://127.0.0.1:1", "a", "b"),
            lambda: None,
            lambda pod: False,
            lambda kind, name: None,
            starts=asyncio.Semaphore(self.starts),
            retries=asyncio.Semaphore(self.retries),
        )
        (deployment,) = planned(service()).deployments
        return [Pod(deployment, around) for _ in range(count)]

    def running(self) -> list[Process]:
        """Processes that have not ended."""
        return [process for process in self.started if process.code is None]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two may start at once, and one that failed before."""
    there = World(Home(tmp_path), 2, 1)

    def start(name: str, *_: Any, **__: Any) -> Process:
        there.started.append(Process(name))
        return there.started[-1]

    def fetch(pod: Pod) -> Path:
        there.fetched.append(pod.name)
        return tmp_path

    async def passes(pod: Pod, _probe: object) -> bool:
        return pod.name in there.ready

    monkeypatch.setattr(pods, "Child", start)
    monkeypatch.setattr(pods, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(Pod, "_fetch", fetch)
    monkeypatch.setattr(Pod, "_passes", passes)
    return there


async def until(true: Callable[[], bool]) -> None:
    """Wait, and let everything that can happen by itself happen."""
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
    for _ in range(20):
        await asyncio.sleep(0)


async def end(every: list[Pod]) -> None:
    """Let no task outlive the test."""
    for pod in every:
        await pod.terminate(0)


def test_as_many_start_at_once_as_there_are_turns(world: World) -> None:
    """The others wait until one is ready, or ends."""

    async def scenario() -> None:
        every = world.pods(5)
        await until(lambda: len(world.fetched) == 5)
        assert len(world.started) == 2

        world.ready.add(world.started[0].name)
        await until(lambda: len(world.started) == 3)
        world.started[1].code = 1
        for pod in every:
            pod.poke()
        await until(lambda: len({process.name for process in world.started}) == 4)
        await end(every)

    asyncio.run(scenario())


def test_what_failed_to_start_waits_for_its_like_alone(world: World) -> None:
    """Pods that end before they are ready start one after another; a sound one does not wait."""

    async def scenario() -> None:
        failing = world.pods(2)
        await until(lambda: len(world.running()) == 2)
        for process in world.running():
            process.code = 1
        for pod in failing:
            pod.poke()
        await until(lambda: len(world.fetched) == 4)
        assert len(world.running()) == 1

        (again,) = world.running()
        again.code = 1
        for pod in failing:
            pod.poke()
        await until(lambda: len(world.started) == 4)
        assert [process.name == again.name for process in world.running()] == [False]
        await end(failing)

    asyncio.run(scenario())
