"""`serin simulate` as a person runs it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scripts.checks.repository import ROOT
from scripts.verbs.serving.simulate import command

MANIFESTS = sorted(path for path in (ROOT / "keda").rglob("*.yaml") if path.stem != "kustomization")


def simulated(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments])


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: "-".join(path.parts[-2:]))
def test_every_manifest_can_be_replayed(path: Path) -> None:
    """The repository's ScaledObjects, unchanged, scale out under a step."""
    done = simulated(path, "--curve", "step", "--minutes", 5, "--rates", 5, 400)

    assert done.exit_code == 0, done.output
    assert "TooManyReplicas" in done.output
    assert "replica-hours" in done.output


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    """Nothing but the seed is chance."""
    outputs = {
        simulated(MANIFESTS[0], "--minutes", 5, "--seed", seed, "--json").output
        for seed in (1, 1, 2)
    }

    assert len(outputs) == 2


def test_json_has_every_decision(tmp_path: Path) -> None:
    """Also those that changed nothing, each with its explanation."""
    picture = tmp_path / "run.svg"
    found = json.loads(simulated(MANIFESTS[0], "--minutes", 5, "--json", "-o", picture).output)

    assert len(found["decisions"]) == 11 + 20  # a poll each 30 s, a sync each 15 s
    assert all(one["explanation"] for one in found["decisions"])
    assert found["sums"]["requests"] > 0
    assert picture.read_text().startswith("<svg")


def test_a_fault_in_the_manifest_names_the_field(tmp_path: Path) -> None:
    """The file and the field are in the message."""
    broken = tmp_path / "rule.yaml"
    rule = (ROOT / "keda/iris.yaml").read_text()
    broken.write_text(rule.replace('threshold: "8"', 'threshold: "few"'))
    done = simulated(broken)

    assert done.exit_code == 1
    assert f"{broken}: spec.triggers[0].metadata.threshold: expected a number" in str(
        done.exception
    )


def test_load_and_metrics_exclude_each_other(tmp_path: Path) -> None:
    """One gives pods something to do, the other needs no pods."""
    trace = tmp_path / "t.csv"
    trace.write_text("0,1\n")

    assert simulated(MANIFESTS[0], "--load", trace, "--metrics", trace).exit_code == 2
