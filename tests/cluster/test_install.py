"""setup_cluster.sh on a real cluster: it serves, again without a change, and goes."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from controlplane.cluster.kubectl import render
from tests.cluster.conftest import inventory, models
from tests.support.cluster import Cluster, conditions
from tests.support.predictor import PUBLISHED, discovered_models
from tests.support.required import ROOT

KUSTOMIZATIONS = sorted(
    str(file.parent.relative_to(ROOT))
    for folder in ("keda", "kserve", "monitoring", "training/jobs")
    for file in (ROOT / folder).glob("**/kustomization.yaml")
    if yaml.safe_load(file.read_text())["kind"] == "Kustomization"
)


@pytest.mark.smoke
def test_a_second_run_changes_nothing(cluster: Cluster) -> None:
    """Each step says so, and no object asks for anything else; replicas are the autoscaler's."""
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
    unnamed = [
        one for one in cluster.options if one != "--model" and one not in discovered_models()
    ]
    said = replace(cluster, options=tuple(unnamed)).setup().stderr  # it remembers which

    assert asked() == was
    assert said.count("unchanged") == 7, said


@pytest.mark.smoke
def test_dry_run_says_and_does_nothing(cluster: Cluster) -> None:
    """Every step is named, with what it would apply; the last with what it would train."""
    said = [line.split()[2:5] for line in cluster.dry.splitlines() if " s  " in line]
    names = ("gateway", "keda", "prometheus", "kserve", "s3", "serin")

    assert said[:6] == [[f"{name}:", "would", "apply"] for name in names]
    assert {tuple(words) for words in said[6:]} == {("models:", "would", "train")}


@pytest.mark.smoke
def test_a_good_installation_looks_like_one(
    cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    """What was chosen is there and no more; nothing is red or paused; pods are restricted."""
    served = models(request.session)
    scaled = [one["metadata"]["name"] for one in cluster.get("scaledobjects")["items"]]
    found = {name: conditions(cluster, name) for name in scaled}

    assert set(scaled) == {f"{name}-predictor" for name in served}
    assert {one.get("Ready") for one in found.values()} == {"True"}, found
    assert {one.get("Paused") for one in found.values()} <= {"False", "Unknown"}, found
    runtimes = {f"serin-{one}" for one in (*served, PUBLISHED)}
    for kind, names in (("servingruntimes", runtimes), ("pdb", served)):
        assert {one["metadata"]["name"] for one in cluster.get(kind)["items"]} == set(names)
    label = "pod-security.kubernetes.io/enforce"
    for namespace in ("models", "minio"):
        there = json.loads(cluster.kubectl("get", "namespace", namespace, "-o", "json"))
        assert there["metadata"]["labels"][label] == "restricted"


def checked(cluster: Cluster, folder: Path) -> None:
    """Strict validation, and the real webhooks of KServe, KEDA, the operator; no warning."""
    arguments = ("--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts")
    # As setup_cluster.sh, which owns what is there; but a Job that ran cannot be changed any more.
    manager = "--field-manager=" + ("kubectl" if "training" in str(folder) else "serin")
    said = cluster.kubectl("apply", *arguments, manager, "-k", str(folder)).splitlines()

    assert len(said) == len(render(folder))
    assert all(line.endswith(" serverside-applied (server dry run)") for line in said), said


@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_the_api_server_takes_every_object_without_a_warning(cluster: Cluster, folder: str) -> None:
    """What overlays, Jobs and setup_cluster.sh apply: each kustomization of the repository."""
    checked(cluster, ROOT / folder)


@pytest.mark.parametrize(
    ("base", "components", "suffix"),
    [
        ("kserve/overlays/local", "kserve/components", ""),
        ("training/jobs/nli", "training/jobs/components", "-elsewhere"),  # a Job never changes
    ],
)
def test_the_api_server_takes_the_components_without_a_warning(
    cluster: Cluster, tmp_path: Path, base: str, components: str, suffix: str
) -> None:
    """Those that no overlay of ours has, together in one of somebody's own."""
    names = sorted(one.parent for one in (ROOT / components).glob("*/kustomization.yaml"))
    ours = {"versions"}  # in the base already
    document = {
        "nameSuffix": suffix,
        "resources": [os.path.relpath(ROOT / base, tmp_path)],  # kustomize's way
        "components": [os.path.relpath(one, tmp_path) for one in names if one.name not in ours],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document))

    checked(cluster, tmp_path)


@pytest.mark.smoke
def test_down_leaves_the_cluster_as_it_was(
    cluster: Cluster, before: set[str], kubeconfig: str
) -> None:
    """What it made is gone: namespaces, definitions, roles, webhooks."""
    cluster.setup("--down", seconds=600)

    assert inventory(kubeconfig) - before == set()
    assert before - inventory(kubeconfig) == set()
