"""What is kept of a run: how a version came about, and what became of those that made none.

    s3://models/<model>/runs/<run>.json

A version's manifest holds what decides its bytes: data, code, seed, metrics. A record has what does
not: who, when, with which flags, the gates and the end of the log; it names the version. It is
written when a Job begins and when a run ends, and read by controlplane/store/runs.py. A run that
cannot be recorded goes on all the same, and says so.
"""

import json
import sys
import threading
from functools import partial

from training.publish.registry import Registry, RegistryError
from training.run import Run

SECONDS = 10.0
"""A record is worth so long a wait, and a training not more."""


def key(run: Run) -> str:
    """Where it is in the bucket."""
    return f"{run.model}/runs/{run.id}.json"


def document(run: Run) -> dict[str, object]:
    """What is written."""
    return {
        "run": run.id,
        "model": run.model,
        "job": run.job,
        "by": run.by,
        "flags": list(run.flags),
        "state": run.state,
        "error": run.error,
        "beganAt": run.began_at,
        "endedAt": run.ended_at,
        "progressPercentage": run.percent,
        "metrics": run.metrics or run.figures(),
        "gates": run.gates,
        "data": run.data,
        "code": run.code,
        "storageUri": run.uri,
        "log": list(run.log),
    }


def begin(registry: Registry, run: Run) -> None:
    """Have a run recorded in this store: when it ends, and a Job's from now on."""
    run.keep = partial(_keep, registry, run)
    if run.job:
        run.keep()


def _keep(registry: Registry, run: Run) -> None:
    """Write a run's record, if it has a name; never for longer than SECONDS."""
    if not run.id:
        return
    failed = ["the store took too long"]

    def write() -> None:
        try:
            registry.put(key(run), json.dumps(document(run)).encode())
        except RegistryError as error:
            failed[0] = str(error)
        else:
            failed.clear()

    writer = threading.Thread(target=write, name="run-record", daemon=True)
    writer.start()
    writer.join(SECONDS)
    if failed and not run.uri:  # else the URI is the last line of the log, which others read
        said = f"run {run.id} is not recorded, going on without: {failed[0]}"
        print(said, file=sys.stderr, flush=True)
