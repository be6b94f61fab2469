"""An engine that dies of SIGKILL at every point where that could matter, once at each.

    python -m tests.support.fragile_engine MODEL KUBECONFIG PROMETHEUS DEATHS

DEATHS is a file with a line for each death so far: `<phase> entered`, right after the phase was
written down, or `<phase> <act>`, after the act and before anything of it is written. Started again
under the same name, as one engine would be, it goes on to its next death. Exits 0 once it is over.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from controlplane.kubernetes.client import Access, Kubernetes
from controlplane.prometheus import Prometheus
from controlplane.rollout.effects.cluster import Cluster
from controlplane.rollout.effects.record import Record, Records
from controlplane.rollout.engine import Engine
from controlplane.rollout.steps.acts import Act
from controlplane.rollout.steps.seen import Seen
from controlplane.rollout.steps.state import Phase, State


class _Deaths:
    """Where it died already."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.phase: Phase | None = None

    def here(self, point: str) -> None:
        """Die, unless it died here before."""
        line = f"{self.phase} {point}"
        if self._file.exists() and line in self._file.read_text("utf-8").splitlines():
            return
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        os.kill(os.getpid(), signal.SIGKILL)


class _FragileCluster(Cluster):
    deaths: _Deaths

    def do(self, act: Act, seen: Seen) -> None:
        super().do(act, seen)
        self.deaths.here(type(act).__name__)


class _FragileRecords(Records):
    deaths: _Deaths

    def save(self, record: Record, me: str, state: State, **how: Any) -> Record:
        written = super().save(record, me, state, **how)
        self.deaths.phase = state.phase
        if state.phase is not Phase.DONE and record.state and state.phase is not record.state.phase:
            self.deaths.here("entered")
        return written


def main() -> int:
    """Go on with the rollout of a model until the next death, or its end."""
    model, kubeconfig, prometheus, file = sys.argv[1:]
    deaths = _Deaths(Path(file))
    with Kubernetes(Access(Path(kubeconfig), None, None)) as api:
        engine = Engine(api, model, Prometheus.at(prometheus), "fragile")
        engine.cluster = cluster = _FragileCluster(api, model)
        engine.records = records = _FragileRecords(api, model)
        cluster.deaths = records.deaths = deaths
        found = records.read()
        deaths.phase = found.state.phase if found and found.state else None
        return 0 if engine.run() else 1


if __name__ == "__main__":
    sys.exit(main())
