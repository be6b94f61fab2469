"""From manifests to served models: a version for each, by its training Job where it has none."""

import re
from collections.abc import Callable
from pathlib import Path

from controlplane.cluster.kubectl import (
    ClusterError,
    Document,
    Kubectl,
    pods_say,
    render,
    wait_until,
)

NAMESPACE = "models"
_URI = re.compile(r"(?:s3|pvc)://\S+/[0-9a-f]{12}")
_READY_SECONDS = 300


def serve(
    kubectl: Kubectl,
    services: list[Document],
    jobs: Path,
    say: Callable[[str], None],
    *,
    smoke: bool = False,
) -> list[str]:
    """Give every InferenceService a version and apply it; those that serve one keep it.

    Args:
        kubectl: the cluster.
        services: InferenceServices, as an overlay renders them.
        jobs: folder of the Jobs' kustomizations, one a model.
        say: told what happens.
        smoke: train a few steps on little data, as the scripts' --smoke says.

    Returns:
        The names of the InferenceServices that were changed.
    """
    training, changed = {}, []
    for service in services:
        name = service["metadata"]["name"]
        if _URI.fullmatch(_storage_uri(service)):
            continue  # the overlay names a version
        live = kubectl.get("inferenceservice", name, "-n", NAMESPACE)
        if live is not None and _URI.fullmatch(_storage_uri(live)):
            service["spec"]["predictor"]["model"]["storageUri"] = _storage_uri(live)
        else:
            training[name] = _start(kubectl, jobs / name, say, smoke=smoke)
    for service in services:
        name = service["metadata"]["name"]
        if name in training:
            uri = published(kubectl, name, training[name])
            say(f"{name}: trained {uri}")
            service["spec"]["predictor"]["model"]["storageUri"] = uri
        live = kubectl.get("inferenceservice", name, "-n", NAMESPACE)
        if live is None or _storage_uri(live) != _storage_uri(service):
            kubectl.apply([service])
            changed.append(name)
    for service in services:
        await_ready(kubectl, service["metadata"]["name"])
    for name in changed:
        look_now(kubectl, f"{name}-predictor")
    return changed


def await_ready(kubectl: Kubectl, name: str, seconds: float = _READY_SECONDS) -> None:
    """Wait for an InferenceService to be ready.

    Raises:
        ClusterError: it is not, with what its pods say.
    """

    def ready() -> bool:
        service = kubectl.get("inferenceservice", name, "-n", NAMESPACE)
        conditions = ((service or {}).get("status") or {}).get("conditions", ())
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    wait_until(
        f"InferenceService {name} to be ready",
        seconds,
        ready,
        lambda: pods_say(kubectl, NAMESPACE, f"serving.kserve.io/inferenceservice={name}"),
    )


def look_now(kubectl: Kubectl, scaled_object: str) -> None:
    """Make KEDA look for a ScaledObject's Deployment, which was not there when it last did.

    It would by itself, ever more seldom, up to every 17 minutes; the end of a pause makes it.
    """
    if kubectl.get("scaledobject", scaled_object, "-n", NAMESPACE):
        target = ("annotate", f"scaledobject/{scaled_object}", "-n", NAMESPACE, "--overwrite")
        kubectl.run(*target, "autoscaling.keda.sh/paused=true")
        kubectl.run(*target, "autoscaling.keda.sh/paused-")


def _start(kubectl: Kubectl, folder: Path, say: Callable[[str], None], *, smoke: bool) -> float:
    """Start a model's Job unless one runs or ran; how long it may take, in seconds."""
    documents = render(folder)
    (job,) = (one for one in documents if one["kind"] == "Job")
    name = job["metadata"]["name"]
    if kubectl.get("job", name, "-n", NAMESPACE) is None:
        if smoke:
            for container in job["spec"]["template"]["spec"]["containers"]:
                container["args"] = [*container.get("args", ()), "--smoke"]
        say(f"Job {name}: started")
        kubectl.apply(documents)
    seconds: float = job["spec"]["activeDeadlineSeconds"]
    return seconds


def published(kubectl: Kubectl, model: str, seconds: float) -> str:
    """The URI that a model's Job logged last.

    Raises:
        ClusterError: the Job failed, or did not end in time.
    """
    name = f"train-{model}"

    def ended() -> bool:
        job = kubectl.get("job", name, "-n", NAMESPACE)
        conditions = ((job or {}).get("status") or {}).get("conditions", ())
        for one in conditions:
            if one["type"] == "Failed" and one["status"] == "True":
                raise ClusterError(
                    f"Job {name} failed: {one.get('message', '')} Its log ends: "
                    f"{_log(kubectl, name)[-500:]} Delete it to try again: kubectl -n "
                    f"{NAMESPACE} delete job {name}"
                )
        return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)

    wait_until(
        f"Job {name} to complete",
        seconds,
        ended,
        lambda: pods_say(kubectl, NAMESPACE, f"job-name={name}"),
    )
    lines = _log(kubectl, name).strip().splitlines()
    uri = lines[-1] if lines else ""
    if not _URI.fullmatch(uri):
        raise ClusterError(f"Job {name} logged no URI of a version as its last line, but: {uri!r}")
    return uri


def _log(kubectl: Kubectl, job: str) -> str:
    return kubectl.run("logs", f"job/{job}", "-n", NAMESPACE, "--tail=20")


def _storage_uri(service: Document) -> str:
    uri: str = service["spec"]["predictor"]["model"]["storageUri"]
    return uri
