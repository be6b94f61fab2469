"""Progress of a training script on stderr: a bar where a person looks, lines elsewhere.

Steps are JSON there, a line each time another twentieth is done, for whatever reads a pod's log:

    {"doing": "learning pairs", "step": 51, "steps": 1012, "loss": 0.82,
     "samples_per_second": 310.5, "eta_seconds": 98.8}

Where PUSHGATEWAY_URL is set, the same goes to that Prometheus Pushgateway as training_loss,
training_samples_per_second, training_eta_seconds, training_steps and training_step, with the label
model; a gateway that does not answer is told of once and costs the training nothing else.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import push_to_gateway
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from training import run

LINES = 20  # of a bar, at most
PUSH_SECONDS = 5.0


class Reporter:
    """Says what a script does; results go to stdout, which others read."""

    def __init__(self, model: str) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._started = time.monotonic()
        self._model = model
        self._gateway = os.environ.get("PUSHGATEWAY_URL", "")

    def say(self, text: str) -> None:
        """One line: what happened, and when on plain output, where no bar shows time passing."""
        run.current().log.append(text)
        if self._console.is_terminal:
            self._console.print(text, markup=False, soft_wrap=True)
        else:
            print(f"{time.monotonic() - self._started:6.1f} s  {text}", file=sys.stderr, flush=True)

    @contextmanager
    def bar(self, doing: str, steps: int) -> Iterator["Bar"]:
        """Show which of `steps` steps are done while the block runs."""
        if not self._console.is_terminal:
            self.say(f"{doing} …")
            yield Bar(self, doing, steps, None)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=self._console) as progress:
            progress.add_task(doing, total=steps)
            yield Bar(self, doing, steps, progress)

    def tell(self, measured: dict[str, str | float]) -> None:
        """One JSON line, where no bar is; and the gateway, where there is one."""
        if not self._console.is_terminal:
            print(json.dumps(measured), file=sys.stderr, flush=True)
        if self._gateway:
            self._push({name: one for name, one in measured.items() if not isinstance(one, str)})

    def _push(self, measured: dict[str, float]) -> None:
        registry = CollectorRegistry()
        for name, value in measured.items():
            gauge = Gauge(f"training_{name}", "Of the training that runs", registry=registry)
            gauge.set(value)
        try:
            push_to_gateway(
                self._gateway,
                job="training",
                registry=registry,
                grouping_key={"model": self._model},
                timeout=PUSH_SECONDS,
            )
        except (OSError, ValueError) as error:
            self.say(f"PUSHGATEWAY_URL {self._gateway} takes no metrics, going on without: {error}")
            self._gateway = ""


class Bar:
    """The steps of one part of a training."""

    def __init__(self, report: Reporter, doing: str, steps: int, progress: Progress | None) -> None:
        self._report = report
        self._doing = doing
        self._steps = steps
        self._progress = progress
        self._told_step, self._told_at = 0, time.monotonic()
        self._first_step, self._first_at = 0, time.monotonic()
        self._samples = 0

    def resume(self, step: int) -> None:
        """So many steps were done by a run before this one."""
        self._told_step, self._told_at = step, time.monotonic()
        self._first_step, self._first_at = step, time.monotonic()
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=step)

    def reach(self, step: int, *, samples: int = 0, loss: float | None = None) -> None:
        """Show how far it is.

        Args:
            step: so many are done.
            samples: rows learnt from since the last call.
            loss: of the last step, if there is one.
        """
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=step)
        self._samples += samples
        each = (time.monotonic() - self._first_at) / max(step - self._first_step, 1)
        told = {} if loss is None else {"loss": loss}
        run.current().step(step, self._steps, (self._steps - step) * each, told)
        if step * LINES // self._steps == self._told_step * LINES // self._steps:
            return
        now = time.monotonic()
        seconds = max(now - self._told_at, 1e-6)
        left = (self._steps - step) * seconds / (step - self._told_step)
        measured: dict[str, str | float] = {
            "doing": self._doing,
            "step": step,
            "steps": self._steps,
        }
        if loss is not None:
            measured["loss"] = round(loss, 4)
        if samples:
            measured["samples_per_second"] = round(self._samples / seconds, 1)
            run.current().measured["samples_per_second"] = round(self._samples / seconds, 1)
        measured["eta_seconds"] = round(left, 1)
        self._report.tell(measured)
        self._told_step, self._told_at, self._samples = step, now, 0
