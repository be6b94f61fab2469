"""Scaling on the laptop, end to end: real requests, real Prometheus, KEDA's and the HPA's rules.

The cluster's periods would make this an hour: the HPA looks every 5 s, and the ScaledObject of the
test has short windows.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from scripts.verbs.serving.simulate import command
from tests.support import required
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform, wait_for
from tests.support.threads import Threads

STEP_SECONDS = 5
PER_REPLICA = 7  # requests a second
REST, TEN_TIMES = 2, 20
SENDERS = 4
QUERY = 'sum(rate(predictor_requests_total{deployment="iris-predictor"}[15s]))'
RULE: dict[str, Any] = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "iris-predictor", "namespace": "models"},
    "spec": {
        "scaleTargetRef": {"name": "iris-predictor"},
        "minReplicaCount": 1,
        "maxReplicaCount": 3,
        "pollingInterval": STEP_SECONDS,
        "fallback": {
            "failureThreshold": 2,
            "replicas": 2,
            "behavior": "currentReplicasIfHigher",
        },
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {
                    "scaleDown": {
                        "stabilizationWindowSeconds": 17,  # no multiple of the step
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 4}],
                    }
                }
            }
        },
        "triggers": [
            {
                "type": "prometheus",
                "metricType": "AverageValue",
                "metadata": {
                    "serverAddress": "http://prometheus-operated.monitoring:9090",
                    "threshold": str(PER_REPLICA),
                    "ignoreNullValues": "false",
                    "timeout": "1s",
                    "query": QUERY,
                },
            }
        ],
    },
}


class Requests(Threads):
    """An open load on iris; how many a second can be changed."""

    def __init__(self, platform: Platform, rate: float) -> None:
        super().__init__([self._send] * SENDERS)
        self.rate = rate
        self.statuses: list[int] = []
        self._platform = platform

    def _send(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            due = max(due + SENDERS / self.rate, time.monotonic() - 1)
            self._over.wait(max(due - time.monotonic(), 0))
            self.statuses.append(self._platform.infer()[0])


@pytest.fixture
def prometheus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file; while it is there, Prometheus cannot be started."""
    broken = tmp_path / "broken"
    program = tmp_path / "prometheus"
    real = required.binary("prometheus")
    program.write_text(f'#!/bin/sh\n[ ! -e {broken} ] || exit 1\nexec {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("SERIN_PROMETHEUS", str(program))
    monkeypatch.setenv("SERIN_HPA_SYNC_PERIOD", str(STEP_SECONDS))
    return broken


def kill_prometheus(platform: Platform) -> None:
    (process,) = [one for one in platform.processes() if one.name().startswith("prometheus")]
    os.kill(process.pid, signal.SIGKILL)


def decisions(platform: Platform) -> list[dict[str, Any]]:
    """The lines of scaling.log since the ScaledObject was made anew."""
    text = (platform.home / "logs" / "scaling.log").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    lines = [line for line in lines if line["scaledobject"] == "iris-predictor"]
    first = max(number for number, line in enumerate(lines) if line["seconds"] < 1)
    return lines[first:]


def on_the_grid(line: dict[str, Any]) -> int:
    """The time that a decision was due."""
    return int(line["seconds"] // STEP_SECONDS) * STEP_SECONDS


def predicted(lines: list[dict[str, Any]], tmp_path: Path) -> list[dict[str, Any]]:
    """What `serin simulate` decides on the metric that was read."""
    metric = {on_the_grid(line): line["readings"]["s0-prometheus"] for line in lines}
    rows = [f"{at},{'error' if isinstance(value, str) else value}" for at, value in metric.items()]
    (tmp_path / "metric.csv").write_text("\n".join(["seconds,value", *rows]))
    (tmp_path / "rule.yaml").write_text(yaml.safe_dump(RULE))
    done = CliRunner().invoke(
        command,
        [
            str(tmp_path / "rule.yaml"),
            f"--metrics={tmp_path / 'metric.csv'}",
            f"--sync-period={STEP_SECONDS}",
            "--cold-start=1",
            "--json",
        ],
    )
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.output)["decisions"]
    return found


@pytest.mark.timeout(400)
def test_ten_times_the_load_and_a_lost_prometheus(
    fresh: Callable[..., Platform], prometheus: Path, tmp_path: Path
) -> None:
    """1 → 3 → 1 as `serin simulate` predicts; with Prometheus gone nothing is scaled in."""
    platform = fresh("iris")
    kubectl = Kubectl(platform)
    kubectl.run("delete", "scaledobject", "iris-predictor")

    with Requests(platform, REST) as requests:
        wait_for(
            lambda: any(float(one["value"][1]) > 1 for one in platform.prometheus(QUERY)),
            60,
            "a measured rate",
        )
        kubectl.run("apply", "-f", "-", text=json.dumps(RULE))
        wait_for(lambda: kubectl.condition("Active") == "True", 60, "the first samples")
        assert kubectl.replicas() == 1

        requests.rate = TEN_TIMES
        wait_for(
            lambda: kubectl.get("deployment", "iris-predictor")["status"].get("readyReplicas") == 3,
            90,
            "three ready replicas under ten times the load",
        )

        prometheus.touch()
        kill_prometheus(platform)
        requests.rate = REST
        wait_for(lambda: kubectl.condition("Fallback") == "True", 60, "the fallback")
        lost_at = time.monotonic()
        while time.monotonic() < lost_at + 3 * STEP_SECONDS:
            assert kubectl.replicas() == 3
            time.sleep(1)

        prometheus.unlink()
        wait_for(lambda: kubectl.condition("Fallback") == "False", 60, "the end of the fallback")
        wait_for(lambda: kubectl.replicas() == 1, 60, "one replica again")

    lines = decisions(platform)
    ours = [(on_the_grid(line), line["by"], line["desired"]) for line in lines]
    theirs = [
        (int(one["seconds"]), one["by"], one["desired"])
        for one in predicted(lines, tmp_path)[: len(ours)]
    ]
    assert ours == theirs
    assert set(requests.statuses) == {200}
    events = kubectl.out("get", "events", "-o", "jsonpath={.items[*].message}")
    assert "New size: 3; reason: external metric s0-prometheus" in events
    assert "New size: 2; reason: All metrics below target" in events
