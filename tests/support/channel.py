"""A channel for tests: versions that differ in what their manifest tells, and its documents."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controlplane.store import channels
from predictors.runtime import MANIFEST, version_of
from training.publish.registry import Registry


def variant(artifact: Path, number: int, folder: Path) -> Path:
    """An artifact of another version, and of the same files."""
    shutil.copytree(artifact, folder)
    document = json.loads((folder / MANIFEST).read_bytes())
    document["metrics"]["variant"] = number
    (folder / MANIFEST).write_text(json.dumps(document), "utf-8")
    return folder


def version(folder: Path) -> str:
    """The version of an artifact's folder."""
    return version_of((folder / MANIFEST).read_bytes())


class Hand:
    """Writes a channel's documents by hand, as the writer would without asking anybody."""

    def __init__(self, registry: Registry, model: str, name: str = "stable") -> None:
        self._registry = registry
        self.folder = f"{model}/channels/{name}"
        self.state: dict[str, Any] = {}

    def begin(self, version: str, *, mode: str = channels.STRICT, keep: float = 60.0) -> None:
        """Make the channel."""
        self._write(channels.first(version, "test", "", time.time(), mode=mode, keep=keep))

    def propose(self, version: str) -> None:
        """Have a version prepared."""
        self._write(channels.proposed(self.state, version, "test", "", time.time(), 60.0))

    def arm(self, replica: str) -> None:
        """Tell of a commit to come, and wait until a replica has heard of it."""
        self._write(channels.armed(self.state, time.time()))
        number = self.state["proposed"]
        self.wait(replica, lambda told: told["armed"] == number, "an armed replica")

    def commit(self, replica: str = "a") -> None:
        """Commit what is proposed."""
        self.arm(replica)
        self._write(channels.committed(self.state, time.time()))

    def back(self, replica: str = "a") -> None:
        """Commit the version before."""
        self.propose(self.state["previous"])
        self.arm(replica)
        self._write(channels.committed(self.state, time.time(), lead=channels.BACK_SECONDS))

    def report(self, replica: str) -> dict[str, Any]:
        """What a replica wrote last; empty where it wrote nothing, or is writing just now."""
        raw = self._registry.get(f"{self.folder}/replicas/{replica}.json")
        try:
            return json.loads(raw) if raw else {}
        except ValueError:  # rclone gives what of an object has come
            return {}

    def wait(
        self, replica: str, true: Callable[[dict[str, Any]], object], what: str
    ) -> dict[str, Any]:
        """A replica's report, once it is as it should be."""
        deadline = time.monotonic() + 90
        while not ((report := self.report(replica)) and true(report)):
            assert time.monotonic() < deadline, f"waited for {what}: {report}"
            time.sleep(0.05)
        return report

    def _write(self, state: dict[str, Any]) -> None:
        self.state = state
        self._registry.put(f"{self.folder}/state.json", json.dumps(state).encode())
