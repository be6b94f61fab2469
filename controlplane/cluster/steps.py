"""What is installed, in order: a step's objects, who else may have it, when it is done."""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from controlplane.cluster import kserve, releases, storage
from controlplane.cluster.kubectl import Document, Kubectl, render

ROOT = Path(__file__).parents[2]
KSERVE_FOLDER = ROOT / "kserve"
JOBS = ROOT / "training" / "jobs"
ACTIVATOR = ("deployment/activator", "models")
"""Of overlays with kserve/components/scale-to-zero."""
_READY_SECONDS = 600
_MODEL_LABEL = "app.kubernetes.io/name"


@dataclass(frozen=True, slots=True)
class Setup:
    """One run: the cluster and what was asked of it."""

    kubectl: Kubectl
    overlay: Path
    manifests: Path | None = None
    s3: str | None = None
    domain: str = "localhost"
    environment: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False
    models: Sequence[str] = ()
    """Those to serve; none for all that the overlay has."""
    say: Callable[[str], None] = lambda _line: None

    def release(self, release: releases.Release) -> list[Document]:
        """A release's objects, from the folder that was named or from its URL."""
        return releases.load(release, self.manifests, self.say, write=not self.dry_run)


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the platform.

    Attributes:
        name: as --only takes it.
        foreign: what of another's installation is there already, in words; None where nothing is.
        documents: the objects to apply.
        waits: (kind/name, namespace) of workloads that must be available, and
        seconds: how long they may take.
        after: what remains once they are; returns more objects to apply.
        data: what --down would lose with it, in words.
        leftovers: (kind, name, namespace) of what its controllers make outside of its namespaces.
        retired: objects of an earlier Serin that stand in the way of today's.
    """

    name: str
    foreign: Callable[[Setup], str | None]
    documents: Callable[[Setup], list[Document]]
    waits: Sequence[tuple[str, str]] = ()
    seconds: float = _READY_SECONDS
    after: Callable[[Setup], list[Document]] = lambda _setup: []
    data: str = ""
    leftovers: Sequence[tuple[str, str, str]] = ()
    retired: Sequence[Document] = ()


def _crd(name: str, what: str) -> Callable[[Setup], str | None]:
    """Another's installation, told by a definition of its own."""

    def found(setup: Setup) -> str | None:
        return what if setup.kubectl.get("crd", name) else None

    return found


def _never(_setup: Setup) -> None:
    return None


def _gateway(setup: Setup) -> list[Document]:
    return setup.release(releases.GATEWAY)


def _keda(setup: Setup) -> list[Document]:
    return setup.release(releases.KEDA)


def _prometheus(setup: Setup) -> list[Document]:
    documents = setup.release(releases.PROMETHEUS_OPERATOR)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}}
    for one in documents:  # the release's bundle is written for `default`
        if one["metadata"].get("namespace") == "default":
            one["metadata"]["namespace"] = "monitoring"
        for subject in one.get("subjects", ()):
            if subject.get("namespace") == "default":
                subject["namespace"] = "monitoring"
    if not any(one["kind"] == "Namespace" for one in documents):
        documents.insert(0, namespace)
    return documents + render(ROOT / "monitoring" / "prometheus")


def _kserve(setup: Setup) -> list[Document]:
    documents = setup.release(releases.KSERVE)
    managed = setup.kubectl.get("crd", "certificates.cert-manager.io") is not None
    ca = None if managed else kserve.certificate(setup.kubectl, make=not setup.dry_run)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kserve.NAMESPACE}}
    return [namespace, *kserve.adapt(documents, setup.domain, ca)]


def _s3(setup: Setup) -> list[Document]:
    models = render(KSERVE_FOLDER / "namespace")
    if setup.s3:
        return models + storage.foreign_store(setup.s3, setup.environment)
    folder = "minio" if _default_storage_class(setup.kubectl) else "minio-ephemeral"
    minio = render(KSERVE_FOLDER / "storage" / folder)
    return [*models, *minio, storage.root_secret(setup.kubectl)]


