"""Models that `serin publish` made: the manifests that it writes for each, in the state folder.

They are those of the repository's example with another name, format and runtime, so that `up`,
kubectl and a rollout see a model like the others.
"""

import re
from typing import Any

import yaml

from controlplane.errors import ManifestError
from controlplane.kubernetes.meta import Object
from controlplane.local import manifests
from controlplane.statefolder import ROOT, Home, exclusive, read_json, write_json, write_text

EXAMPLE = "iris"
RUNTIME, FORMAT = "serin-onnx", "onnx"
_KINDS = {"InferenceService", "ScaledObject"}
_HEAD = (
    "# Written by ./serin publish; yours to change. ./serin remove model {name} takes it away.\n"
)


def write(home: Home, name: str) -> str:
    """Write a published model's manifests, unless they are there; returns the file's path."""
    path = home.published / f"{name}.yaml"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        documents = [_named(one, name) for one in manifests.read(ROOT) if _is_example(one)]
        text = yaml.safe_dump_all(documents, sort_keys=False, width=120)
        write_text(path, _HEAD.format(name=name) + text)
    return str(path)


def read(home: Home) -> list[Object]:
    """The manifests of every published model.

    Raises:
        ManifestError: A file is not YAML, or holds no Kubernetes object; names it.
    """
    found: list[Object] = []
    for path in sorted(home.published.glob("*.yaml")):
        try:
            documents = list(yaml.safe_load_all(path.read_text("utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ManifestError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
        for document in documents:
            if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
                raise ManifestError(f"{path} holds no Kubernetes object: it has no metadata.")
            found.append(document)
    return found


def known(home: Home) -> list[Object]:
    """The repository's manifests, and those of models that were published from a file."""
    return [*manifests.read(ROOT), *read(home)]


def names(home: Home) -> list[str]:
    """Every published model that has manifests here."""
    return sorted(path.stem for path in home.published.glob("*.yaml"))


def remove(home: Home, name: str) -> None:
    """Forget a published model's manifests, and that it was asked for."""
    with exclusive(home):
        desired = read_json(home.desired)
        if desired.get("models", {}).pop(name, None):
            write_json(home.desired, desired)
    (home.published / f"{name}.yaml").unlink(missing_ok=True)


def forget(home: Home, name: str) -> None:
    """Take a model out of the objects that a platform that does not run has kept."""
    kept = read_json(home.objects)
    if not kept:
        return
    owned = {name, f"{name}-predictor", f"{name}-canary-predictor"}
    gone: set[str] = set()
    left = list(kept.get("objects", ()))
    while True:  # a Deployment goes with its InferenceService, its ReplicaSets with it
        going = [
            one
            for one in left
            if (one["kind"] in _KINDS and one["metadata"]["name"] in owned)
            or any(owner["uid"] in gone for owner in one["metadata"].get("ownerReferences") or ())
        ]
        if not going:
            break
        gone |= {one["metadata"]["uid"] for one in going}
        left = [one for one in left if one["metadata"]["uid"] not in gone]
    kept["objects"] = left
    write_json(home.objects, kept, 0o600)


def _is_example(one: Object) -> bool:
    return one["kind"] in _KINDS and one["metadata"]["name"] in {
        EXAMPLE,
        f"{EXAMPLE}-predictor",
    }


def _named(manifest: Object, name: str) -> Object:
    made: Object = _renamed(manifest, name)
    if made["kind"] == "InferenceService":
        model = made["spec"]["predictor"]["model"]
        model |= {"modelFormat": {"name": FORMAT}, "runtime": RUNTIME}
    return made


def _renamed(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(inner, name) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, name) for inner in value]
    return re.sub(rf"\b{EXAMPLE}\b", name, value) if isinstance(value, str) else value
