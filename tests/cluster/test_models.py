"""Every model behind one gateway, by an overlay's versions; other data make another version."""

import gzip
import shutil
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from controlplane.cluster.kubectl import render
from predictors.runtime.lean_kserve import pb
from tests.cluster.conftest import trained
from tests.support.cluster import Cluster, uri, wait
from tests.support.predictor import discovered_models
from tests.support.required import ROOT

pytestmark = pytest.mark.every_model
FOREST = "mnist-forest"
CONTENTS = {  # the field of InferTensorContents that holds a datatype
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
}


def request_of(model: str, inputs: list[dict[str, Any]]) -> Any:
    """The gRPC message that asks what V2's JSON asks."""
    message = pb.ModelInferRequest(model_name=model)
    for one in inputs:
        tensor = message.inputs.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
        data = [item.encode() if isinstance(item, str) else item for item in one["data"]]
        getattr(tensor.contents, CONTENTS[one["datatype"]]).extend(data)
    return message


def version_of(cluster: Cluster, model: str) -> str:
    """The version that an InferenceService names."""
    found = cluster.get("isvc", model)["spec"]["predictor"]["model"]["storageUri"]
    return str(found).rpartition("/")[2]


@pytest.mark.parametrize("model", discovered_models())
def test_a_model_answers_its_golden_sample_over_rest_and_grpc(cluster: Cluster, model: str) -> None:
    """Through the gateway, from the version that its Job logged last."""
    logged = cluster.kubectl("-n", "models", "logs", f"job/train-{model}").splitlines()[-1]
    sample = cluster.manifest(model)["golden_sample"]
    rest = cluster.ask({"inputs": sample["inputs"]}, model)
    answer = cluster.ask_grpc(request_of(model, sample["inputs"]))

    assert rest.status == 200, rest.body
    assert logged == uri(rest.json["model_version"], model)
    assert logged == uri(answer.model_version, model)
    given = {one["name"]: one for one in rest.json["outputs"]}
    for expected in sample["outputs"]:
        got = given[expected["name"]]
        assert got["shape"] == expected["shape"]
        if expected["datatype"].startswith("FP"):
            assert np.allclose(got["data"], expected["data"], rtol=1e-3, atol=1e-5)
        else:
            assert got["data"] == expected["data"]
    assert {one.name for one in answer.outputs} == set(given)


def test_an_overlay_that_names_these_versions_is_what_runs(
    cluster: Cluster, tmp_path: Path
) -> None:
    """`kubectl apply -k` of the repository's manifests, versions filled in: no pod changes."""
    for folder in ("kserve", "keda", "monitoring"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    file = tmp_path / "kserve" / "overlays" / "local" / "versions.yaml"
    document = yaml.safe_load(file.read_text())
    document["data"] = {model: version_of(cluster, model) for model in discovered_models()}
    file.write_text(yaml.safe_dump(document))

    def templates() -> dict[str, object]:
        items = cluster.get("deployments")["items"]
        return {one["metadata"]["name"]: one["spec"]["template"] for one in items}

    was = templates()
    overlay = str(tmp_path / "kserve" / "overlays" / "testbed")
    options = ("--server-side", "--force-conflicts", "--validate=strict")
    said = cluster.kubectl("apply", *options, "-k", overlay, seconds=120)

    for model in discovered_models():
        assert f"inferenceservice.serving.kserve.io/{model} serverside-applied" in said
    assert templates() == was


def idx(array: np.ndarray) -> str:
    """An array of bytes as MNIST's files hold it, gzipped, as a ConfigMap holds it."""
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return b64encode(gzip.compress(head + array.astype(np.uint8).tobytes())).decode()


def test_a_job_with_other_data_gives_a_version_and_one_command_takes_it_back(
    cluster: Cluster,
) -> None:
    """Digits of a ConfigMap instead of the bundled ones; under load nothing is lost."""
    random = np.random.default_rng(0)
    labels = np.arange(200) % 10
    images = random.integers(0, 40, (200, 28, 28)) + 20 * labels[:, None, None]
    files = {"images-idx3-ubyte.gz": idx(images), "labels-idx1-ubyte.gz": idx(labels)}
    parts = {f"{part}-{name}": text for part in ("train", "t10k") for name, text in files.items()}
    data = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "other-digits", "namespace": "models"},
        "binaryData": parts,
    }
    documents = render(ROOT / "training" / "jobs" / FOREST)
    (job,) = (document for document in documents if document["kind"] == "Job")
    job["metadata"]["name"] = "train-other-digits"
    pod = job["spec"]["template"]["spec"]
    pod["volumes"].append({"name": "data", "configMap": {"name": "other-digits"}})
    (container,) = pod["containers"]
    container["volumeMounts"].append({"name": "data", "mountPath": "/data", "readOnly": True})
    container["args"] = ["--smoke", "--data", "/data"]

    first, was = version_of(cluster, FOREST), cluster.manifest(FOREST)
    second = trained(cluster, data, *documents)
    with cluster.load(10, FOREST, was["golden_sample"]["inputs"]) as load:
        wait(lambda: load.versions[first] > 20, 60, "answers of the first version")
        cluster.serve(second, FOREST)
        assert cluster.manifest(FOREST)["data"] != was["data"]
        wait(lambda: load.versions[second] > 20, 120, "answers of the second")
        cluster.serve(first, FOREST)
        before, answered = load.versions[second], load.versions[first]
        wait(lambda: load.versions[first] > answered + 20, 120, "answers of the first again")

    assert load.failures == []
    assert second != first
    assert load.versions[second] <= before + 1, "it still answers after the rollback"