def _s3_after(setup: Setup) -> list[Document]:
    return [] if setup.s3 else storage.own_store(setup.kubectl)


def _default_storage_class(kubectl: Kubectl) -> bool:
    mark = "storageclass.kubernetes.io/is-default-class"
    return any(
        (one["metadata"].get("annotations") or {}).get(mark) == "true"
        for one in kubectl.items("storageclass")
    )


def _serin(setup: Setup) -> list[Document]:
    """The overlay without what step `models` applies, model by model."""
    later = {"InferenceService", "ScaledObject"}
    return [one for one in chosen(setup) if one["kind"] not in later]


def chosen(setup: Setup) -> list[Document]:
    """The overlay's objects without those that belong to models nobody chose."""
    documents = render(setup.overlay)
    models = {one["metadata"]["name"] for one in documents if one["kind"] == "InferenceService"}
    left_out = models - set(setup.models) if setup.models else set[str]()
    return [
        one
        for one in documents
        if (one["metadata"].get("labels") or {}).get(_MODEL_LABEL) not in left_out
    ]


def overlay_documents(setup: Setup, kind: str) -> list[Document]:
    """The chosen models' objects of one kind, or the overlay's own."""
    return [one for one in chosen(setup) if one["kind"] == kind]


def job(setup: Setup, model: str) -> list[Document]:
    """A model's training Job, its image renamed as the overlay's `images:` say."""
    folder = JOBS / model
    overlay = yaml.safe_load((setup.overlay / "kustomization.yaml").read_text("utf-8"))
    if not overlay.get("images"):
        return render(folder)
    with tempfile.TemporaryDirectory() as made:
        renamed = {
            "resources": [os.path.relpath(folder, Path(made).resolve())],  # kustomize's way
            "images": overlay["images"],
        }
        Path(made, "kustomization.yaml").write_text(yaml.safe_dump(renamed), "utf-8")
        return render(Path(made))


def has_activator(setup: Setup) -> bool:
    """Whether the overlay lets models sleep."""
    names = {
        (f"{one['kind'].lower()}/{one['metadata']['name']}", one["metadata"].get("namespace"))
        for one in render(setup.overlay)
    }
    return ACTIVATOR in names


STEPS = (
    Step(
        "gateway",
        _crd("envoyproxies.gateway.envoyproxy.io", "an Envoy Gateway"),
        _gateway,
        waits=[("deployment/envoy-gateway", "envoy-gateway-system")],
    ),
    Step(
        "keda",
        _crd("scaledobjects.keda.sh", "a KEDA"),
        _keda,
        waits=[
            ("deployment/keda-operator", "keda"),
            ("deployment/keda-metrics-apiserver", "keda"),
            ("deployment/keda-admission", "keda"),
        ],
    ),
    Step(
        "prometheus",
        _crd("prometheuses.monitoring.coreos.com", "a Prometheus operator"),
        _prometheus,
        waits=[
            ("deployment/prometheus-operator", "monitoring"),
            ("statefulset/prometheus-serin", "monitoring"),
        ],
        leftovers=[("Service", "kubelet", "kube-system")],  # by which the operator finds kubelets
    ),
    Step(
        "kserve",
        _crd("inferenceservices.serving.kserve.io", "a KServe"),
        _kserve,
        waits=[("deployment/kserve-controller-manager", kserve.NAMESPACE)],
    ),
    Step(
        "s3",
        _never,
        _s3,
        waits=[("deployment/minio", "minio")],
        after=_s3_after,
        data="every published model in the cluster's MinIO",
    ),
    Step(
        "serin",
        _never,
        _serin,
        waits=[ACTIVATOR],
        retired=[  # a pod that two budgets count cannot be evicted
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "predictors", "namespace": "models"},
            }
        ],
    ),
)
