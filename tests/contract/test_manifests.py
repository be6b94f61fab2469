"""Our manifests against the schemas that a cluster would refuse them with."""

import subprocess
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.required import ROOT, binary

CRDS = ROOT.parent / "shared" / "testbed" / "manifests"
FOLDERS = ("kserve", "keda")


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


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_kustomize_renders_fits_the_crds(
    folder: str, schemas: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """`kubectl apply -k` of kserve/ and keda/ has no field that a CRD does not know."""
    rendered = subprocess.run(
        [binary("kubectl"), "kustomize", ROOT / folder],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    documents = list(yaml.safe_load_all(rendered))
    custom = [one for one in documents if "." in one["apiVersion"].split("/")[0]]

    assert custom
    for document in custom:
        schema = schemas[document["kind"], document["apiVersion"].split("/")[1]]
        jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_renders_every_manifest(folder: str) -> None:
    """A file that no kustomization lists is applied on a laptop and not in a cluster."""
    for kustomization in (ROOT / folder).rglob("kustomization.yaml"):
        listed = set(yaml.safe_load(kustomization.read_text("utf-8"))["resources"])
        here = {
            path.name
            for path in kustomization.parent.iterdir()
            if path.suffix == ".yaml" or (path / "kustomization.yaml").exists()
        } - {"kustomization.yaml"}

        assert listed == here, kustomization


def test_every_served_model_has_all_its_manifests() -> None:
    """One model, one name: runtime, service and scaling rule."""
    names = {
        folder: {path.name for path in (ROOT / folder).glob("*.yaml")}
        for folder in ("kserve/runtimes", "kserve/services", "keda")
    }

    assert len(set(map(frozenset, names.values()))) == 1, names
