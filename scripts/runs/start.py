"""A training Job: of a model's manifests, with the flags that were asked for."""

import getpass
import time
from collections.abc import Sequence
from pathlib import Path

from controlplane import trainingjobs
from controlplane.errors import SerinError
from controlplane.kubernetes.client import Conflict, Kubernetes, Object
from scripts.runs import listed

GONE_SECONDS = 60.0


def documents(model: str, overlay: Path | None) -> list[Object]:
    """A model's Job and what goes with it; those of an overlay are rendered by kubectl.

    Raises:
        SerinError: There is none, or not one.
    """
    if overlay is None:
        return trainingjobs.documents(model)
    from controlplane.cluster.kubectl import render

    return render(overlay)


def start(api: Kubernetes, model: str, objects: Sequence[Object], flags: Sequence[str]) -> Object:
    """Create the Job, in place of one that is over; the Job.

    Raises:
        SerinError: The model trains already: one at a time.
    """
    job = trainingjobs.job_of(objects, model)
    trainingjobs.prepare(job, api.namespace, flags, getpass.getuser())
    if other := trainingjobs.in_the_way(listed.jobs(api), model):
        raise SerinError(trainingjobs.refusal(other))
    name = job["metadata"]["name"]
    if api.get("jobs", name) is not None:  # it is over, and its run has a record
        api.delete("jobs", name)
        wait_gone(api, name)
    for document in objects:
        if plural := trainingjobs.BESIDE.get(document["kind"]):
            _ensure(api, plural, document)
    try:
        return api.create("jobs", job)
    except Conflict as error:
        said = f"Another training of {model} began just now: ./serin runs"
        raise SerinError(said) from error


def wait_gone(api: Kubernetes, name: str) -> None:
    """Wait until a deleted Job and its pods are gone.

    Raises:
        SerinError: They are not, after a minute.
    """
    deadline = time.monotonic() + GONE_SECONDS
    while api.get("jobs", name) is not None or api.list("pods", f"job-name={name}"):
        if time.monotonic() > deadline:
            raise SerinError(
                f"Job {name} was deleted, and its pods are still ending after "
                f"{GONE_SECONDS:.0f} s: kubectl -n {api.namespace} get pods -l job-name={name}"
            )
        time.sleep(0.2)


def _ensure(api: Kubernetes, plural: str, document: Object) -> None:
    """Create what goes with a Job; one that is there stays, since others may have changed it."""
    document["metadata"]["namespace"] = api.namespace
    if api.get(plural, document["metadata"]["name"]) is None:
        try:
            api.create(plural, document)
        except Conflict:  # another was faster
            return
