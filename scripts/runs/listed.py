"""Every run: of the Jobs that are there, and of the records that the store keeps."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane import statefolder
from controlplane.errors import SerinError
from controlplane.kubernetes import trainings
from controlplane.rollout.effects.kubernetes import Kubernetes, Object
from controlplane.store import runs, s3
from scripts.rollouts.target import Target

NAMESPACE = "models"
ID_DIGITS = 8
"""Of a Job's uid, as training/run.py takes them."""
OVER = {"Complete", "Failed", "Stopped", "Lost"}
Run = Mapping[str, Any]
"""A record's fields; of a Job that is there with its state, and `live` true."""


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
    records = {record["run"]: record for record in runs.records(place.store)} if place.store else {}
    found = {run["run"]: run for run in map(of_job, jobs(place.api))}
    for name, record in records.items():
        if name in found:
            told = {key: value for key, value in found[name].items() if value not in ("", None)}
            found[name] = {**record, **told}
        elif record.get("state") == "Running":  # nobody was left to say how it ended
            found[name] = {**record, "state": "Lost"}
        else:
            found[name] = record
    return sorted(found.values(), key=lambda run: str(run.get("beganAt")), reverse=True)


def of_job(job: Object) -> Run:
    """What a Job says of its run."""
    metadata, status = job["metadata"], job.get("status") or {}
    container = job["spec"]["template"]["spec"]["containers"][0]
    by = (entry for entry in container.get("env") or () if entry["name"] == "RUN_BY")
    told, state = trainings.progress(job), trainings.state(job)
    failed: Object = next(
        (entry for entry in status.get("conditions") or () if entry["type"] == "Failed"), {}
    )
    return {
        "run": metadata["uid"][:ID_DIGITS],
        "model": (metadata.get("labels") or {}).get(trainings.MODEL, ""),
        "job": metadata["name"],
        "by": next((entry.get("value", "") for entry in by), ""),
        "flags": list(container.get("args") or ()),
        "state": state,
        "error": ": ".join(filter(None, (failed.get("reason"), failed.get("message")))),
        "beganAt": status.get("startTime") or metadata.get("creationTimestamp", ""),
        "endedAt": status.get("completionTime") or failed.get("lastTransitionTime") or "",
        "progressPercentage": told.percent,
        "estimatedRemainingSeconds": told.remaining if state == "Running" else None,
        "metrics": dict(told.metrics) or None,
        "gates": list(told.gates) or None,
        "storageUri": told.uri,
        "live": True,
    }


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


def log(place: Place, run: Run) -> str:
    """A run's log: of its pod while that is there, else the end that its record kept."""
    pod = newest_pod(place.api, run["job"]) if run.get("live") else None
    if pod is not None:
        text = place.api.log(pod["metadata"]["name"], pod["spec"]["containers"][0]["name"], 0)
        if text:
            return text
    kept = run.get("log")
    return "".join(f"{line}\n" for line in kept) if isinstance(kept, list) else ""
