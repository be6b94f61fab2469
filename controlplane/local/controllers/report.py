"""What a person is told about each model: facts of pods in, one row a model out.

Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controlplane.kubernetes.meta import Object
from controlplane.local.controllers.inference import deployment_name
from controlplane.local.controllers.plan import DeploymentPlan, Plan

TRIES = 2
"""Failed starts in a row after which a template counts as failed: the second had a fresh download
and fresh ports, so what is left is the artifact or the code."""


@dataclass(frozen=True, slots=True)
class PodReport:
    """A pod as `serin status --json` shows it."""

    name: str
    deployment: str
    template_hash: str
    version: str
    phase: str
    """Pending, Downloading, Starting, Running, NotReady, CrashLoopBackOff or Terminating."""
    reason: str
    ready: bool
    """Ready, and the gateway sends it requests."""
    restarts: int
    failed_starts: int
    pid: int | None
    http_port: int
    grpc_port: int
    metrics_port: int
    made_at: str
    """metav1.Time, as the two below."""
    started_at: str
    """When its process started; empty before."""
    ended_at: str
    """When its last process ended; empty while none has."""
    exit_code: int | None
    """Of that process; negative: the signal."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an InferenceService's spec cannot be carried out."""

    reason: str
    unpublished: bool = False
    """There is no version of its model yet."""


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A model as `serin status` shows it."""

    name: str
    state: str
    """Ready, Starting, Updating, Degraded, Failed or Unpublished."""
    reason: str
    version: str
    """What answers now, a canary not counted; empty where nothing does."""
    target_version: str
    """What should answer."""
    replicas_ready: int
    replicas_wanted: int
    hosts: tuple[str, ...]
    pods: tuple[PodReport, ...]


def report(
    services: Iterable[Object],
    plan: Plan,
    pods: Sequence[PodReport],
    failures: Mapping[str, Failure],
) -> list[ModelReport]:
    """Summarise every InferenceService."""
    return [
        _model(service, plan, pods, failures.get(service["metadata"]["name"]))
        for service in services
    ]


def _model(
    service: Object, plan: Plan, pods: Sequence[PodReport], failure: Failure | None
) -> ModelReport:
    name = service["metadata"]["name"]
    stable_name = deployment_name(service, service["spec"]["predictor"])
    stable = next((found for found in plan.deployments if found.name == stable_name), None)
    names = {found.name for found in plan.deployments if found.service == name} | {stable_name}
    own = [pod for pod in pods if pod.deployment in names]
    stable_pods = [pod for pod in own if pod.deployment == stable_name]
    state, reason = _state(stable, stable_pods)
    if failure:
        serving = sorted({pod.version for pod in stable_pods if pod.ready})
        goes_on = f"; {', '.join(serving)} goes on serving" if serving else ""
        state, reason = "Failed", failure.reason + goes_on
        if failure.unpublished and not serving:
            state, reason = "Unpublished", f"{failure.reason}: ./serin train {name}"
    hosts = next((route.hosts for route in plan.routes if route.service == name), ())
    return ModelReport(
        name=name,
        state=state,
        reason=reason,
        version=", ".join(sorted({pod.version for pod in stable_pods if pod.ready})),
        target_version=stable.version if stable else "",
        replicas_ready=sum(pod.ready for pod in stable_pods),
        replicas_wanted=stable.replicas if stable else 0,
        hosts=hosts,
        pods=tuple(own),
    )


def _state(stable: DeploymentPlan | None, pods: Sequence[PodReport]) -> tuple[str, str]:
    if stable is None:
        return "Starting", ""
    new = [pod for pod in pods if pod.template_hash == stable.template_hash]
    old = [pod for pod in pods if pod.template_hash != stable.template_hash]
    current = [pod for pod in new if pod.phase != "Terminating"]
    if sum(pod.ready for pod in current) >= stable.replicas and len(current) == stable.replicas:
        return ("Updating", "old replicas end") if old else ("Ready", "")
    failed = [pod for pod in current if pod.failed_starts >= TRIES and not pod.ready]
    serving = sorted({pod.version for pod in old if pod.ready})
    if failed:
        goes_on = f"; {', '.join(serving)} goes on serving" if serving else ""
        return "Failed", f"version {stable.version} does not start: {failed[0].reason}{goes_on}"
    broken = [pod for pod in current if pod.reason]
    reason = f"{broken[0].name}: {broken[0].phase}, {broken[0].reason}" if broken else ""
    if any(pod.ready for pod in old):
        return "Updating", reason or f"to version {stable.version}"
    if any(pod.ready or pod.restarts for pod in current):
        return "Degraded", reason
    phases = sorted({pod.phase.lower() for pod in current})
    return "Starting", reason or ", ".join(phases)
