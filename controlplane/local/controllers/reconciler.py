"""The controllers' part of a cluster: from objects to objects, one step at a time.

Reads InferenceServices, writes Deployments and HTTPRoutes (as KServe does), then ReplicaSets, Pods
and every status (as Kubernetes does). Decisions are pure functions elsewhere; each step may be
repeated and writes only what changed.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from controlplane.errors import ManifestError
from controlplane.kubernetes.conditions import timed
from controlplane.kubernetes.kinds import by_name
from controlplane.kubernetes.meta import Object, by_owner, key_of, now, owners
from controlplane.kubernetes.names import REVISION, SERVED, SERVICE_LABEL, SOURCE, source
from controlplane.kubernetes.refusals import Invalid
from controlplane.local.api.objects import Objects
from controlplane.local.api.schemas import validation
from controlplane.local.controllers import events, inference, routing, servicestatus, workloads
from controlplane.local.controllers.autoscaling import autoscalers
from controlplane.local.controllers.fence import Fence
from controlplane.local.controllers.plan import (
    DeploymentPlan,
    deployment_plan,
    template_hash,
)
from controlplane.local.controllers.report import Failure, PodReport
from controlplane.local.controllers.routing import Routing
from controlplane.store.channels import is_versioned

_HISTORY = 10
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Around:
    """What one step of every InferenceService looks at; read once, because copies cost."""

    runtimes: Mapping[str, Object]
    available: Mapping[str, int]
    """Deployment → pods that answer now."""
    deployments: Mapping[str, Sequence[Object]]
    """InferenceService's uid → its Deployments."""
    scaled: Sequence[Object]
    """Every ScaledObject."""


