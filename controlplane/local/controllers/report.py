"""What a person is told about each model: facts of pods in, one row a model out.

Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from controlplane.kubernetes.meta import Object
from controlplane.local.controllers.inference import deployment_name
from controlplane.local.controllers.plan import DeploymentPlan, Plan, Route

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
    """Why it is in this phase; empty where nothing is wrong."""
    failure: str
    """Why its process ended last; empty where none has."""
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
    route: bool = False
    """Its HTTPRoute is wrong; its Deployments are as they should be."""


@dataclass(frozen=True, slots=True)
class PredictorReport:
    """A model's stable predictor, or a canary, as `serin status` shows it."""

    name: str
    """The model's name, or the canary's."""
    state: str
    """Ready, Starting, Updating, Degraded, Failed or, a model, Unpublished."""
    reason: str
    """Why it is not Ready; never empty then."""
    version: str
    """What answers now, a canary of a model not counted; empty where nothing does."""
    target_version: str
    """What should answer."""
    replicas_ready: int
    replicas_wanted: int
    share: int
    """Percent of the model's requests that it gets now."""
    target_share: int
    """Percent that it shall get once it is ready."""


@dataclass(frozen=True, slots=True)
class ModelReport(PredictorReport):
    """A model as `serin status` shows it."""

    canaries: tuple[PredictorReport, ...]
    hosts: tuple[str, ...]
    pods: tuple[PodReport, ...]


def report(
    service: Object,
    plan: Plan,
    pods: Sequence[PodReport],
    failures: Mapping[str, Failure],
) -> ModelReport:
    """Summarise an InferenceService."""
    failure = failures.get(service["metadata"]["name"])
    name, spec = service["metadata"]["name"], service["spec"]
    route = next((route for route in plan.routes if route.service == name), None)
    stable_name = deployment_name(service, spec["predictor"])
    canaries = spec.get("canary") or ()
    asked = {
        deployment_name(service, canary["predictor"]): int(canary["trafficPercent"])
        for canary in canaries
    }
    names = {found.name for found in plan.deployments if found.service == name} | {stable_name}
    own = [pod for pod in pods if pod.deployment in names]

    def predictor(shown: str, deployment: str, share: int) -> PredictorReport:
        wanted = next((found for found in plan.deployments if found.name == deployment), None)
        there = [pod for pod in own if pod.deployment == deployment]
        state, reason = _state(wanted, there)
        return PredictorReport(
            name=shown,
            state=state,
            reason=reason,
            version=", ".join(sorted({pod.version for pod in there if pod.ready})),
            target_version=wanted.version if wanted else "",
            replicas_ready=sum(pod.ready for pod in there),
            replicas_wanted=wanted.replicas if wanted else 0,
            share=_share(route, deployment),
            target_share=share,
        )

    stable = predictor(name, stable_name, 100 - sum(asked.values()))
    if failure:
        stable = _failed(stable, failure)
    return ModelReport(
        **asdict(stable),
        canaries=tuple(
            predictor(canary["predictor"]["name"], *part)
            for canary, part in zip(canaries, asked.items(), strict=True)
        ),
        hosts=route.hosts if route else (),
        pods=tuple(own),
    )


def _share(route: Route | None, deployment: str) -> int:
    weights = {backend.deployment: backend.weight for backend in route.backends} if route else {}
    whole = sum(weights.values())
    return round(100 * weights.get(deployment, 0) / whole) if whole else 0


def _failed(stable: PredictorReport, failure: Failure) -> PredictorReport:
    """A predictor whose InferenceService cannot be carried out."""
    if failure.unpublished and not stable.version:
        reason = f"{failure.reason}: ./serin train {stable.name}"
        return replace(stable, state="Unpublished", reason=reason)
    return replace(stable, state="Failed", reason=still(failure.reason, stable.version))


def still(reason: str, serving: str) -> str:
    """A reason, and what answers all the same; empty where nothing does."""
    return f"{reason.rstrip('. ')}; {serving} goes on serving" if serving else reason


def failed_start(version: str, pods: Iterable[PodReport], template_hash: str) -> str:
    """Why a template's pods do not start, and what answers instead; empty where they do.

    Args:
        version: What the template would serve.
        pods: The Deployment's.
        template_hash: The template's.
    """
    own = list(pods)
    failed = [
        pod
        for pod in own
        if pod.template_hash == template_hash
        and pod.phase != "Terminating"
        and pod.failed_starts >= TRIES
        and not pod.ready
    ]
    if not failed:
        return ""
    serving = {pod.version for pod in own if pod.ready and pod.template_hash != template_hash}
    reason = f"version {version} does not start: {failed[0].failure}"
    return still(reason, ", ".join(sorted(serving)))


def unreadable(name: str, reason: str) -> ModelReport:
    """An InferenceService of which nothing else can be said."""
    return ModelReport(
        **asdict(PredictorReport(name, "Failed", reason, "", "", 0, 0, 0, 0)),
        canaries=(),
        hosts=(),
        pods=(),
    )


def _state(wanted: DeploymentPlan | None, pods: Sequence[PodReport]) -> tuple[str, str]:
    if wanted is None:
        return "Starting", "its pods are yet to be made"
    new = [pod for pod in pods if pod.template_hash == wanted.template_hash]
    old = [pod for pod in pods if pod.template_hash != wanted.template_hash]
    current = [pod for pod in new if pod.phase != "Terminating"]
    ready = sum(pod.ready for pod in current)
    if ready >= wanted.replicas and len(current) == wanted.replicas:
        asleep = "" if wanted.replicas else "sleeps: the first request starts it"
        return ("Updating", "old replicas end") if old else ("Ready", asleep)
    if said := failed_start(wanted.version, pods, wanted.template_hash):
        return "Failed", said
    reason = _unready(current, wanted.replicas)
    if any(pod.ready for pod in old):
        broken = any(pod.reason for pod in current)
        return "Updating", reason if broken else f"to version {wanted.version}"
    begun = any(pod.ready or pod.restarts for pod in current)
    return "Degraded" if begun else "Starting", reason


def _unready(pods: Sequence[PodReport], wanted: int) -> str:
    """What is still to happen, or wrong, with the pods of the wanted template."""
    broken = next((pod for pod in pods if pod.reason or (pod.failure and not pod.ready)), None)
    if broken:
        return f"{broken.name}: {broken.phase}, {broken.reason or broken.failure}"
    phases = sorted({pod.phase.lower() for pod in pods if not pod.ready})
    if not phases:
        return f"{len(pods)} of {wanted} pods are there"
    return ", ".join(phases)
