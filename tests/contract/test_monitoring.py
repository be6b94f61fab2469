"""Alerts and their runbooks; what the platform tells under other projects' names."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import push_to_gateway

from controlplane.autoscale.readings import Reading
from controlplane.local.metrics.exporter import DeploymentCounts, Exporter
from controlplane.rollout.effects.metrics import Pushgateway
from controlplane.rollout.judging.judgement import ABORT, HOLD, Guard, Verdict
from controlplane.rollout.plan import threshold
from scripts.checks.repository import ROOT
from tests.support.rollout_world import PLAN, started


def alerts() -> list[dict[str, Any]]:
    return [
        rule
        for path in sorted((ROOT / "monitoring" / "rules").glob("*.rules.yaml"))
        for group in yaml.safe_load(path.read_text())["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """The annotation names a file that is there and says what to do, step by step."""
    named = {rule["annotations"]["runbook_url"] for rule in alerts()}

    assert named == {
        str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "runbooks").glob("*.md")
    }
    for path in named:
        text = (ROOT / path).read_text()
        assert "**Impact.**" in text
        assert "\n1. " in text


def test_every_alert_is_tested_and_says_how_urgent_it_is() -> None:
    """A promtool test names each alert; it pages or makes a ticket."""
    tests = "".join(path.read_text() for path in (ROOT / "monitoring" / "tests").glob("*.yaml"))

    assert len({rule["alert"] for rule in alerts()}) == 13
    for rule in alerts():
        assert f'alertname="{rule["alert"]}"' in tests
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    found = Exporter()
    yield found
    found.stop()


def scraped(exporter: Exporter) -> list[str]:
    with urllib.request.urlopen(f"{exporter.url}/metrics", timeout=10) as answer:
        lines: list[str] = answer.read().decode().splitlines()
    return lines


def test_autoscaling_is_told_as_a_cluster_tells_it(exporter: Exporter) -> None:
    """kube-state-metrics' names for Deployments, HPAs and canaries, KEDA's for triggers."""
    external = {
        "metric": {"name": "s0-prometheus"},
        "target": {"type": "AverageValue", "averageValue": "8500m"},
    }
    hpa = {
        "metadata": {"namespace": "m", "name": "h"},
        "spec": {"minReplicas": 1, "maxReplicas": 5, "metrics": [{"external": external}]},
        "status": {"currentReplicas": 2, "desiredReplicas": 3},
    }
    service = {
        "metadata": {"namespace": "m", "name": "iris"},
        "spec": {"canary": [{"trafficPercent": 25}]},
    }
    counts = [DeploymentCounts("m", "d", "i", 3, 2, 1), DeploymentCounts("m", "e", "i", 0, 0, 0)]
    exporter.publish(counts, [hpa], [service], {"e": 4})
    exporter.scalers.read("m", "so", {"a": Reading("s0-prometheus", 4500)})
    exporter.scalers.read("m", "so", {"a": Reading("s0-prometheus", error="no data")})
    lines = scraped(exporter)

    scaler = (
        'metric="s0-prometheus",namespace="m",scaledObject="so",scaler="prometheusScaler",'
        'triggerIndex="0",type="scaledobject"'
    )
    told = 'horizontalpodautoscaler="h",namespace="m"'
    target = (
        'horizontalpodautoscaler="h",metric_name="s0-prometheus",metric_target_type="average",'
        'namespace="m"'
    )
    canary = "kube_customresource_inferenceservice_canary_traffic_percent"
    for line in (
        'kube_deployment_spec_replicas{deployment="d",namespace="m"} 3.0',
        # As a cluster's activator: of those that sleep only.
        'predictor_requests_in_flight{deployment="e",inferenceservice="i",namespace="m"} 4.0',
        f"kube_horizontalpodautoscaler_spec_max_replicas{{{told}}} 5.0",
        f"kube_horizontalpodautoscaler_status_desired_replicas{{{told}}} 3.0",
        f"kube_horizontalpodautoscaler_spec_target_metric{{{target}}} 8.5",
        f'{canary}{{inferenceservice="iris",namespace="m"}} 25.0',
        f"keda_scaler_metrics_value{{{scaler}}} 4.5",
        f"keda_scaler_detail_errors_total{{{scaler}}} 1.0",
    ):
        assert line in lines


def test_a_training_pushes_as_to_a_pushgateway(exporter: Exporter) -> None:
    """The official client's push is scraped with the labels of its path; the newest push counts."""
    for loss in (2.0, 0.5):
        registry = CollectorRegistry()
        Gauge("training_loss", "Of the training that runs", registry=registry).set(loss)
        push_to_gateway(exporter.push_url, "training", registry, {"model": "iris"}, timeout=10)
    lines = scraped(exporter)

    assert 'training_loss{job="training",model="iris"} 0.5' in lines
    assert any(line.startswith("push_time_seconds{") for line in lines)


