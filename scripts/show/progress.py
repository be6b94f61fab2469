"""Waits until models are served, trains those that never were, and shows how far it is."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from controlplane import parts
from controlplane.errors import SerinError
from controlplane.local import client, published
from controlplane.local.client import Platform
from controlplane.local.node import processes
from controlplane.statefolder import Home
from controlplane.store import s3
from scripts.show import table

if TYPE_CHECKING:
    from rich.live import Live

SERVED_SECONDS = 180.0
"""For models that are trained: download, start, golden sample, first health check."""
TRAINING_SECONDS = 3600.0
ROOT = Path(__file__).parents[2]


class Training:
    """One run of a training script, its output in a log."""

    def __init__(self, name: str, platform: Platform) -> None:
        self.name = name
        self.log = platform.home.logs / f"train-{name}.log"
        self.log.unlink(missing_ok=True)
        self.temporary = platform.home.path / "training"
        self.temporary.mkdir(exist_ok=True)
        store = s3.external() or s3.of_platform(platform.home)
        if store is None:
            raise SerinError("Serin was stopped while models were being trained.")
        self.child = processes.Child(
            f"Training {name}",
            parts.installing(
                f"train-{name}",
                [sys.executable, "-P", "-m", f"training.{name.replace('-', '_')}"],
            ),
            self.log,
            {
                # The training's metrics are scraped; PUSHGATEWAY_URL of the shell wins.
                "PUSHGATEWAY_URL": (client.status(platform.home) or {}).get("pushgateway_url", ""),
                **os.environ,
                **store.env(),
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "TMPDIR": str(self.temporary),
            },
            cwd=ROOT,
        )

    def clean(self) -> None:
        """Remove its temporary files."""
        shutil.rmtree(self.temporary, ignore_errors=True)

    def last_line(self) -> str:
        """What it said last."""
        lines = self.child.log_text().replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Progress:
    """The live table on a terminal; elsewhere a line whenever something changes."""

    def __init__(self) -> None:
        self.live: Live | None = None
        self.shown: dict[str, str] = {}
        self.training: Training | None = None
        self.trained: set[str] = set()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.training:
            self.training.child.stop(5, signal.SIGINT)  # Python cleans up on it
            self.training.clean()
        if self.live:
            self.live.stop()

    def until_served(self, platform: Platform, names: list[str]) -> dict[str, Any]:
        """Wait until each model is served as wanted.

        Raises:
            SerinError: One cannot be, or time is up; says which and why.
        """
        generation = platform.generation
        deadline = time.monotonic() + SERVED_SECONDS
        while True:
            now = client.status(platform.home)
            if now is None:
                raise SerinError(f"Serin stopped; see {platform.home.logs / 'supervisor.log'}.")
            if now.get("observed_generation", 0) >= generation:
                if now["error"]:
                    raise SerinError(now["error"])
                models = {name: now["models"][name] for name in names if name in now["models"]}
                if self._train(platform, models):
                    generation = client.again(platform.home, self._finish())
                    deadline = time.monotonic() + SERVED_SECONDS
                elif self._done(models):
                    self._show(now, models)
                    return now
                self._show(now, models)
            if self.training:
                deadline = max(deadline, self.training.child.started_at + TRAINING_SECONDS)
            if time.monotonic() > deadline:
                raise SerinError(f"Waited too long: {_waiting(now, names)}. See ./serin logs.")
            time.sleep(0.1)

    def _done(self, models: Mapping[str, Any]) -> bool:
        """Whether all are served; a failure ends the wait once nothing else can still change."""
        states = {name: model["state"] for name, model in models.items()}
        if all(found == "Ready" for found in states.values()):
            return True
        failed = [name for name, found in states.items() if found == "Failed"]
        if failed and all(found in {"Ready", "Failed"} for found in states.values()):
            reasons = " ".join(f"{name}: {models[name]['reason']}." for name in failed)
            raise SerinError(f"{reasons} More: ./serin logs {failed[0]}")
        return False

    def _train(self, platform: Platform, models: Mapping[str, Any]) -> bool:
        """Train one unpublished model at a time; true when one has just been published."""
        if self.training:
            return self.training.child.exit_code() is not None
        for name, model in models.items():
            if model["state"] == "Unpublished" and name not in self.trained:
                if name in published.names(platform.home):
                    raise SerinError(
                        f"{name} has no published version left: ./serin publish {name} FILE"
                    )
                self.training = Training(name, platform)
                self.trained.add(name)
                break
        return False

    def _finish(self) -> str:
        """Take the finished training's result: the model's name."""
        training, self.training = self.training, None
        if training is None:
            raise SerinError("Nothing was trained.")
        training.clean()
        if training.child.exit_code():
            raise SerinError(
                f"Training {training.name} failed: {training.last_line()} (all of it: "
                f"{training.log})"
            )
        return training.name

    def _show(self, now: Mapping[str, Any], models: Mapping[str, Any]) -> None:
        view = {**now, "models": {name: dict(model) for name, model in models.items()}}
        for name, model in view["models"].items():
            if self.training and self.training.name == name:
                model.update(state="Training", reason=self.training.last_line())
            elif name in self.trained and model["state"] == "Unpublished":
                model.update(state="Starting", reason="")
            elif model["state"] == "Unpublished":
                model.update(state="Waiting", reason="to be trained")
        if self.live:
            self.live.update(table.Table(table.HEADER, table.rows(view)), refresh=True)
            return
        for name, model in view["models"].items():
            line = f"{name}: {model['state']} {model['replicas_ready']}/{model['replicas_wanted']}"
            if model["state"] == "Ready":
                line += f" version {model['version']}"
            elif model["reason"] and model["state"] != "Training":
                line += f" ({model['reason']})"
            if self.shown.get(name) != line:
                self.shown[name] = line
                sys.stderr.write(line + "\n")


def until_version(home: Home, name: str, version: str) -> None:
    """Wait until a model serves a version and no other.

    Raises:
        SerinError: It does not start, or time is up; what served goes on serving.
    """
    deadline = time.monotonic() + SERVED_SECONDS
    while True:
        now = client.status(home)
        if now is None:
            raise SerinError(f"Serin stopped; see {home.logs / 'supervisor.log'}.")
        model = now.get("models", {}).get(name, {})
        if model.get("target_version") == version:
            if model["state"] == "Ready":
                return
            if model["state"] == "Failed":
                raise SerinError(f"{name}: {model['reason']}. More: ./serin logs {name}")
        if time.monotonic() > deadline:
            raise SerinError(f"Waited too long: {_waiting(now, [name])}. See ./serin logs {name}.")
        time.sleep(0.1)


def _waiting(now: Mapping[str, Any], names: list[str]) -> str:
    models = now.get("models", {})
    return "; ".join(
        f"{name} is {models[name]['state']}, {models[name]['reason'] or 'no reason known'}"
        for name in names
        if name in models and models[name]["state"] != "Ready"
    )
