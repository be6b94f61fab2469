"""Random objects that mean harm against the supervisor's own loop: each harms itself alone.

HOSTILE_OBJECTS sets how many; by hand: HOSTILE_OBJECTS=100000 ./serin test
tests/local/test_hostile_objects.py. The seed is printed, and HOSTILE_SEED repeats it.
"""

import asyncio
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import SerinError
from controlplane.kubernetes import patchtypes
from controlplane.kubernetes.kinds import by_name
from controlplane.kubernetes.meta import key_of, sound
from controlplane.local import seeds
from controlplane.local.api.resources import Write
from controlplane.local.controllers import events
from controlplane.local.gateway.process import Gateway
from controlplane.local.node import processes
from controlplane.local.supervisor import Supervisor
from controlplane.statefolder import Home
from tests.support import hostile
from tests.support.chance import seed

COUNT = int(os.environ.get("HOSTILE_OBJECTS", "2000"))
BATCH = 50
LAP_SECONDS = 120  # of what hangs, not of what is slow: other work may have the processors
FORCED = 0.3
"""Of all: past admission, as the file of an earlier version might hold them."""
HOW = Write(manager="test", validation="Ignore")
URI = "s3://models/iris/0123456789ab"


class Ended:
    """A process that ended at once, after the checks that a real start makes."""

    pid = 0

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        for word in (*command, *env, *env.values()):
            if b"\0" in os.fsencode(word):
                raise ValueError("embedded null byte")
        if any("=" in name for name in env):
            raise ValueError("illegal environment variable name")

    def poll(self) -> int:
        """It succeeded."""
        return 0

    def wait(self, timeout: float | None = None) -> int:
        """It succeeded."""
        return 0


class Writes:
    """Remembers which paths this process writes, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.paths: set[str] = set()
        sys.addaudithook(self._heard)  # for good: off, it costs a call

    def outside(self, folder: Path) -> set[str]:
        """Those that are not in a folder, nor what the interpreter and the platform share."""
        kept = (str(folder), "/dev/")
        return {path for path in self.paths if not str(Path(path).absolute()).startswith(kept)}

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(path, str | bytes) and "__pycache__" not in str(path):
                self.paths.add(os.fsdecode(path))
        elif event in {"os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.rename"}:
            if isinstance(arguments[-1], int) and arguments[-1] >= 0:
                return  # relative to an open folder, whose own path was heard: rmtree goes so
            self.paths.update(os.fsdecode(one) for one in arguments if isinstance(one, str | bytes))


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """A real one whose processes end at once, and whose Envoy takes what it is told."""

    async def takes(_self: Gateway, _version: str) -> str:
        return ""

    async def versioned(_self: Supervisor, uri: str, _kept: str) -> str | None:
        return URI if uri == "s3://models/iris" else None

    async def nothing(_self: Gateway) -> set[int]:
        return set()

    def start(command: list[str], _out: Any, env: Mapping[str, str], *_: Any, **__: Any) -> Ended:
        return Ended(command, env)

    monkeypatch.setenv("SERIN_S3_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr(Gateway, "_verdict", takes)
    monkeypatch.setattr(Gateway, "healthy_ports", nothing)
    monkeypatch.setattr(Supervisor, "_versioned", versioned)
    monkeypatch.setattr(processes, "_start", start)
    home = Home(tmp_path / "state")
    home.prepare()
    (home.path / "pki").mkdir()  # as the API's start makes it, for the console's token
    return Supervisor(home, 8080)


async def arrive(supervisor: Supervisor, one: dict[str, Any], *, forced: bool) -> bool:
    """Store an object, by the API or as a file of an earlier version would hold it."""
    kind = by_name(one["kind"])
    assert kind
    try:
        if forced:
            supervisor.objects.create(sound(one))
        else:
            namespace = "models" if kind.namespaced else ""
            await supervisor.api.resources.create(kind, namespace, one, HOW)
    except SerinError:
        return False
    return True


async def leave(supervisor: Supervisor, one: dict[str, Any]) -> None:
    """Delete an object by the API, which must always work."""
    kind = by_name(one["kind"])
    assert kind
    key = key_of(one)
    if supervisor.objects.find(*key):
        await supervisor.api.resources.delete(kind, key[1], key[2], {}, dry_run=False)


async def begin(supervisor: Supervisor, known: dict[str, list[dict[str, Any]]]) -> None:
    """Start what needs no process, and serve iris."""
    seeds.seed(supervisor.objects, supervisor._store())
    supervisor.fleet.prepare(supervisor.home, supervisor._store(), supervisor._find)
    for kind in ("ServingRuntime", "InferenceService"):
        for one in known[kind]:
            if one["metadata"]["name"] in {"iris", "serin-iris"}:
                assert await arrive(supervisor, one, forced=False)


async def end(supervisor: Supervisor) -> None:
    """Let no task outlive the test."""
    supervisor.fleet.close()
    await supervisor.scaling.stop()
    await supervisor.fleet.stop(0)
    await supervisor.jobs.stop()


async def look(supervisor: Supervisor, seconds: int) -> None:
    """Change iris, let the loop run, and check that the change was carried out."""
    service, patch = by_name("InferenceService"), {"spec": {"predictor": {"timeout": seconds}}}
    assert service
    await supervisor.api.resources.patch(
        *(service, "models", "iris", patchtypes.MERGE, patch, HOW), status=False
    )
    async with asyncio.timeout(LAP_SECONDS):
        for _ in range(2):
            await supervisor._lap()
            supervisor.scaling._look()
            await asyncio.sleep(0)
    route = supervisor.objects.get("HTTPRoute", "models", "iris")
    assert route["spec"]["rules"][-1]["timeouts"]["request"] == f"{seconds}s"
    assert [fault for fault in supervisor.fence.faults() if fault.kind == "platform"] == []
    assert supervisor.objects.count("Event") <= events.MOST + events.SLACK + BATCH  # bounded


@pytest.mark.timeout(max(300, COUNT // 10))
def test_hostile_objects_harm_themselves_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    """The loop goes on for the others, every object can be deleted, no file is written outside."""
    chance, known, writes = random.Random(seed("HOSTILE_SEED")), hostile.valid(), Writes()

    async def follow() -> int:
        await begin(supervisor, known)
        stored = 0
        for batch in range(-(-COUNT // BATCH)):
            made = [hostile.broken(chance, known, f"h{batch}-{place}") for place in range(BATCH)]
            there = [
                one
                for one in made
                if await arrive(supervisor, one, forced=chance.random() < FORCED)
            ]
            stored += len(there)
            await look(supervisor, 60 + batch % 100)
            for one in there:
                await leave(supervisor, one)
            await supervisor._lap()
        await end(supervisor)
        return stored

    writes.on = True
    try:
        stored = asyncio.run(follow())
    finally:
        writes.on = False
    assert COUNT // 10 < stored < COUNT - COUNT // 10  # both doors were tried
    assert writes.outside(tmp_path) == set()
