"""docs/promql.md: every query of it, parsed by promtool and held to the metrics that exist."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from predictors.runtime.observe.metrics import ModelMetrics
from scripts.boards import autoscaling, overview, rollout, training
from scripts.checks.repository import ROOT
from tests.support import required

QUERIES = re.findall(
    r"^```promql\n(.*?)^```$",
    (ROOT / "docs" / "promql.md").read_text("utf-8"),
    re.MULTILINE | re.DOTALL,
)
BOARDS = (autoscaling.BOARD, overview.BOARD, rollout.BOARD, training.BOARD)


def metrics(query: str) -> set[str]:
    """Names of the series that a query selects."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", query)
    bare = re.sub(r"\b(?:by|on|ignoring|group_left)\s*\([^)]*\)", "", bare)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w|\s*\()", bare)
    return {word for word in words if "_" in word and word != "group_left"}


def exported() -> set[str]:
    """What predictors export, of classifiers and of language models, as Prometheus stores it."""
    registry = CollectorRegistry()
    model = ModelMetrics("m", "1", "onnx", classes=("a",))
    model.tokens.begin()
    registry.register(model)
    ProcessCollector(registry=registry)
    return {sample.name for family in registry.collect() for sample in family.samples}


def recorded() -> set[str]:
    """What the recording rules add."""
    files = (ROOT / "monitoring" / "rules").glob("*.rules.yaml")
    groups = [
        group for file in files for group in yaml.safe_load(file.read_text())["spec"]["groups"]
    ]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def drawn() -> set[str]:
    """What the dashboards draw, which tests/local/test_dashboards.py finds in a real Prometheus."""
    panels = [panel for board in BOARDS for panel in board.panels]
    return {name for panel in panels for query in panel.queries for name in metrics(query.expr)}


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_names_only_metrics_that_exist(query: str) -> None:
    """A predictor exports them, a rule records them, or a dashboard draws them."""
    named = metrics(query)

    assert named
    assert named <= exported() | recorded() | drawn()


def test_every_query_parses(tmp_path: Path) -> None:
    """Each is a recording rule's expression that promtool accepts."""
    promtool = required.binary("promtool")
    rules = [{"record": f"query:{place}", "expr": query} for place, query in enumerate(QUERIES)]
    file = tmp_path / "promql.rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "promql", "rules": rules}]}))

    done = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, check=False, timeout=30
    )

    assert rules
    assert done.returncode == 0, done.stdout + done.stderr
