"""Training Jobs, for whoever starts and lists them: from manifests to a Job, from Jobs to runs."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from controlplane.differences import changed, shown
from controlplane.errors import SerinError
from controlplane.kubernetes import trainings
from controlplane.kubernetes.meta import Object

FOLDER = Path(__file__).parents[1] / "training" / "jobs"
ID_DIGITS = 8
"""Of a Job's uid, as training/run.py takes them."""
OVER = frozenset({"Complete", "Failed", "Stopped", "Lost"})
BESIDE = {"ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings"}
"""What goes with a Job, by kind and plural."""
COMPARED = ("state", "flags", "metrics", "gates", "data", "code", "storageUri")
Run = Mapping[str, Any]
"""A record's fields (training/publish/records.py); of a Job that is there `live` is true."""


def models() -> list[str]:
    """Those that have a Job; none where this is run without them, as in an image."""
    return sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml"))


def documents(model: str) -> list[Object]:
    """A model's Job and what goes with it, as `kubectl apply -k training/jobs/MODEL` takes them.

    Raises:
        SerinError: There is none.
    """
    folder = FOLDER / model
    if "/" in model or not (folder / "kustomization.yaml").is_file():
        raise SerinError(f"{FOLDER}/{model} does not exist: {model} has no Job.")
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    return [
        document
        for name in kustomization["resources"]
        for document in yaml.safe_load_all((folder / name).read_text("utf-8"))
    ]


def job_of(documents: Iterable[Object], model: str) -> Object:
    """The one Job among objects.

    Raises:
        SerinError: There is another number of them, or it is of another model.
    """
    jobs = [document for document in documents if document["kind"] == "Job"]
    if len(jobs) != 1 or model_of(jobs[0]) != model:
        raise SerinError(f"Expected one Job, of {model}: there are {len(jobs)}.")
    return jobs[0]


def prepare(job: Object, namespace: str, flags: Sequence[str], by: str) -> None:
    """Give a Job the flags of a run, and the name of who starts it."""
    job["metadata"]["namespace"] = namespace
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["args"] = [*(container.get("args") or ()), *flags]
    container["env"] = [
        *(entry for entry in container.get("env") or () if entry["name"] != "RUN_BY"),
        {"name": "RUN_BY", "value": by},
    ]


def in_the_way(jobs: Iterable[Object], model: str) -> Object | None:
    """A model's Job that is not over: a model has one training at a time."""
    own = (job for job in jobs if model_of(job) == model)
    return next((job for job in own if not trainings.is_over(job)), None)


def refusal(job: Object) -> str:
    """Why no training begins beside this one, and what to do."""
    run, told = run_of(job), trainings.progress(job)
    how = trainings.words(told.percent, told.remaining, {})
    return (
        f"{run['model']} has a training already, one at a time: run {run['run']} is "
        f"{run['state'].lower()}{f' ({how})' if how else ''}. Watch it: ./serin runs logs "
        f"{run['run']} -f. Cancel it: ./serin runs cancel {run['run']}"
    )


def model_of(job: Object) -> str:
    """By its label."""
    return str((job["metadata"].get("labels") or {}).get(trainings.MODEL, ""))


def run_of(job: Object) -> Run:
    """What a Job says of its run."""
    metadata, status = job["metadata"], job.get("status") or {}
    container = job["spec"]["template"]["spec"]["containers"][0]
    by = (entry for entry in container.get("env") or () if entry["name"] == "RUN_BY")
    told, state = trainings.progress(job), trainings.state(job)
    conditions = status.get("conditions") or ()
    failed: Object = next((entry for entry in conditions if entry["type"] == "Failed"), {})
    return {
        "run": metadata["uid"][:ID_DIGITS],
        "model": model_of(job),
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


def merged(jobs: Iterable[Object], records: Iterable[Run]) -> list[Run]:
    """One list of runs, the newest first: what a Job says now comes before what was written."""
    found = {run["run"]: run for run in map(run_of, jobs)}
    for record in records:
        if not _is_sound(record):
            continue
        name = record["run"]
        if name in found:
            told = {key: value for key, value in found[name].items() if value not in ("", None)}
            found[name] = {**record, **told}
        elif record.get("state") == "Running":  # nobody was left to say how it ended
            found[name] = {**record, "state": "Lost"}
        else:
            found[name] = record
    return sorted(found.values(), key=lambda run: str(run.get("beganAt")), reverse=True)


def differences(one: Run, other: Run) -> list[tuple[str, Any, Any]]:
    """Field, value in `one`, value in `other`."""
    pair = [dict(flat({key: run.get(key) for key in COMPARED})) for run in (one, other)]
    return changed(*pair)


def flat(run: Run) -> Iterator[tuple[str, Any]]:
    """Fields of fields, with dots; a gate by its name, flags as one line."""
    for field, value in run.items():
        match value:
            case dict():
                for inner, held in flat(value):
                    yield f"{field}.{inner}", held
            case list() if field == "flags":
                yield field, " ".join(map(str, value))
            case list() if field == "gates":
                for gate in value:
                    passed = "passed" if gate.get("passed") else "closed"
                    yield f"gate {gate.get('name')}", f"{passed}: {_figures(gate)}"
            case _:
                yield field, value


def _figures(gate: Run) -> str:
    return f"{shown(gate.get('value'))} (limit {shown(gate.get('limit'))})"


def _is_sound(record: Run) -> bool:
    """Whether a record is of the form: whoever may write to the store may write any."""
    words = (record.get(field) for field in ("run", "model", "state"))
    figures, gates = record.get("metrics") or {}, record.get("gates") or []
    try:
        json.dumps(record, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return (
        all(isinstance(word, str) for word in words)
        and isinstance(figures, dict)
        and isinstance(gates, list)
        and all(isinstance(gate, dict) for gate in gates)
    )
