"""Runs the steps: skips what is done or another's, applies the rest, and remembers it."""

from collections import Counter
from collections.abc import Callable

from controlplane.cluster import kserve, records
from controlplane.cluster.kubectl import Document, Kubectl, wait_until
from controlplane.cluster.records import PENDING, digest, forget, record, remember
from controlplane.cluster.releases import ADVICE, UnreachableError
from controlplane.cluster.steps import STEPS, Setup, Step
from controlplane.cluster.waiting import Say, Watch
from controlplane.errors import SerinError

_GONE_SECONDS = 600


def install(setup: Setup, say: Say, only: str | None = None) -> None:
    """Bring every step, or one, to where it should be."""
    advice = f". {ADVICE}"
    for step in STEPS:
        if only not in {None, step.name}:
            continue
        try:
            _run(setup, step, say)
        except UnreachableError as error:
            if not setup.dry_run:
                raise
            say(f"{step.name}: would apply its release, but {error.short}{advice}")
            advice = ""  # once: it is the same for all
    if setup.dry_run:
        return
    if only in {None, "kserve"}:
        for complaint in _kserve_complaints(setup.kubectl):
            say(f"warning: {complaint}")
    if only in {None, "prometheus"} and not setup.kubectl.get(
        "service", "prometheus-operated", "-n", "monitoring"
    ):
        say(
            "warning: no Service prometheus-operated in namespace monitoring: ScaledObjects ask "
            "http://prometheus-operated.monitoring:9090. Patch their serverAddress in your overlay."
        )


def _run(setup: Setup, step: Step, say: Say) -> None:
    kubectl = setup.kubectl
    known = record(kubectl).get(step.name)
    if known is None and (other := step.foreign(setup)):
        say(f"{step.name}: {other} is there, left as it is")
        return
    if setup.dry_run:
        _tell(setup, step, known, say)
        return
    documents = step.documents(setup)
    if known == digest(documents) and not _unavailable(kubectl, step, documents):
        say(f"{step.name}: unchanged")
        return
    say(f"{step.name}: applying {len(documents)} objects")
    remember(kubectl, step.name, PENDING)
    if step.retired:
        kubectl.delete(step.retired, 120)
    kubectl.apply(documents)
    for workload, namespace in _workloads(step, documents):
        watch = Watch(kubectl, say, namespace, _selector(kubectl, workload, namespace))
        watch.wait(
            f"{workload} in {namespace} to be available",
            step.seconds,
            # type: ignore: mypy does not infer a lambda that has defaults
            lambda workload=workload, namespace=namespace: _available(  # type: ignore[misc]
                kubectl, workload, namespace
            ),
        )
    if more := step.after(setup):
        kubectl.apply(more)
    remember(kubectl, step.name, digest(documents))
    say(f"{step.name}: ready")


def _tell(setup: Setup, step: Step, known: str | None, say: Say) -> None:
    """What a step would do; what keeps it from it is told and is no failure."""
    try:
        documents = step.documents(setup)
    except UnreachableError:
        raise
    except SerinError as error:
        say(f"{step.name}: would fail: {error}")
        return
    if known == digest(documents) and not _unavailable(setup.kubectl, step, documents):
        say(f"{step.name}: unchanged")
        return
    kinds = Counter(one["kind"] for one in documents)
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    say(f"{step.name}: would apply {listed}")


def _selector(kubectl: Kubectl, workload: str, namespace: str) -> str:
    """Of a workload's pods; empty, all of the namespace, while it is not there."""
    found = kubectl.get(workload, "-n", namespace)
    labels = ((found or {}).get("spec", {}).get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _workloads(step: Step, documents: list[Document]) -> list[tuple[str, str]]:
    """Those of a step's workloads that its objects make; --s3 URL makes no MinIO."""
    made = {
        (f"{one['kind'].lower()}/{one['metadata']['name']}", one["metadata"].get("namespace"))
        for one in documents
    }
    return [
        wait for wait in step.waits if wait in made or wait[0].startswith("statefulset/prometheus")
    ]


def _unavailable(kubectl: Kubectl, step: Step, documents: list[Document]) -> bool:
    return any(not _available(kubectl, *wait) for wait in _workloads(step, documents))


def _available(kubectl: Kubectl, workload: str, namespace: str) -> bool:
    """Whether all replicas of the newest template are available."""
    found = kubectl.get(workload, "-n", namespace)
    if found is None:
        return False
    wanted, status = found["spec"].get("replicas", 1), found.get("status") or {}
    return bool(
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("availableReplicas", 0) >= wanted
    )


def _kserve_complaints(kubectl: Kubectl) -> list[str]:
    for controller in kubectl.items("deployments", "-A"):
        if controller["metadata"]["name"] == "kserve-controller-manager":
            namespace = controller["metadata"]["namespace"]
            config = kubectl.get("configmap", "inferenceservice-config", "-n", namespace)
            storages = kubectl.items("clusterstoragecontainers")
            return kserve.complaints(controller, config, storages)
    return []


def remove(setup: Setup, say: Say, confirm: Callable[[str], bool]) -> None:
    """Take away what the record says is ours, the last first."""
    kubectl = setup.kubectl
    known = record(kubectl)
    if not known:
        say("nothing of Serin's is recorded in this cluster")
        return
    for kind in ("scaledobjects", "inferenceservices"):  # while who finalizes them is there
        for one in kubectl.items(kind, "-n", "models"):
            kubectl.delete([_reference(one)], 120)
            say(f"{one['kind']} {one['metadata']['name']}: removed")
    leaving = set[str]()
    for step in reversed(STEPS):
        if step.name not in known:
            continue
        holds_data = step.data and any(
            kubectl.get(workload, "-n", namespace) for workload, namespace in step.waits
        )
        if holds_data and not confirm(f"Remove {step.data}?"):
            say(f"{step.name}: kept")
            continue
        documents = step.documents(setup) + [
            {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}}
            for kind, name, namespace in step.leftovers
        ]
        # What others watch over goes first, its definition last: finalizers need their controller.
        rank = {"CustomResourceDefinition": 2, "Namespace": 1}
        for level in range(3):
            group = [_reference(one) for one in documents if rank.get(one["kind"], 0) == level]
            if group:
                kubectl.delete(group, 180, wait=level != rank["Namespace"])
        leaving |= {one["metadata"]["name"] for one in documents if one["kind"] == "Namespace"}
        forget(kubectl, step.name)
        say(f"{step.name}: removed")
    _await_gone(kubectl, leaving, say)
    if not record(kubectl).keys() & {step.name for step in STEPS}:
        kubectl.delete([records.namespace(records.NAMESPACE)], 60)


def _await_gone(kubectl: Kubectl, namespaces: set[str], say: Say) -> None:
    """Namespaces wait for the last of their pods, all at the same time."""

    def left() -> set[str]:
        return namespaces & {one["metadata"]["name"] for one in kubectl.items("namespaces")}

    wait_until(
        "namespaces to be gone",
        _GONE_SECONDS,
        lambda: not left(),
        lambda: f"{', '.join(sorted(left()))}: their status says what is left in them.",
        say,
    )


def _reference(document: Document) -> Document:
    """As much of an object as names it."""
    metadata = document["metadata"]
    names = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": names,
    }
