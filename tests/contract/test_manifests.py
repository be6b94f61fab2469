"""Our manifests against the schemas that a cluster would refuse them with."""

import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.predictor import PUBLISHED
from tests.support.required import ROOT, binary

CRDS = ROOT.parent / "shared" / "testbed" / "manifests"
FOLDERS = ("kserve", "keda")
JOBS = sorted(path.parent.name for path in ROOT.glob("training/jobs/*/job.yaml"))


@pytest.fixture(scope="module")
def schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, version) → the CRD's schema, refusing unknown fields as `kubectl apply` does."""
    if not CRDS.is_dir():
        pytest.skip("no CRDs beside the checkout")
    found = {}
    for path in CRDS.glob("*.yaml"):
        for document in yaml.load_all(path.read_text("utf-8"), yaml.CSafeLoader):
            if document and document["kind"] == "CustomResourceDefinition":
                kind = document["spec"]["names"]["kind"]
                for version in document["spec"]["versions"]:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    schema["properties"]["metadata"] = {"type": "object"}
                    found[kind, version["name"]] = schema
    return found


def strict(schema: Any) -> Any:
    """A CRD's schema as JSON Schema: unknown fields are errors, int-or-string is both."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    out = {key: strict(value) for key, value in schema.items()}
    if "properties" in out and not out.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    return out


def rendered(folder: Path) -> list[Any]:
    """The objects that `kubectl apply -k` would send."""
    done = subprocess.run(
        [binary("kubectl"), "kustomize", folder],
        capture_output=True,
        text=True,
        check=True,
        timeout=55,
    )
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_kustomize_renders_fits_the_crds(
    folder: str, schemas: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """`kubectl apply -k` of kserve/ and keda/ has no field that a CRD does not know."""
    custom = [one for one in rendered(ROOT / folder) if "." in one["apiVersion"].split("/")[0]]

    assert custom
    for document in custom:
        schema = schemas[document["kind"], document["apiVersion"].split("/")[1]]
        jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_renders_every_manifest(folder: str) -> None:
    """A file that no kustomization lists is applied on a laptop and not in a cluster."""
    bases = [
        path
        for path in (ROOT / folder).rglob("kustomization.yaml")
        if not {"components", "overlays"} & set(path.parts) and "minio" not in path.parent.name
    ]
    for kustomization in bases:
        listed = set(yaml.safe_load(kustomization.read_text("utf-8"))["resources"])
        here = {
            path.name
            for path in kustomization.parent.iterdir()
            if path.suffix == ".yaml" or (path / "kustomization.yaml") in bases
        } - {"kustomization.yaml", "gateway"}  # its namespaces are others', its CRDs come later

        assert listed == here, kustomization


def test_every_served_model_has_all_its_manifests() -> None:
    """One model, one name: runtime, service and scaling rule."""
    others = {"kustomization.yaml", f"{PUBLISHED}.yaml"}  # a runtime for what publishing makes
    names = {
        folder: {path.name for path in (ROOT / folder).glob("*.yaml")} - others
        for folder in (
            *("kserve/runtimes", "kserve/services", "kserve/components/disruption"),
            *("keda", "keda/canary"),
        )
    }

    assert len(set(map(frozenset, names.values()))) == 1, names


def test_every_model_has_its_job() -> None:
    """What can be served can be trained in the cluster."""
    services = {path.stem for path in (ROOT / "kserve/services").glob("*.yaml")}

    assert set(JOBS) == services - {"kustomization"}


@pytest.mark.parametrize("model", JOBS)
def test_a_job_trains_its_model_as_nobody(model: str) -> None:
    """Image, module and names agree; root and a writable disk stay closed."""
    documents = rendered(ROOT / "training" / "jobs" / model)
    (job,) = (document for document in documents if document["kind"] == "Job")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert job["metadata"]["name"] == f"train-{model}"
    assert container["image"] == f"docker.io/serin/train-{model}:dev"
    assert container["command"] == ["python", "-m", f"training.{model.replace('-', '_')}"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"} <= set(job["spec"])


@pytest.mark.parametrize("model", JOBS)
def test_a_job_may_patch_itself_and_nothing_else(model: str) -> None:
    """Its account is its own, has one right on one object, and is mounted where that is used."""
    documents = {one["kind"]: one for one in rendered(ROOT / "training" / "jobs" / model)}
    job, role, binding = documents["Job"], documents["Role"], documents["RoleBinding"]
    pod, name = job["spec"]["template"]["spec"], f"train-{model}"
    right = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["patch"]}

    assert role["rules"] == [{**right, "resourceNames": [name]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": name, "namespace": job["metadata"]["namespace"]}
    ]
    assert documents["ServiceAccount"]["metadata"]["name"] == name == pod["serviceAccountName"]
    assert documents["ServiceAccount"]["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is True
    variables = {one["name"] for one in pod["containers"][0]["env"]}
    assert {"JOB_NAME", "JOB_NAMESPACE", "JOB_UID"} <= variables
