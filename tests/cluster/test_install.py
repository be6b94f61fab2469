"""setup_cluster.sh on a real cluster: it serves, again without a change, and goes."""

import json
import time

import numpy as np
import pytest

from predictors.runtime.lean_kserve import pb
from tests.cluster.conftest import inventory
from tests.support.cluster import FLOWER, MODEL, Cluster, uri
from tests.support.required import ROOT


def test_it_serves_what_the_job_logged(cluster: Cluster) -> None:
    """REST and gRPC through Envoy Gateway answer with the version of the Job's last line."""
    logged = cluster.kubectl("-n", "models", "logs", f"job/train-{MODEL}").splitlines()[-1]
    rest = cluster.ask({"inputs": [FLOWER]})
    tensor = pb.ModelInferRequest.InferInputTensor(name="input-0", datatype="FP32", shape=[1, 4])
    message = pb.ModelInferRequest(model_name=MODEL, inputs=[tensor])
    message.raw_input_contents.append(np.array(FLOWER["data"], np.float32).tobytes())
    answer = cluster.ask_grpc(message)

    assert logged == uri(cluster.first)
    assert rest.status == 200, rest.body
    assert rest.json["model_version"] == cluster.first
    assert answer.model_version == cluster.first
    assert rest.json["outputs"][1]["data"] == ["setosa"]


def test_a_second_run_changes_nothing(cluster: Cluster) -> None:
    """It ends within 30 s, and no object of ours has another resourceVersion."""
    kinds = "deployments,services,configmaps,secrets,isvc,servingruntimes,scaledobjects"

    def generations() -> dict[str, object]:
        items = json.loads(cluster.kubectl("get", kinds, "-A", "-o", "json"))["items"]
        names = [f"{one['kind']} {one['metadata']['name']}" for one in items]
        states = [one["metadata"].get("generation", one.get("data")) for one in items]
        return dict(zip(names, states, strict=True))

    was = generations()
    started = time.monotonic()
    said = cluster.setup(seconds=120).stderr
    took = time.monotonic() - started

    assert generations() == was
    assert said.count("unchanged") == 6, said
    assert took < 30, said


def test_dry_run_says_and_does_nothing(cluster: Cluster) -> None:
    """Every step is named."""
    said = cluster.setup("--dry-run", seconds=120).stderr

    assert [line.split()[2] for line in said.splitlines() if " s  " in line][:6] == [
        "gateway:",
        "keda:",
        "prometheus:",
        "kserve:",
        "s3:",
        "serin:",
    ]


@pytest.mark.parametrize("overlay", ["local", "production", "testbed"])
def test_the_api_server_takes_every_object_without_a_warning(
    cluster: Cluster, overlay: str
) -> None:
    """Strict validation and the real admission webhooks of KServe, KEDA, the operator."""
    folder = str(ROOT / "kserve" / "overlays" / overlay)
    arguments = ("--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts")
    said = cluster.kubectl("apply", *arguments, "-k", folder)  # fails on a warning, too

    assert f"inferenceservice.serving.kserve.io/{MODEL} serverside-applied (server dry run)" in said


def test_down_leaves_the_cluster_as_it_was(
    cluster: Cluster, before: set[str], kubeconfig: str
) -> None:
    """What it made is gone: namespaces, definitions, roles, webhooks."""
    cluster.setup("--down", seconds=600)

    assert inventory(kubeconfig) - before == set()
    assert before - inventory(kubeconfig) == set()