class Controllers:
    """What every InferenceService asks for, as objects."""

    def __init__(self, objects: Objects, port: int, fence: Fence) -> None:
        self.objects = objects
        self.port = port
        self.fence = fence
        self.failures: dict[str, Failure] = {}
        """InferenceService → why its spec is not carried out."""
        self._phases: dict[str, str] = {}

    def carry_out(self, available: Mapping[str, int]) -> None:
        """Make Deployments and HTTPRoutes follow the InferenceServices.

        Args:
            available: Deployment → pods that answer now. Weights follow it.
        """
        around = _Around(
            {one["metadata"]["name"]: one for one in self.objects.list_of("ServingRuntime")},
            available,
            by_owner(self.objects.list_of("Deployment")),
            self.objects.list_of("ScaledObject"),
        )
        services = self.objects.list_of("InferenceService")
        for service in services:
            step = partial(self._carried_out, service, around)
            if not self.fence.run("spec", service, step, otherwise=False):
                self._fail(service, Failure(self.fence.reason(service)))
        for name in self.failures.keys() - {one["metadata"]["name"] for one in services}:
            del self.failures[name]

    def write(self, pods: Sequence[PodReport], told: Routing) -> None:
        """Make ReplicaSets, Pods and statuses say what is."""
        run, time = self.fence.run, now()
        deployments = self.objects.list_of("Deployment")
        kept = {deployment["metadata"]["uid"] for deployment in deployments}
        sets = self.objects.list_of("ReplicaSet")
        for one in sets:  # of an earlier canary, by the same name
            if not any(owner["uid"] in kept for owner in owners(one)):
                self.objects.delete(*key_of(one))
        owned = by_owner(sets)
        for one in deployments:
            own = [pod for pod in pods if pod.deployment == one["metadata"]["name"]]
            existing = owned.get(one["metadata"]["uid"], [])
            run("replica sets", one, partial(self._replica_sets, one, existing, own), None)
        self._pods(pods)
        by_service: dict[str, dict[str, Object]] = {}
        for one in deployments:
            own = [pod for pod in pods if pod.deployment == one["metadata"]["name"]]
            changed = run("status", one, partial(self._deployment_status, one, own, time), one)
            service = (one["metadata"].get("labels") or {}).get(SERVICE_LABEL, "")
            by_service.setdefault(service, {})[one["metadata"]["name"]] = changed
        for one in self.objects.list_of("HTTPRoute"):
            run("status", one, partial(self._route_status, one, told, time), None)
        for one in self.objects.list_of("InferenceService"):
            step = partial(self._service_status, one, by_service, pods, told, time)
            run("status", one, step, None)

    def older(self) -> Iterator[tuple[DeploymentPlan, DeploymentPlan]]:
        """Older templates that had pods, with what their Deployments want now."""
        for one in self.objects.list_of("ReplicaSet"):
            if found := self.fence.run("restore", one, partial(self._older, one), None):
                yield found

    def _older(self, one: Object) -> tuple[DeploymentPlan, DeploymentPlan] | None:
        owner = one["metadata"]["ownerReferences"][0]["name"]
        deployment = self.objects.find("Deployment", one["metadata"]["namespace"], owner)
        if deployment and one["spec"]["replicas"]:
            old, current = deployment_plan(one), deployment_plan(deployment)
            if old.template_hash != current.template_hash:
                return replace(old, name=current.name), current
        return None

    def _carried_out(self, service: Object, around: _Around) -> bool:
        try:
            self._service(service, around)
        except (ManifestError, Invalid) as error:
            route = isinstance(error, Invalid) and error.details.get("kind") == "HTTPRoute"
            self._fail(service, Failure(str(error), route=route))
        except _UnpublishedError as error:
            self._fail(service, Failure(str(error), unpublished=True))
        else:
            self.failures.pop(service["metadata"]["name"], None)
        return True

    def _service(self, service: Object, around: _Around) -> None:
        wanted, available = inference.deployments(service, around.runtimes), around.available
        for deployment in wanted:
            if not is_versioned(uri := source(deployment)):
                raise _UnpublishedError(f"{uri or 'the model'} has no published version")
            deployment_plan(deployment)  # raises for what a laptop cannot do
        names = {one["metadata"]["name"] for one in wanted}
        ready = sum(available.get(one["metadata"]["name"], 0) for one in wanted[:-1])
        for deployment, predictor in zip(wanted, inference.predictors(service), strict=True):
            replicas = inference.replicas(service, predictor, ready)
            self._deployment(service, deployment, replicas, around.scaled)
        for route in inference.routes(service, available):
            self._put(route)
        for old in around.deployments.get(service["metadata"]["uid"], ()):
            if old["metadata"]["name"] not in names:
                self._remove(old)

    def _deployment(
        self, service: Object, wanted: Object, replicas: int, scaled: Sequence[Object]
    ) -> None:
        old = self.objects.find(*key_of(wanted))
        if old and not inference.is_kept_by_kserve(service):
            replicas = old["spec"]["replicas"]
        if old:
            inference.keep_restart(old, wanted)
        wanted["spec"]["replicas"] = self._bounded(wanted, replicas, scaled, is_new=old is None)
        if old is None:
            self._put(wanted)
        elif (
            old["spec"] != wanted["spec"]
            or old["metadata"]["labels"] != (wanted["metadata"]["labels"])
        ):
            if template_hash(old["spec"]["template"]) != template_hash(wanted["spec"]["template"]):
                events.record(
                    *(self.objects, service, "Normal", "Updated"),
                    f"Deployment {wanted['metadata']['name']} rolls out {source(wanted)}",
                )
            self.objects.update(
                {
                    **old,
                    "metadata": {**old["metadata"], **wanted["metadata"]},
                    "spec": wanted["spec"],
                }
            )

    def _bounded(
        self, deployment: Object, replicas: int, scaled: Sequence[Object], *, is_new: bool
    ) -> int:
        """Within the bounds of a ScaledObject that scales the Deployment, as the HPA keeps it."""
        namespace, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        for one in scaled:
            if one["metadata"]["namespace"] == namespace:
                step = partial(autoscalers.bounded, one, name, replicas, is_new=is_new)
                replicas = self.fence.run("bounds", one, step, replicas)
        return replicas

    def _replica_sets(
        self, deployment: Object, existing: Sequence[Object], pods: Sequence[PodReport]
    ) -> None:
        newest = max(map(_revision, existing), default=0)
        wanted = workloads.replica_set(deployment, newest + 1)
        current = self.objects.find(*key_of(wanted))
        if current is None:
            current = self.objects.create(wanted)
        elif _revision(current) < newest:  # what comes back is the latest again
            marks = {**current["metadata"]["annotations"], **wanted["metadata"]["annotations"]}
            current = self._annotate(current, marks)
        name = current["metadata"]["name"]
        others = [one for one in existing if one["metadata"]["name"] != name]
        for one in (*others, current):
            digest = one["metadata"]["labels"][workloads.HASH_LABEL]
            own = [pod for pod in pods if pod.template_hash == digest]
            changed, marks = one, one["metadata"]["annotations"]
            if SERVED not in marks and any(pod.ready for pod in own):
                changed = self._annotate(one, {**marks, SERVED: "true"})
            count = sum(pod.phase != "Terminating" for pod in own)
            before = one["spec"]["replicas"]
            if count != before:
                changed = self.objects.update(
                    {**changed, "spec": {**one["spec"], "replicas": count}}
                )
                verb = "up" if count > before else "down"
                said = f"replica set {one['metadata']['name']} from {before} to {count}"
                events.record(
                    *(self.objects, deployment, "Normal", "ScalingReplicaSet"),
                    f"Scaled {verb} {said}",
                )
            self._set_status(changed, workloads.replica_set_status(own))
        empty = [one for one in others if not one["spec"]["replicas"]]
        for one in sorted(empty, key=_revision)[:-_HISTORY]:
            self._remove(one)

    def _pods(self, pods: Sequence[PodReport]) -> None:
        sets = {one["metadata"]["name"]: one for one in self.objects.list_of("ReplicaSet")}
        for state in pods:
            owner = sets.get(f"{state.deployment}-{state.template_hash}")
            about = self.objects.find("Pod", "models", state.name) or owner
            if about:  # else it ends, and so did its Deployment
                self.fence.run("pod", about, partial(self._pod, about, state), None)
        there = {state.name for state in pods}
        for one in self.objects.list_of("Pod"):
            kinds = {owner["kind"] for owner in owners(one)}
            if "Job" not in kinds and one["metadata"]["name"] not in there:
                self._remove(one)
                self._phases.pop(one["metadata"]["name"], None)

    def _pod(self, about: Object, state: PodReport) -> None:
        """One pod's object; `about` is it, or its ReplicaSet where it has none yet."""
        found = about
        if about["kind"] != "Pod":
            found = self.objects.create(workloads.pod(state, about))
        self._happened(found, state)
        if state.phase == "Terminating" and "deletionTimestamp" not in found["metadata"]:
            grace = found["spec"].get("terminationGracePeriodSeconds", 30)
            found["metadata"]["deletionTimestamp"] = now()
            found["metadata"]["deletionGracePeriodSeconds"] = grace  # kubectl describe reads it
            found = self.objects.update(found)
        container = found["spec"]["containers"][0]
        status = workloads.pod_status(state, container["name"], container.get("image", ""))
        before = (found.get("status") or {}).get("conditions")
        timed(status["conditions"], before, now())
        self._set_status(found, status)

    def _deployment_status(self, one: Object, pods: Sequence[PodReport], time: str) -> Object:
        return self._set_status(one, workloads.deployment_status(one, pods, time))

    def _route_status(self, route: Object, told: Routing, time: str) -> None:
        name = routing.asked_by(route)
        if name in told.pending:
            return
        refused = told.refused.get(name, "")
        before = route.get("status")
        self._set_status(route, routing.status(route, refused, time))
        if refused and refused not in str(before):
            events.record(self.objects, route, "Warning", "NotAccepted", refused)

    def _happened(self, pod: Object, state: PodReport) -> None:
        if self._phases.get(state.name) == (phase := f"{state.phase} {state.restarts}"):
            return
        self._phases[state.name] = phase
        uri = pod["metadata"]["annotations"][SOURCE]
        said = {
            "Downloading": ("Normal", "Pulling", f"Downloading {uri}"),
            "Starting": ("Normal", "Started", f"Started process {state.pid}"),
            "NotReady": ("Warning", "Unhealthy", f"Readiness probe failed: {state.reason}"),
            "CrashLoopBackOff": ("Warning", "BackOff", f"It ended: {state.reason}"),
            "Terminating": ("Normal", "Killing", "Stopping: it gets no new request"),
        }.get(state.phase)
        if said:
            events.record(self.objects, pod, *said)

    def _service_status(
        self,
        service: Object,
        deployments: Mapping[str, Mapping[str, Object]],
        pods: Sequence[PodReport],
        told: Routing,
        time: str,
    ) -> None:
        name = service["metadata"]["name"]
        failure = self.failures.get(name) or Failure("")
        refused = failure.reason if failure.route else told.refused.get(name, "")
        if name in told.pending and not refused:
            return  # what is said of weights is what the gateway has
        broken = "" if failure.route else failure.reason
        status = servicestatus.status(
            *(service, deployments.get(name, {}), pods, broken, refused, self.port, time)
        )
        self._set_status(service, status)
        for event in servicestatus.happened(name, service.get("status") or {}, status):
            events.record(self.objects, service, *event)

    def _fail(self, service: Object, failure: Failure) -> None:
        name = service["metadata"]["name"]
        if self.failures.get(name) != failure:
            _LOG.warning("InferenceService %s %s", name, failure.reason)
        self.failures[name] = failure

    def _annotate(self, one: Object, annotations: Mapping[str, str]) -> Object:
        return self.objects.update(
            {**one, "metadata": {**one["metadata"], "annotations": {**annotations}}}
        )

    def _put(self, wanted: Object) -> None:
        """Write what a controller asks for, checked as the API server checks a controller's.

        Raises:
            Invalid: It does not fit its kind's schema.
        """
        old, kind = self.objects.find(*key_of(wanted)), by_name(wanted["kind"])
        new = wanted
        if old:
            new = {**old, **wanted, "metadata": {**old["metadata"], **wanted["metadata"]}}
        if kind and new != old:
            validation.check(kind, wanted)
        if old is None:
            self.objects.create(new)
        else:
            self.objects.update(new)

    def _remove(self, one: Object) -> None:
        metadata = one["metadata"]
        self.objects.delete(one["kind"], metadata.get("namespace", ""), metadata["name"])

    def _set_status(self, one: Object, status: Object) -> Object:
        if one.get("status") == status:
            return one
        return self.objects.update(
            {**one, "metadata": {**one["metadata"], "resourceVersion": ""}, "status": status},
            status=True,
        )


class _UnpublishedError(Exception):
    """A model has no version to serve."""


def _revision(one: Object) -> int:
    return int(one["metadata"]["annotations"][REVISION])
