"""From manifests to served models: a version for each, by its training Job where it has none."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from controlplane.cluster.kubectl import ClusterError, Document, Kubectl
from controlplane.cluster.records import digest, record, remember
from controlplane.cluster.waiting import Watch
from controlplane.kubernetes.conditions import is_true

NAMESPACE = "models"
_URI = re.compile(r"(?:s3|pvc)://\S+/[0-9a-f]{12}")
_READY_SECONDS = 600
_VERDICT_SECONDS = 120
"""Past a Job's own deadline, so that its own verdict is what is told."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What to serve, and how to get there.

    Attributes:
        kubectl: the cluster.
        services: the InferenceServices of the models that were chosen, as an overlay renders them.
        scaling: model → its ScaledObject.
        job: a model's training Job, with what it needs.
        say: told what happens.
        smoke: train a few steps on little data, as the scripts' --smoke says.
    """

    kubectl: Kubectl
    services: Sequence[Document]
    scaling: Mapping[str, Document]
    job: Callable[[str], list[Document]]
    say: Callable[[str], None]
    smoke: bool = False

    def plan(self) -> None:
        """Say what `serve` would do."""
        for service in self.services:
            name = service["metadata"]["name"]
            uri = self._version(service)
            if uri is None:
                self.say(f"models: would train {name} in Job train-{name}, and serve its version")
            elif uri != self._serves(name):
                self.say(f"models: would serve {uri}")
            else:
                self.say(f"models: {name} serves {uri}, unchanged")

    def serve(self) -> None:
        """Give every model a version, serve it, then scale it; those that serve one keep it.

        Raises:
            ClusterError: a model does not get there; the others are served all the same.
        """
        training = {
            service["metadata"]["name"]: _start(
                self.kubectl, self.job(service["metadata"]["name"]), self.say, smoke=self.smoke
            )
            for service in self.services
            if self._version(service) is None
        }
        failed, changed = [], False
        for service in self.services:
            name = service["metadata"]["name"]
            try:
                changed |= self._serve(service, training.get(name))
            except ClusterError as error:
                self.say(f"{name}: {error}")
                failed.append(name)
        if failed:
            raise ClusterError(f"not served: {', '.join(failed)}, for the reasons above")
        if not changed:
            self.say("models: unchanged")

    def scale(self) -> None:
        """Apply changed ScaledObjects of the models that are served; serve nothing else."""
        for name in self.scaling:
            if self._serves(name) and self._scale(name):
                self.say(f"{name}: scaled by its new ScaledObject")

    def _serve(self, service: Document, job_seconds: float | None) -> bool:
        """One model; whether anything was changed."""
        name = service["metadata"]["name"]
        if job_seconds is None:
            uri = self._version(service) or ""
        else:
            uri = published(self.kubectl, name, job_seconds, self.say)
            self.say(f"{name}: trained {uri}")
        changed = uri != self._serves(name)
        if changed:
            service["spec"]["predictor"]["model"]["storageUri"] = uri
            self.kubectl.apply([service])
        await_ready(self.kubectl, name, self.say)
        changed |= self._scale(name)
        if changed:
            self.say(f"{name}: serving")
        return changed

    def _scale(self, name: str) -> bool:
        """Apply a model's ScaledObject, once there is a Deployment that KEDA finds at once."""
        if name not in self.scaling:
            return False
        scaled, key = self.scaling[name], f"scaling.{name}"
        there = self.kubectl.get("scaledobject", scaled["metadata"]["name"], "-n", NAMESPACE)
        if there is not None and record(self.kubectl).get(key) == digest([scaled]):
            return False  # somebody may have changed it since, as a rollout does: theirs stays
        self.kubectl.apply([scaled])
        remember(self.kubectl, key, digest([scaled]))
        return True

    def _version(self, service: Document) -> str | None:
        """What to serve: the overlay's version, or the one that is served; None for none yet."""
        if _URI.fullmatch(_storage_uri(service)):
            return _storage_uri(service)
        return self._serves(service["metadata"]["name"])

    def _serves(self, name: str) -> str | None:
        """The version that the cluster's InferenceService names."""
        live = self.kubectl.get("inferenceservice", name, "-n", NAMESPACE)
        uri = _storage_uri(live) if live else ""
        return uri if _URI.fullmatch(uri) else None


def await_ready(
    kubectl: Kubectl,
    name: str,
    say: Callable[[str], None],
    seconds: float = _READY_SECONDS,
) -> None:
    """Wait for an InferenceService to be ready.

    Raises:
        ClusterError: it is not, with what its pods say.
    """

    def ready() -> bool:
        service = kubectl.get("inferenceservice", name, "-n", NAMESPACE)
        return is_true((service or {}).get("status"), "Ready")

    watch = Watch(kubectl, say, NAMESPACE, f"serving.kserve.io/inferenceservice={name}")
    watch.wait(f"InferenceService {name} to be ready", seconds, ready)


def _start(
    kubectl: Kubectl, documents: list[Document], say: Callable[[str], None], *, smoke: bool
) -> float:
    """Start a model's Job unless one runs or ran; how long it may take, in seconds."""
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


def published(kubectl: Kubectl, model: str, seconds: float, say: Callable[[str], None]) -> str:
    """The URI that a model's Job logged last.

    Raises:
        ClusterError: the Job failed, or does not end.
    """
    name = f"train-{model}"
    watch = Watch(kubectl, say, NAMESPACE, f"job-name={name}")

    def ended() -> bool:
        job = kubectl.get("job", name, "-n", NAMESPACE)
        conditions = ((job or {}).get("status") or {}).get("conditions", ())
        for one in conditions:
            if one["type"] == "Failed" and one["status"] == "True":
                raise ClusterError(_failure(kubectl, name, one, watch.last))
        return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)

    watch.wait(f"Job {name} to complete", seconds + _VERDICT_SECONDS, ended)
    lines = _log(kubectl, name).strip().splitlines()
    uri = lines[-1] if lines else ""
    if not _URI.fullmatch(uri):
        raise ClusterError(
            f"Job {name} completed, but its log does not end with the URI of a version: {uri!r}. "
            f"Delete it to train again: kubectl -n {NAMESPACE} delete job {name}"
        )
    return uri


def _failure(kubectl: Kubectl, name: str, condition: Document, seen: str) -> str:
    """What a failed Job tells: its verdict, the end of its log where there is one, what to do."""
    told = [f"Job {name} failed: {condition.get('reason', '')}: {condition.get('message', '')}"]
    if log := _log(kubectl, name).strip():
        told.append(f"Its log ends: {log[-500:]}")
    elif seen:
        told.append(f"Its pod said: {seen}")
    told.append(f"Delete it to try again: kubectl -n {NAMESPACE} delete job {name}")
    return ". ".join(part.strip().rstrip(".") for part in told)


def _log(kubectl: Kubectl, job: str) -> str:
    """The end of what a Job's newest pod logged; empty where it has none, or never started."""
    pods = kubectl.items("pods", "-n", NAMESPACE, f"--selector=job-name={job}")
    if not pods:
        return ""
    newest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    try:
        return kubectl.run("logs", newest["metadata"]["name"], "-n", NAMESPACE, "--tail=20")
    except ClusterError:
        return ""


def _storage_uri(service: Document) -> str:
    uri: str = service["spec"]["predictor"]["model"]["storageUri"]
    return uri