@pytest.mark.parametrize(
    ("path", "text", "status"),
    [
        ("/metrics/job/x", "training_loss 1\n", 401),
        ("/wrong/metrics/job/x", "training_loss 1\n", 401),
        ("TOKEN/other/job/x", "training_loss 1\n", 404),
        ("TOKEN/metrics/job/a/b", "training_loss 1\n", 400),
        ("TOKEN/metrics/job/x", 'predictor_requests_in_flight{deployment="d"} 777\n', 400),
        ("TOKEN/metrics/job/x", "push_time_seconds 1\n", 400),
        ("TOKEN/metrics/job/x", 'training_loss{job="y"} 1\n', 400),
        ("TOKEN/metrics/job/x", "training_loss 1\ntraining_loss 2\n", 400),
        ("TOKEN/metrics/job/x", 'training_loss{model="iris"} 2\n', 400),
        ("TOKEN/metrics/job/x", "no metrics at all", 400),
    ],
)
def test_a_push_says_nothing_but_a_pushers_own(
    exporter: Exporter, path: str, text: str, status: int
) -> None:
    """Not without the token, not of other names, no label of its path, nothing twice."""
    registry = CollectorRegistry()
    Gauge("training_loss", "Of the training that runs", registry=registry).set(1)
    push_to_gateway(exporter.push_url, "x", registry, {"model": "iris"}, timeout=10)
    url = path.replace("TOKEN", exporter.push_url) if "TOKEN" in path else exporter.url + path
    asked = urllib.request.Request(url, text.encode(), method="PUT")

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=10)
    refused.value.close()

    assert refused.value.code == status
    # Not by the number: a time of day has it now and then.
    names = ("training_loss{", 'predictor_requests_in_flight{deployment="d"}')
    lines = [line for line in scraped(exporter) if line.startswith(names)]
    assert lines == ['training_loss{job="x",model="iris"} 1.0']


def test_a_rollout_pushes_its_latest_verdict(exporter: Exporter) -> None:
    """One decision is 1, each guard has its evidence; before the first verdict there is none."""
    gateway = Pushgateway(exporter.push_url, "models", "iris")
    Pushgateway(exporter.push_url, "models", "nli").push(started())  # another group beside it
    gateway.push(started())
    before = scraped(exporter)
    for decision, value in ((HOLD, 1.5), (ABORT, 4e300)):
        verdict = Verdict(decision, "why", (Guard("errors", decision, value, "numbers"),))
        gateway.push(replace(started(), verdict=verdict.as_json()))
    lines = scraped(exporter)

    group = 'inferenceservice="iris",job="rollout",namespace="models"'
    assert not any(line.startswith("rollout_verdict{") for line in before)
    for line in (
        f'rollout_verdict{{decision="abort",{group}}} 1.0',
        f'rollout_verdict{{decision="hold",{group}}} 0.0',
        f'rollout_verdict{{decision="continue",{group}}} 0.0',
        f'rollout_evidence{{guard="errors",{group}}} 4e+300',
        f"rollout_evidence_alarm{{{group}}} {threshold(PLAN):.1f}",
    ):
        assert line in lines
    assert sum(line.startswith("# TYPE push_time_seconds") for line in lines) == 1


def test_a_gateway_that_is_gone_costs_a_rollout_one_try_in_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told of by its setting's name, and not asked again at each look."""
    gateway = Pushgateway("http://127.0.0.1:1", "models", "iris")
    for _ in range(3):
        gateway.push(started())

    assert [one.getMessage().split(",")[0] for one in caplog.records] == [
        "PUSHGATEWAY_URL http://127.0.0.1:1 takes no metrics"
    ]
