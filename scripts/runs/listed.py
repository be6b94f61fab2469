"""Every run: of the Jobs that are there, and of the records that the store keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane import statefolder
from controlplane.errors import SerinError
from controlplane.kubernetes import trainings
from controlplane.kubernetes.client import Kubernetes, Object
from controlplane.store import runs, s3
from controlplane.trainingjobs import Run, merged
from scripts.rollouts.target import Target

NAMESPACE = "models"


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster, and the store that its trainings publish to, as far as it is known."""

    api: Kubernetes
    store: s3.Store | None
    on_laptop: bool


@contextmanager
def place(kubeconfig: Path | None, context: str | None) -> Iterator[Place]:
    """The cluster that options name; its store is the environment's, or the laptop's own.

    Raises:
        SerinError: Nothing runs there.
    """
    target = Target.of(kubeconfig, context, NAMESPACE, "")
    store = s3.external()
    if store is None and target.on_laptop:
        store = s3.of_platform(statefolder.home())
    with target.api() as api:
        yield Place(api, store, target.on_laptop)


def jobs(api: Kubernetes) -> list[Object]:
    """The training Jobs that are there."""
    return api.list("jobs", trainings.SELECTOR)


def every(place: Place) -> list[Run]:
    """The newest first."""
    return merged(jobs(place.api), runs.records(place.store) if place.store else ())


def find(place: Place, name: str) -> Run:
    """The run whose name begins so, or whose Job has that name.

    Raises:
        SerinError: There is none, or there are several; names them.
    """
    known = every(place)
    found = [run for run in known if run["run"].startswith(name) and name]
    found = found or [run for run in known if run.get("job") == name and run.get("live")]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{run['run']} ({run['model']})" for run in (found or known)[:10])
    if found:
        raise SerinError(f"{name!r} begins several runs: {listed}.")
    raise SerinError(
        f"There is no run {name}. There are: {listed}."
        if known
        else f"There is no run {name}: none was started yet. Start one: ./serin train iris --job"
    )


def newest_pod(api: Kubernetes, job: str) -> Object | None:
    """Of a Job's pods the one that was made last."""
    pods = api.list("pods", f"job-name={job}")
    return max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)


def killed(place: Place, run: Run) -> str:
    """Why a container of its newest pod ended, where that was not the script's own doing."""
    pod = newest_pod(place.api, run["job"]) or {}
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("reason") == "OOMKilled":
            return f"its pod {pod['metadata']['name']} used more memory than its limit (OOMKilled)"
    return ""


def log(place: Place, run: Run) -> str:
    """A run's log: of its pod while that is there, else the end that its record kept."""
    pod = newest_pod(place.api, run["job"]) if run.get("live") else None
    if pod is not None:
        text = place.api.log(pod["metadata"]["name"], pod["spec"]["containers"][0]["name"], 0)
        if text:
            return text
    kept = run.get("log")
    return "".join(f"{line}\n" for line in kept) if isinstance(kept, list) else ""
