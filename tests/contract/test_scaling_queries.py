"""Every ScaledObject's query, run by promtool on series as a predictor exports them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controlplane.autoscale import parsing
from controlplane.autoscale.rule import Prometheus, Rule
from scripts.checks.repository import ROOT
from tests.support import required

MANIFESTS = sorted(path for path in (ROOT / "keda").rglob("*.yaml") if path.stem != "kustomization")


def in_flight(deployment: str, pod: str, values: str) -> dict[str, str]:
    labels = f'namespace="models",deployment="{deployment}",pod="{pod}",model="m"'
    return {"series": f"predictor_requests_in_flight{{{labels}}}", "values": values}


def asked(deployment: str) -> dict[str, str]:
    """A request a scrape."""
    labels = f'namespace="models",deployment="{deployment}",pod="a",model="m",outcome="ok"'
    return {"series": f"predictor_requests_total{{{labels}}}", "values": "0+1x40"}


def cases(rule: Rule) -> list[tuple[str, list[dict[str, str]], float | None]]:
    """What is there, and the one number that must come out; None is no sample."""
    other = in_flight("other-predictor", "z", "90x40")
    mine = [in_flight(rule.target, pod, "3x40") for pod in ("a", "b")]
    lost = in_flight(rule.target, "b", "3x10 stale")
    return [
        ("two pods", [*mine, other], 6),
        ("at rest", [in_flight(rule.target, "a", "0x40"), other], 0),
        ("one pod left", [mine[0], lost, other], 3),
        ("every pod lost", [lost, other], None),
        ("others asked", [in_flight(rule.target, "a", "0x40"), asked("other-predictor")], 0),
        *([] if "-canary-" in rule.target else brief(rule)),
    ]


def brief(rule: Rule) -> Iterator[tuple[str, list[dict[str, str]], float]]:
    """Requests too short for a scrape to see: what may sleep is awake, and scales on no more."""
    for count in (0, 3):
        seen = in_flight(rule.target, "a", f"{count}x40")
        yield f"asked, and {count} in flight", [seen, asked(rule.target)], count + 0.01


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: "-".join(path.parts[-2:]))
def test_the_query_gives_one_sample_or_none(path: Path, tmp_path: Path) -> None:
    """One sample of this Deployment alone while a pod reports, and none where all are lost."""
    promtool = required.binary("promtool")
    rule = parsing.rule(yaml.safe_load(path.read_text()))
    tests = [
        {
            "name": what,
            "interval": "5s",
            "input_series": series,
            "promql_expr_test": [
                {
                    "expr": trigger.query,
                    "eval_time": "3m",
                    "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
                }
            ],
        }
        for what, series, value in cases(rule)
        for trigger in rule.triggers
        if isinstance(trigger, Prometheus)
    ]
    file = tmp_path / "query.test.yaml"
    file.write_text(json.dumps({"rule_files": [], "tests": tests}))

    done = subprocess.run(
        [promtool, "test", "rules", file], capture_output=True, text=True, check=False, timeout=30
    )

    assert tests
    assert done.returncode == 0, done.stdout + done.stderr
