"""Prometheus as a process: the real one, on loopback, with the cluster's labels and rules.

What a PodMonitor and kube-state-metrics do in a cluster is here a folder of target files that
Prometheus watches. Its data outlives a restart; where the program is missing everything but
scaling works.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controlplane import settings
from controlplane.errors import SerinError
from controlplane.local.node import processes
from controlplane.local.node.processes import Child
from controlplane.statefolder import ROOT, Home, write_text

RETENTION_TIME = "3d"
RETENTION_SIZE = "256MB"
SCRAPE_SECONDS = 5
"""As monitoring/podmonitor.yaml has it."""
EVALUATION_SECONDS = 15
RULES = ROOT / "monitoring" / "rules"
PREDICTORS = "models/predictors"
"""As the operator names a PodMonitor's job: its namespace and name."""
STATE = "kube-state-metrics"
MISSING = (
    "Prometheus is missing, so nothing scales and nothing is recorded; everything else works. "
    "Debian, Ubuntu: apt install prometheus. macOS: brew install prometheus. Or name it with "
    "SERIN_PROMETHEUS=/path/to/prometheus. Then: ./serin down, ./serin up."
)


@dataclass(frozen=True, slots=True)
class Target:
    """Something to scrape, with the labels that a cluster's scrape would give it."""

    port: int
    labels: Mapping[str, str]


class Server:
    """The Prometheus of one state folder."""

    def __init__(self, home: Home, port: int | None = None) -> None:
        self.folder = home.path / "prometheus"
        self.log = home.logs / "prometheus.log"
        asked = settings.port(settings.PROMETHEUS_PORT, 0) if port is None else port
        self._fixed = bool(asked)
        self.port = asked
        self.child: Child | None = None
        self._written: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Where to ask."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it without waiting; a free port is chosen anew each time, unless one is set.

        Raises:
            SerinError: There is no such program, or the port that was asked for is taken.
        """
        program = binary()
        if not self._fixed:
            self.port = processes.free_ports(1)[0]
        elif not processes.is_free(self.port):
            raise SerinError(
                f"Port {self.port}, for Prometheus, is taken: stop what listens there, or choose "
                "another with SERIN_PROMETHEUS_PORT (0 = any)."
            )
        for name in ("targets", "rules"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._write_rules()
        write_text(self.folder / "prometheus.yml", yaml.safe_dump(configuration(self.folder)))
        command = [
            str(program),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--storage.tsdb.retention.time={RETENTION_TIME}",
            f"--storage.tsdb.retention.size={RETENTION_SIZE}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]
        self.child = Child("Prometheus", command, self.log, {"PATH": os.environ.get("PATH", "")})

    def scrape(self, job: str, targets: Iterable[Target]) -> None:
        """Have a job scrape these from now on; Prometheus notices the file at once."""
        listed = [
            {"targets": [f"127.0.0.1:{target.port}"], "labels": dict(target.labels)}
            for target in targets
        ]
        text = json.dumps(listed, indent=1)
        if self._written.get(job) != text:
            (self.folder / "targets").mkdir(parents=True, exist_ok=True)
            # Beside the watched folder, and renamed into it.
            temporary = self.folder / f".{_file(job)}"
            temporary.write_text(text, "utf-8")
            temporary.replace(self.folder / "targets" / _file(job))
            self._written[job] = text

    def stop(self) -> None:
        """Stop it; the data stay."""
        if self.child:
            self.child.stop(10)
            self.child = None

    def _write_rules(self) -> None:
        wanted = {f"{path.stem}.yml": groups(path) for path in sorted(RULES.glob("*.rules.yaml"))}
        for old in (self.folder / "rules").glob("*.yml"):
            if old.name not in wanted:
                old.unlink()
        for name, content in wanted.items():
            write_text(self.folder / "rules" / name, yaml.safe_dump(content, sort_keys=False))


def configuration(folder: Path) -> dict[str, Any]:
    """What Prometheus starts with; targets come through files."""

    def job(name: str) -> dict[str, Any]:
        return {
            "job_name": name,
            "file_sd_configs": [{"files": [str(folder / "targets" / _file(name))]}],
        }

    return {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS}s",
            "scrape_timeout": f"{SCRAPE_SECONDS - 1}s",
            "evaluation_interval": f"{EVALUATION_SECONDS}s",
        },
        "rule_files": [str(folder / "rules" / "*.yml")],
        "scrape_configs": [
            job(PREDICTORS),
            # Its labels say which object is meant, not where it was scraped.
            {**job(STATE), "honor_labels": True},
        ],
    }


def groups(path: Path) -> dict[str, Any]:
    """A PrometheusRule's groups as a plain rule file."""
    document = yaml.safe_load(path.read_text("utf-8"))
    return {"groups": document["spec"]["groups"]}


def binary() -> Path:
    """The Prometheus program: SERIN_PROMETHEUS, or prometheus on PATH.

    Raises:
        SerinError: There is none.
    """
    named = os.environ.get("SERIN_PROMETHEUS")
    if named and not os.access(named, os.X_OK):
        raise SerinError(f"SERIN_PROMETHEUS names {named}, which is not an executable file.")
    found = named or shutil.which("prometheus")
    if not found:
        raise SerinError(MISSING)
    return Path(found)


def _file(job: str) -> str:
    return f"{job.rsplit('/', 1)[-1]}.json"
