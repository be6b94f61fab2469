"""The manifests of this repository: what `kubectl apply -k kserve -k keda` would apply.

Follows the kustomizations' `resources`, which is all that those two folders use, so that the laptop
needs no kubectl. Overlays and components are for clusters.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from controlplane.errors import ManifestError
from controlplane.kubernetes.meta import Object

FOLDERS = ("kserve", "keda")
_ORDER = ("Namespace", "ServiceAccount", "ServingRuntime", "InferenceService", "ScaledObject")
"""What others refer to comes first; kinds that only a cluster has are left out."""


def read(root: Path) -> list[Object]:
    """Every manifest of the folders, in the order in which to apply them.

    Raises:
        ManifestError: A file is missing, is not YAML or is no Kubernetes object; names it.
    """
    found = [one for folder in FOLDERS for one in _resources(root, root / folder)]
    return sorted(
        (one for one in found if one["kind"] in _ORDER), key=lambda one: _ORDER.index(one["kind"])
    )


def models(manifests: Iterable[Object]) -> list[str]:
    """Every model that has an InferenceService."""
    return sorted(one["metadata"]["name"] for one in manifests if one["kind"] == "InferenceService")


def of_models(manifests: Iterable[Object], names: Iterable[str]) -> list[Object]:
    """The manifests of some models: services, their runtimes and scaling, and what all share."""
    there, wanted = list(manifests), set(names)
    services = [
        one
        for one in there
        if one["kind"] == "InferenceService" and one["metadata"]["name"] in wanted
    ]
    runtimes = {one["spec"]["predictor"]["model"].get("runtime") for one in services}
    targets = {f"{name}{middle}-predictor" for name in wanted for middle in ("", "-canary")}

    def belongs(one: Object) -> bool:
        match one["kind"]:
            case "InferenceService":
                return one in services
            case "ServingRuntime":
                return one["metadata"]["name"] in runtimes or is_chosen_by_format(one)
            case "ScaledObject":
                return one["spec"]["scaleTargetRef"]["name"] in targets
        return True

    return [one for one in there if belongs(one)]


def is_chosen_by_format(runtime: Object) -> bool:
    """Whether a ServingRuntime serves InferenceServices that name their model's format alone."""
    formats = runtime["spec"].get("supportedModelFormats") or ()
    return any(one.get("autoSelect") for one in formats)


def _resources(root: Path, folder: Path) -> Iterator[Object]:
    kustomization = folder / "kustomization.yaml"
    (listed,) = _documents(root, kustomization)
    for name in listed.get("resources") or ():
        path = folder / name
        if path.is_dir():
            yield from _resources(root, path)
        else:
            yield from _documents(root, path)


def _documents(root: Path, path: Path) -> Iterator[Object]:
    name = path.relative_to(root)
    try:
        documents = list(yaml.safe_load_all(path.read_text("utf-8")))
    except FileNotFoundError:
        raise ManifestError(f"{name} is missing, and a kustomization names it.") from None
    except yaml.YAMLError as error:
        raise ManifestError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    for document in documents:
        if not isinstance(document, dict) or "kind" not in document:
            raise ManifestError(f"{name} holds no Kubernetes object: it has no kind.")
        yield document
