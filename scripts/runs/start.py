"""A training Job: of a model's manifests, with the flags that were asked for."""

import getpass
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from controlplane.errors import SerinError
from controlplane.kubernetes import trainings
from controlplane.rollout.effects.kubernetes import Conflict, Kubernetes, Object
from scripts.runs import listed

ROOT = Path(__file__).parents[2]
GONE_SECONDS = 60.0
PLURALS = {"ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings"}


def documents(model: str, overlay: Path | None) -> list[Object]:
    """A model's Job and what goes with it; those of an overlay are rendered by kubectl.

    Raises:
        SerinError: There is none, or not one.
    """
    if overlay is not None:
        from controlplane.cluster.kubectl import render

        found = render(overlay)
    else:
        folder = ROOT / "training" / "jobs" / model
        if not folder.is_dir():
            raise SerinError(f"{folder} does not exist: {model} has no Job.")
        listed_files = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
        found = [
            document
            for name in listed_files["resources"]
            for document in yaml.safe_load_all((folder / name).read_text("utf-8"))
        ]
    jobs = [document for document in found if document["kind"] == "Job"]
    if len(jobs) != 1 or jobs[0]["metadata"].get("labels", {}).get(trainings.MODEL) != model:
        raise SerinError(f"{overlay or model} has {len(jobs)} Jobs: expected one, of {model}.")
    return found


def start(api: Kubernetes, model: str, objects: Sequence[Object], flags: Sequence[str]) -> Object:
    """Create the Job, in place of one that is over; the Job.

    Raises:
        SerinError: The model trains already: one at a time.
    """
    (job,) = (document for document in objects if document["kind"] == "Job")
    job["metadata"]["namespace"] = api.namespace
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["args"] = [*(container.get("args") or ()), *flags]
    container["env"] = [
        *(entry for entry in container.get("env") or () if entry["name"] != "RUN_BY"),
        {"name": "RUN_BY", "value": getpass.getuser()},
    ]
    name = job["metadata"]["name"]
    for other in listed.jobs(api):
        if (other["metadata"].get("labels") or {}).get(trainings.MODEL) == model:
            _refuse_beside(other, model)
    _clear(api, name)
    for document in objects:
        if plural := PLURALS.get(document["kind"]):
            _ensure(api, plural, document)
    try:
        return api.create("jobs", job)
    except Conflict as error:
        raise SerinError(
            f"Another training of {model} began just now: ./serin runs list"
        ) from error


def _refuse_beside(job: Object, model: str) -> None:
    if trainings.is_over(job):
        return
    run, told = listed.of_job(job), trainings.progress(job)
    how = trainings.words(told.percent, told.remaining, {})
    state = run["state"].lower()
    raise SerinError(
        f"{model} has a training already, one at a time: run {run['run']} is {state}"
        f"{f' ({how})' if how else ''}. Watch it: ./serin runs logs {run['run']} -f. "
        f"Cancel it: ./serin runs cancel {run['run']}"
    )


def _clear(api: Kubernetes, name: str) -> None:
    """Remove a Job that is over; its run has a record."""
    if api.get("jobs", name) is not None:
        api.delete("jobs", name)
        wait_gone(api, name)


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
