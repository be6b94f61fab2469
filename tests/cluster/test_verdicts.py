"""The laptop's API and a cluster's judge the same manifests: both are asked, on a dry run."""

import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from controlplane.cluster.kubectl import Document, render
from controlplane.kubernetes.kinds import KINDS
from tests.support import trained
from tests.support.cluster import Cluster
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform
from tests.support.required import ROOT, binary

FOLDERS = (
    ROOT / "kserve" / "overlays" / "testbed",
    *(path.parent for path in sorted(ROOT.glob("training/jobs/*/kustomization.yaml"))),
)
SERVED = {(kind.api_version, kind.name) for kind in KINDS if "create" in kind.verbs}
NAMESPACE = "models"
"""Where a laptop runs workloads."""
STEPS = ("as it is", "an unknown field", "a label that is none")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Kubectl's environment for a laptop's platform, on this machine."""
    platform = Platform(tmp_path_factory.mktemp("verdicts") / "state")
    platform.publish(trained.brief("iris"))
    try:
        platform.serin("up", "iris")
        yield Kubectl(platform).env
    finally:
        platform.serin("down")


def manifests() -> list[Document]:
    """What the repository applies, of the kinds and in the namespace that a laptop serves."""
    return [
        document
        for folder in FOLDERS
        for document in render(folder)
        if (document["apiVersion"], document["kind"]) in SERVED
        and document["metadata"].get("namespace") == NAMESPACE
    ]


def changed(document: Document, step: str) -> Document:
    """A manifest, or what becomes of it by one mistake."""
    metadata = document["metadata"]
    if step == "an unknown field":
        return {**document, "metadata": {**metadata, "nobodys": "field"}}
    if step == "a label that is none":
        labels = {**(metadata.get("labels") or {}), "team": "a b!"}
        return {**document, "metadata": {**metadata, "labels": labels}}
    return document


def verdict(environment: Mapping[str, str], document: Document) -> tuple[bool, str]:
    """Whether an API takes a manifest, and what is said of it."""
    done = subprocess.run(
        [binary("kubectl"), "apply", "--dry-run=server", "--validate=strict", "-f", "-"],
        input=yaml.safe_dump(document),
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, done.stderr


def differing(sides: tuple[Mapping[str, str], Mapping[str, str]], step: str) -> dict[str, Any]:
    """The manifests of which two APIs think differently, and the words of both."""
    told: dict[str, Any] = {}
    for document in manifests():
        mine, theirs = (verdict(side, changed(document, step)) for side in sides)
        if mine[0] != theirs[0]:
            told[f"{document['kind']} {document['metadata']['name']}"] = mine[1], theirs[1]
    return told


@pytest.mark.parametrize("step", STEPS)
def test_both_sides_judge_the_repositorys_manifests_alike(
    cluster: Cluster, laptop: Mapping[str, str], step: str
) -> None:
    """Each is taken by both or by neither, as it is and with one mistake."""
    assert differing((laptop, cluster.environment), step) == {}
