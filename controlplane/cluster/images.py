"""Which images the pods of an installation ask for."""

import re
from collections.abc import Iterator
from typing import Any

from controlplane.cluster import releases
from controlplane.cluster.kubectl import Document
from controlplane.cluster.releases import UnreachableError
from controlplane.cluster.steps import STEPS, Setup, job, overlay_documents

_ARGUMENT = re.compile(r"--[\w-]*=((?:[\w.-]+/)+[\w.-]+:[\w.-]+)")  # an operator's own parts
_OURS = re.compile(r"docker\.io/serin/(?P<train>train-)?(?P<name>[\w-]+):dev")


def listed(setup: Setup) -> tuple[list[tuple[str, str]], list[str]]:
    """Each image and what asks for it or how it is built; then what could not be read."""
    found, unread = dict[str, str](), list[str]()
    for step in STEPS:
        try:
            documents = step.documents(setup)
        except UnreachableError as error:
            unread.append(f"{step.name}: {error.short}")
            continue
        for image in asked_for(documents):
            found.setdefault(image, step.name)
    for service in overlay_documents(setup, "InferenceService"):
        for image in asked_for(job(setup, service["metadata"]["name"])):
            found.setdefault(image, "models")
    envoys = [one for one in overlay_documents(setup, "EnvoyProxy") if list(asked_for([one]))]
    if not envoys:  # what Envoy Gateway starts where nobody names one
        tag = releases.versions()["ENVOY_GATEWAY_ENVOY_TAG"]
        found.setdefault(f"docker.io/envoyproxy/envoy:{tag}", "gateway")
    listed = [(image, _recipe(image) or asked_by) for image, asked_by in sorted(found.items())]
    return listed, unread


def asked_for(documents: list[Document]) -> Iterator[str]:
    """The images that objects name, in full; templates of no object are left out."""
    for document in documents:
        if document["kind"] not in {"CustomResourceDefinition", "ConfigMap"}:
            yield from map(_full, _named(document))


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("kind") == "Prometheus" and "image" not in value["spec"]:
            yield f"quay.io/prometheus/prometheus:{value['spec']['version']}"
        for key, inner in value.items():
            if key == "image" and isinstance(inner, str):
                yield inner
            else:
                yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)
    elif isinstance(value, str) and (argument := _ARGUMENT.fullmatch(value)):
        yield argument[1]


def _full(image: str) -> str:
    """With its registry, as a node asks for it."""
    host, slash, _ = image.partition("/")
    has_host = slash and ("." in host or ":" in host or host == "localhost")
    return image if has_host else f"docker.io/{image}"


def _recipe(image: str) -> str:
    """How one of ours is built; empty for another's."""
    found = _OURS.fullmatch(image)
    if found is None:
        return ""
    if found["name"] in {"activator", "console"}:
        return f"build it: -f controlplane/{found['name']}/Dockerfile"
    folder = "training" if found["train"] else "predictors"
    return f"build it: -f {folder}/Dockerfile --build-arg MODEL={found['name']}"
