"""setup_cluster.sh on a real cluster: it serves, again without a change, and goes."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from predictors.runtime.lean_kserve import pb
from tests.cluster.conftest import inventory
from tests.support.cluster import FLOWER, MODEL, Cluster, uri
from tests.support.required import ROOT

JOBS = ROOT / "training" / "jobs"


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
    """It ends within 30 s, and no object asks for anything else; replicas are the autoscaler's."""
    kinds = "deployments,services,configmaps,secrets,isvc,servingruntimes,scaledobjects"

    def asked() -> dict[tuple[str, str, str], object]:
        items = json.loads(cluster.kubectl("get", kinds, "-A", "-o", "json"))["items"]
        for one in items:
            one.get("spec", {}).pop("replicas", None)
        return {
            (one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]): one.get(
                "spec", one.get("data")
            )
            for one in items
        }

    was = asked()
    started = time.monotonic()
    said = cluster.setup(seconds=120).stderr
    took = time.monotonic() - started

    assert asked() == was
    assert said.count("unchanged") == 6, said
    assert took < 30, said


def test_dry_run_says_and_does_nothing(cluster: Cluster) -> None:
    """Every step is named, with what it would apply."""
    said = [line.split()[2:5] for line in cluster.dry.splitlines() if " s  " in line][:6]
    names = ("gateway", "keda", "prometheus", "kserve", "s3", "serin")

    assert said == [[f"{name}:", "would", "apply"] for name in names]


@pytest.mark.parametrize("overlay", ["local", "production", "testbed"])
def test_the_api_server_takes_every_object_without_a_warning(
    cluster: Cluster, overlay: str
) -> None:
    """Strict validation and the real admission webhooks of KServe, KEDA, the operator."""
    folder = str(ROOT / "kserve" / "overlays" / overlay)
    arguments = ("--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts")
    said = cluster.kubectl("apply", *arguments, "-k", folder)  # fails on a warning, too

    assert f"inferenceservice.serving.kserve.io/{MODEL} serverside-applied (server dry run)" in said


def test_the_api_server_takes_the_components_without_a_warning(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Nodes, GPUs and a volume of models, together in an overlay of somebody's own."""
    kserve = Path(os.path.relpath(ROOT / "kserve", tmp_path))  # kustomize's way
    components = [str(kserve / "components" / one) for one in ("gpu", "model-cache", "node")]
    document = {"resources": [str(kserve / "overlays" / "local")], "components": components}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document))
    arguments = ("--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts")
    said = cluster.kubectl("apply", *arguments, "-k", str(tmp_path))

    assert "job.batch/fill-model-cache serverside-applied (server dry run)" in said


@pytest.mark.parametrize("job", sorted(one.parent.name for one in JOBS.glob("*/job.yaml")))
def test_the_api_server_takes_every_job_without_a_warning(cluster: Cluster, job: str) -> None:
    """Strict validation of what nobody started here, too."""
    arguments = ("--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts")
    said = cluster.kubectl("apply", *arguments, "-k", str(JOBS / job))

    assert f"job.batch/train-{job} serverside-applied (server dry run)" in said


def test_down_leaves_the_cluster_as_it_was(
    cluster: Cluster, before: set[str], kubeconfig: str
) -> None:
    """What it made is gone: namespaces, definitions, roles, webhooks."""
    cluster.setup("--down", seconds=600)

    assert inventory(kubeconfig) - before == set()
    assert before - inventory(kubeconfig) == set()
