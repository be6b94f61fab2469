from pathlib import Path
from typing import Any

import pytest

from controlplane.errors import ManifestError
from controlplane.local.manifests import container, parse, read
from tests.support.manifests import RUNTIME, canary, manifests, service

ROOT = Path(__file__).parents[3]


def test_the_repositorys_manifests_are_understood() -> None:
    """Every service names a runtime that exists and a ScaledObject that scales its Deployment."""
    found = read(ROOT)

    assert found.services
    for name, one in found.services.items():
        assert one.namespace == "models"
        assert one.predictor.runtime in found.runtimes
        assert f"{name}-predictor" in found.scaled_objects
        assert one.predictor.storage_uri == f"s3://models/{name}"


def test_a_services_name_is_filled_into_its_runtime() -> None:
    """{{.Name}} works anywhere in the container, also in probes."""
    found = manifests(service())

    filled = container(found.runtimes["serin-iris"], found.services["iris"])

    assert filled.args[0] == "--model_name=iris"
    assert filled.readiness is not None
    assert filled.readiness.path == "/v2/models/iris/ready"
    assert (filled.http_port, filled.grpc_port) == (8080, 8081)


def test_a_canary_inherits_what_it_does_not_say() -> None:
    """KServe merges a canary over stable: here only the name and the version differ."""
    found = manifests(service(canary=[canary(10, "b2")])).services["iris"]

    (one,) = found.canaries

    assert one.traffic_percent == 10
    assert one.predictor.name == "canary"
    assert one.predictor.runtime == found.predictor.runtime
    assert one.predictor.storage_uri == "s3://models/iris/b2"


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"kind": "InferenceService", "metadata": {"name": "x"}, "spec": {}}, "'predictor'"),
        (service(predictor={"containers": []}), "without `model`"),
        (service(predictor={"model": {"storageUri": "s3://models/iris"}}), "no runtime"),
        (service(canary=[canary(60, "a"), canary(60, "b", "c2")]), "more than 100"),
        (service(canary=[canary(10, "a", "")]), "without a name"),
        ({"kind": "ServingRuntime", "metadata": {}, "spec": {"containers": []}}, "no container"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(document: dict[str, Any], complaint: str) -> None:
    """The error names the file, the kind and the field."""
    with pytest.raises(ManifestError, match=complaint) as caught:
        parse([("kserve/services/x.yaml", document)])

    assert str(caught.value).startswith(f"kserve/services/x.yaml: {document['kind']} ")


def test_an_exec_probe_is_refused() -> None:
    """A probe that only a container can run must not be dropped silently."""
    tree = {**RUNTIME["spec"]["containers"][0], "livenessProbe": {"exec": {"command": ["true"]}}}
    document = {**RUNTIME, "spec": {"containers": [tree]}}
    found = parse([("r.yaml", document), ("s.yaml", service())])

    with pytest.raises(ManifestError, match="httpGet"):
        container(found.runtimes["serin-iris"], found.services["iris"])


def test_broken_yaml_names_its_file(tmp_path: Path) -> None:
    """A typing error in a manifest is one sentence, not a traceback."""
    (tmp_path / "keda").mkdir()
    (tmp_path / "keda" / "iris.yaml").write_text("a: [", "utf-8")

    with pytest.raises(ManifestError, match=r"^keda/iris\.yaml is not YAML"):
        read(tmp_path)
