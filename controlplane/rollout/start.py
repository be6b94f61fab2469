"""The beginning of a rollout: what it starts from, written down for an engine, and the engine."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

from controlplane.errors import SerinError, UnknownModel
from controlplane.kubernetes.client import Access, Conflict, Kubernetes
from controlplane.rollout.effects.record import Records
from controlplane.rollout.plan import Plan
from controlplane.rollout.steps.mirror import mirror_name
from controlplane.rollout.steps.seen import digest
from controlplane.rollout.steps.state import State

_ROOT = Path(__file__).parents[2]


def launch(model: str, access: Access, prometheus: str, pushgateway: str, logs: Path) -> None:
    """Start an engine that outlives its caller; it leaves at once where another acts.

    Args:
        model: The InferenceService.
        access: The cluster.
        prometheus: Its address; empty: through the Kubernetes API.
        pushgateway: Where verdicts are pushed; empty: nowhere.
        logs: The folder that its log is in.
    """
    logs.mkdir(parents=True, exist_ok=True)
    options = {
        "--kubeconfig": str(access.kubeconfig or ""),
        "--context": access.context or "",
        "--namespace": access.namespace or "",
        "--prometheus": prometheus,
    }
    given = [f"{name}={value}" for name, value in options.items() if value]
    with (logs / f"rollout-{model}.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "controlplane.rollout", model, *given],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT), "PUSHGATEWAY_URL": pushgateway},
            start_new_session=True,
        )


def begin(api: Kubernetes, model: str, version: str, plan: Plan) -> State:
    """Write down a rollout of a version that is published beside the one served.

    Args:
        api: The cluster.
        model: The InferenceService.
        version: The last part of the storageUri, or all of it.
        plan: Steps and limits.

    Raises:
        SerinError: Another rollout is under way, or this one makes no sense; says why.
    """
    service = api.get("inferenceservices", model)
    if service is None:
        raise UnknownModel(
            model, (one["metadata"]["name"] for one in api.list("inferenceservices"))
        )
    spec = service["spec"]
    stable = str(spec["predictor"].get("model", {}).get("storageUri", "")).rstrip("/")
    prefix, _, served = stable.rpartition("/")
    canary = version if "://" in version else f"{prefix}/{version}"
    if "@" in served:
        raise SerinError(
            f"{model} follows the channel {stable}, so its replicas swap at once: ./serin channel "
            f"set {model} VERSION. A rollout is of InferenceServices that name a version."
        )
    if not served or not prefix.count("/") > 2:
        raise SerinError(
            f"{model} serves {stable or 'nothing'}, which names no version: a rollout could not "
            "go back to it. Serve a version first: s3://models/<model>/<version>."
        )
    if canary == stable:
        raise SerinError(f"{model} serves {served} already.")
    if "transformer" in spec or "explainer" in spec:
        raise SerinError(f"{model} has a transformer or an explainer, past which a canary goes.")
    records = Records(api, model)
    last = records.read()
    if last and last.state and not last.state.is_over:
        raise SerinError(
            f"A rollout of {model} to {last.state.canary} is under way ({last.state.phase}): see "
            f"serin rollout status {model}, or end it with serin rollout abort {model}."
        )
    if plan.shadow and (mirror := api.get("httproutes", mirror_name(model))):
        raise SerinError(
            f"There is an HTTPRoute {mirror['metadata']['name']} already, which mirrors {model}: "
            f"remove it first, kubectl delete httproute {mirror['metadata']['name']}."
        )
    if spec.get("canary"):
        raise SerinError(
            f"{model} has a canary that no rollout made: remove it first, kubectl patch isvc "
            f'{model} --type merge -p \'{{"spec": {{"canary": null}}}}\'.'
        )
    now = time.time()
    state = State(
        id=uuid.uuid4().hex[:8],
        stable=stable,
        canary=canary,
        spec=digest(spec),
        plan=plan,
        started=now,
        since=now,
    )
    try:
        records.begin(state)
    except Conflict as error:
        raise SerinError(f"Another rollout of {model} began just now.") from error
    return state
