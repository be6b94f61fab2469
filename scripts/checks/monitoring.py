"""Prometheus' own checks of rules, by promtool; dashboards against their code."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from controlplane.local.node.prometheus_server import groups
from scripts.checks.repository import ROOT, tracked

RULES = ".rules.yaml"
TESTS = ".test.yaml"


def rules() -> Iterator[str]:
    """Every PrometheusRule is one that Prometheus takes, and its promtool tests pass."""
    promtool = shutil.which("promtool") or "promtool"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in tracked(RULES):
            plain = folder / f"{path.name.removesuffix(RULES)}.yml"
            plain.write_text(yaml.safe_dump(groups(ROOT / path)), "utf-8")
            yield from _complaint(promtool, "check", "rules", str(plain), about=path)
        for path in tracked(TESTS):
            if path.parts[0] == "monitoring":
                copied = shutil.copy(ROOT / path, folder)
                yield from _complaint(promtool, "test", "rules", str(copied), about=path)


def dashboards() -> Iterator[str]:
    """The committed dashboards are what scripts/boards makes."""
    from scripts.boards import grafana

    for path, content in grafana.files().items():
        if not path.exists() or path.read_text("utf-8") != content:
            yield f"{path.relative_to(ROOT)} is not what scripts/boards makes: ./serin dashboards"


def _complaint(*command: str, about: Path) -> Iterator[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        yield f"{about}: {done.stdout}{done.stderr}".strip()
