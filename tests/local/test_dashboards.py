"""Every query of every dashboard, asked of the Prometheus of a platform with real traffic."""

import json
import math
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import push_to_gateway

from scripts.boards import grafana, live
from tests.support import required
from tests.support import trained as training
from tests.support.platform import Platform, wait_for

TRAINING = ("training_loss", "training_samples_per_second", "training_eta_seconds")


def committed() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in grafana.files()]


def queries() -> dict[str, str]:
    """Dashboard, panel and letter → expression, as Grafana reads them."""
    return {
        f"{board['title']}: {panel['title']} {target['refId']}": target["expr"]
        for board in committed()
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }


def test_the_committed_json_is_what_the_code_makes() -> None:
    """Nobody edits it by hand: `./serin dashboards` writes it."""
    for path, content in grafana.files().items():
        assert path.read_text() == content, f"{path} is old: ./serin dashboards"


@pytest.mark.parametrize("board", committed(), ids=lambda board: board["title"])
def test_a_dashboard_is_whole(board: dict[str, Any]) -> None:
    """Panels do not overlap, every variable is declared, units and titles are set."""
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    declared = {one["name"] for one in board["templating"]["list"]} | {"__rate_interval"}
    cells = [
        (x, y)
        for panel in board["panels"]
        for place in [{"x": 0, "y": 0, **panel["gridPos"]}]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels)))

    assert board["uid"].startswith("serin-")
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert used <= declared
    for panel in panels:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_every_query_has_data(fresh: Callable[..., Platform]) -> None:
    """A model, a rollout of another version under load, a training's push: no panel is empty."""
    required.binary("prometheus")
    platform = fresh("iris")
    other = platform.publish(training.artifact("iris", "--seed=7"))
    calm = ("--step-seconds", "600", "--latency-floor", "250ms")  # it only ever holds
    platform.serin("rollout", "start", "iris", other, "--steps", "50,100", *calm)
    push(platform)
    load = platform.start("load", "iris", "--rate", "20", "--duration", "120")
    try:
        # tests/local/test_channel_platform.py has replicas that follow a channel.
        empty = {name: expr for name, expr in queries().items() if "_channel_" not in expr}

        def all_have_data() -> bool:
            url = platform.state()["prometheus_url"]
            for name, expr in list(empty.items()):
                found = live.instant(url, expr)
                if any(not math.isnan(value) for _, value in found):
                    del empty[name]
            return not empty

        try:
            wait_for(all_have_data, 110, "data of every query")
        except AssertionError:
            raise AssertionError(f"no data: {json.dumps(empty, indent=1)}") from None
        said = platform.serin("top", "--once").stdout.splitlines()
        assert "ROLLOUT iris: hold (serin rollout status iris)" in said
    finally:
        load.terminate()
        load.communicate(timeout=60)
        platform.serin("rollout", "abort", "iris")
        wait_for(lambda: not platform.engines(), 60, "the end of the rollout")


def push(platform: Platform) -> None:
    """What a training pushes."""
    registry = CollectorRegistry()
    for name in (*TRAINING, "training_step", "training_steps"):
        Gauge(name, "Of the training that runs", registry=registry).set(1)
    push_to_gateway(platform.state()["pushgateway_url"], "training", registry, {"model": "iris"})


def test_the_config_map_is_taken_by_grafanas_sidecar() -> None:
    """One ConfigMap with the sidecar's label holds all four, small enough to be applied."""
    kubectl = required.binary("kubectl")
    folder = str(grafana.FOLDER)
    done = subprocess.run(
        [kubectl, "kustomize", folder], capture_output=True, text=True, check=True, timeout=60
    )

    assert 'grafana_dashboard: "1"' in done.stdout
    assert len(done.stdout) < 250_000
    for path in grafana.files():
        assert f"  {path.name}: |" in done.stdout


def test_top_shows_each_version_and_what_fires(trained: Platform) -> None:
    """One row a Deployment and version, replicas among it; plain where no terminal is."""
    required.binary("prometheus")

    def row() -> str:
        lines = trained.serin("top", "iris", "--once").stdout.splitlines()
        return next((line for line in lines if line.startswith("iris ")), "–")

    # The platform's own series may come a scrape after the predictor's: dashes until then.
    wait_for(lambda: not row().endswith("–"), 60, "iris and its replicas in the table")

    heading = trained.serin("top").stdout.splitlines()[0]
    assert heading.split()[:3] == ["MODEL", "VERSION", "RATE"]
    assert row().split()[1] == trained.state()["models"]["iris"]["version"]
    assert row().endswith("1/1")
