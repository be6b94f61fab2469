"""Prometheus' configuration: where things are on a laptop."""

import json
import math
from pathlib import Path

import httpx
import pytest
import yaml

from controlplane import prometheus
from controlplane.errors import SerinError
from controlplane.local.node import prometheus_server
from controlplane.local.node.prometheus_server import RULES, Server, Target
from controlplane.prometheus import Prometheus, PrometheusError
from controlplane.statefolder import Home

LOCAL = "http://127.0.0.1:4000"


def answering(document: object) -> Prometheus:
    """A Prometheus that gives each query this answer."""
    return Prometheus(lambda *_: httpx.Response(200, json=document))


def test_a_range_is_labels_and_samples() -> None:
    """Values come as numbers, also those that JSON has no number for."""
    result = [{"metric": {"a": "b"}, "values": [[10, "1.5"], [20, "NaN"]]}]
    document = {"status": "success", "data": {"resultType": "matrix", "result": result}}

    ((labels, samples),) = answering(document).over("up", 10, 20, 10)

    assert labels == {"a": "b"}
    assert samples[0] == (10, 1.5)
    assert math.isnan(samples[1][1])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"status": "error", "error": "no such function"}, "refuses up: no such function"),
        ({"status": "Failure", "message": "no endpoints"}, "does not answer: no endpoints"),
        ({}, "does not answer: 200"),
    ],
)
def test_a_question_without_an_answer_says_why(document: object, said: str) -> None:
    """A refused query names the query; an API server that reaches no Prometheus is quoted."""
    with pytest.raises(PrometheusError, match=said):
        answering(document).ask("up")


def test_an_address_where_nothing_listens_is_named() -> None:
    """The error names the address and why nothing came from it."""
    with pytest.raises(PrometheusError, match=r"Prometheus at http://127.0.0.1:1 does not answer"):
        Prometheus.at("http://127.0.0.1:1/", trust_env=False).now()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://prometheus-operated.monitoring:9090", LOCAL),
        ("http://prometheus-operated.monitoring.svc:9090/", LOCAL),
        ("http://prometheus-operated.monitoring.svc.cluster.local", LOCAL),
        ("http://prometheus.monitoring.svc:9090", "http://prometheus.monitoring.svc:9090"),
        ("http://127.0.0.1:9999", "http://127.0.0.1:9999"),
        ("https://metrics.example.com/monitoring", "https://metrics.example.com/monitoring"),
        ("http://monitoring:9090", "http://monitoring:9090"),
    ],
)
def test_the_clusters_prometheus_is_the_one_here(address: str, expected: str) -> None:
    """The operator's Service is this one; other addresses stay, a wrong name too."""
    assert prometheus.address(address, LOCAL) == expected


def test_rules_are_the_manifests_groups() -> None:
    """A plain rule file holds what the PrometheusRule holds."""
    for path in RULES.glob("*.rules.yaml"):
        document = yaml.safe_load(path.read_text())

        assert document["kind"] == "PrometheusRule"
        assert prometheus_server.groups(path) == {"groups": document["spec"]["groups"]}


def test_targets_are_files_for_the_jobs(tmp_path: Path) -> None:
    """Every job's targets are where the configuration looks for them, with their labels."""
    home = Home(tmp_path)
    server = Server(home)
    server.scrape(prometheus_server.PREDICTORS, [Target(81, {"deployment": "iris-predictor"})])
    configured = prometheus_server.configuration(server.folder)

    jobs = {job["job_name"]: job for job in configured["scrape_configs"]}
    (path,) = jobs["models/predictors"]["file_sd_configs"][0]["files"]
    assert json.loads(Path(path).read_text()) == [
        {"targets": ["127.0.0.1:81"], "labels": {"deployment": "iris-predictor"}}
    ]
    assert set(jobs) == {prometheus_server.PREDICTORS, prometheus_server.STATE}


def test_a_missing_program_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names packages and the variable."""
    monkeypatch.setenv("PATH", "")

    with pytest.raises(SerinError) as caught:
        prometheus_server.binary()

    assert "apt install prometheus" in str(caught.value)
    assert "SERIN_PROMETHEUS=" in str(caught.value)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """SERIN_PROMETHEUS must be a program."""
    monkeypatch.setenv("SERIN_PROMETHEUS", "/nowhere/prometheus")

    with pytest.raises(SerinError, match="SERIN_PROMETHEUS names /nowhere/prometheus"):
        prometheus_server.binary()
