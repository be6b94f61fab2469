"""The controllers' part of a cluster: from objects to objects, one step at a time.

Reads InferenceServices, writes Deployments and HTTPRoutes (as KServe does), then ReplicaSets, Pods
and every status (as Kubernetes does). Decisions are pure functions elsewhere; each step may be
repeated and writes only what changed.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from controlplane.errors import ManifestError
from controlplane.kubernetes.conditions import is_true, timed
from controlplane.kubernetes.meta import Object, key_of, now, owned
from controlplane.kubernetes.names import REVISION, SERVED, SERVICE_LABEL, SOURCE, source
from controlplane.local.api.objects import Objects
from controlplane.local.controllers import events, inference, servicestatus, workloads
from controlplane.local.controllers.plan import (
    DeploymentPlan,
    deployment_plan,
    is_versioned,
    template_hash,
)
from controlplane.local.controllers.report import Failure, PodReport

_HISTORY = 10
_PAUSED = "autoscaling.keda.sh/paused"
_LOG = logging.getLogger(__name__)


class Controllers:
    """What every InferenceService asks for, as objects."""

    def __init__(self, objects: Objects, port: int) -> None:
        self.objects = objects
        self.port = port
        self.failures: dict[str, Failure] = {}
        """InferenceService → why its spec is not carried out."""
        self._phases: dict[str, str] = {}

    def carry_out(self, available: Mapping[str, int]) -> None:
        """Make Deployments and HTTPRoutes follow the InferenceServices.

        Args:
            available: Deployment → pods that answer now. Weights follow it.
        """
        runtimes = {one["metadata"]["name"]: one for one in self.objects.list_of("ServingRuntime")}
        services = self.objects.list_of("InferenceService")
        for service in services:
            name = service["metadata"]["name"]
            try:
                self._service(service, runtimes, available)
            except ManifestError as error:
                self._fail(service, Failure(str(error)))
            except _UnpublishedError as error:
                self._fail(service, Failure(str(error), unpublished=True))
            else:
                self.failures.pop(name, None)
        for name in self.failures.keys() - {one["metadata"]["name"] for one in services}:
            del self.failures[name]

    def write(self, pods: Sequence[PodReport]) -> None:
        """Make ReplicaSets, Pods and statuses say what is."""
        deployments = self.objects.list_of("Deployment")
        kept = {deployment["metadata"]["uid"] for deployment in deployments}
        for one in self.objects.list_of("ReplicaSet"):  # of an earlier canary, by the same name
            if one["metadata"]["ownerReferences"][0]["uid"] not in kept:
                self.objects.delete(*key_of(one))
        for deployment in deployments:
            own = [pod for pod in pods if pod.deployment == deployment["metadata"]["name"]]
            self._replica_sets(deployment, own)
        self._pods(pods)
        time = now()
        for deployment in deployments:
            own = [pod for pod in pods if pod.deployment == deployment["metadata"]["name"]]
            status = workloads.deployment_status(deployment, own, time)
            self._set_status(deployment, status)
        by_service: dict[str, dict[str, Object]] = {}
        for deployment in self.objects.list_of("Deployment"):
            service = deployment["metadata"]["labels"][SERVICE_LABEL]
            by_service.setdefault(service, {})[deployment["metadata"]["name"]] = deployment
        for service in self.objects.list_of("InferenceService"):
            self._service_status(service, by_service, pods, time)

    def older(self) -> Iterator[tuple[DeploymentPlan, DeploymentPlan]]:
        """Older templates that had pods, with what their Deployments want now."""
        for one in self.objects.list_of("ReplicaSet"):
            owner = one["metadata"]["ownerReferences"][0]["name"]
            deployment = self.objects.find("Deployment", one["metadata"]["namespace"], owner)
            if deployment and one["spec"]["replicas"]:
                old, current = deployment_plan(one), deployment_plan(deployment)
                if old.template_hash != current.template_hash:
                    yield replace(old, name=current.name), current

    def _service(
        self, service: Object, runtimes: Mapping[str, Object], available: Mapping[str, int]
    ) -> None:
        wanted = inference.deployments(service, runtimes)
        for deployment in wanted:
            if not is_versioned(uri := source(deployment)):
                raise _UnpublishedError(f"{uri or 'the model'} has no published version")
            deployment_plan(deployment)  # raises for what a laptop cannot do
        names = {one["metadata"]["name"] for one in wanted}
        ready = sum(available.get(one["metadata"]["name"], 0) for one in wanted[:-1])
        for deployment, predictor in zip(wanted, inference.predictors(service), strict=True):
            self._deployment(service, deployment, inference.replicas(service, predictor, ready))
        for route in inference.routes(service, available):
            self._put(route)
        for old in owned(self.objects.list_of("Deployment"), service["metadata"]["uid"]):
            if old["metadata"]["name"] not in names:
                self._remove(old)

    def _deployment(self, service: Object, wanted: Object, replicas: int) -> None:
        old = self.objects.find(*key_of(wanted))
        if old and not inference.is_kept_by_kserve(service):
            replicas = old["spec"]["replicas"]
        wanted["spec"]["replicas"] = self._bounded(wanted, replicas, is_new=old is None)
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

    def _bounded(self, deployment: Object, replicas: int, *, is_new: bool) -> int:
        """Within the bounds of a ScaledObject that scales the Deployment, as the HPA keeps it."""
        for scaled in self.objects.list_of("ScaledObject", deployment["metadata"]["namespace"]):
            if scaled["spec"]["scaleTargetRef"]["name"] != deployment["metadata"]["name"]:
                continue
            if any(
                name.startswith(_PAUSED) for name in scaled["metadata"].get("annotations") or {}
            ):
                continue
            least = scaled["spec"].get("minReplicaCount", 0)
            if is_new or replicas:  # from zero, only load wakes it
                replicas = max(replicas, least, 1)
            replicas = min(replicas, scaled["spec"].get("maxReplicaCount", 100))
        return replicas

    def _replica_sets(self, deployment: Object, pods: Sequence[PodReport]) -> None:
        metadata = deployment["metadata"]
        existing = owned(self.objects.list_of("ReplicaSet"), metadata["uid"])
        revisions = [_revision(one) for one in existing]
        wanted = workloads.replica_set(deployment, max(revisions, default=0) + 1)
        current = self.objects.find(*key_of(wanted))
        if current is None:
            existing.append(self.objects.create(wanted))
        elif _revision(current) < max(revisions, default=0):  # what comes back is the latest again
            marks = {**current["metadata"]["annotations"], **wanted["metadata"]["annotations"]}
            self._annotate(current, marks)
        for one in owned(self.objects.list_of("ReplicaSet"), metadata["uid"]):
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
        empty = [
            one
            for one in existing
            if not one["spec"]["replicas"] and one["metadata"]["name"] != wanted["metadata"]["name"]
        ]
        for one in sorted(empty, key=_revision)[:-_HISTORY]:
            self._remove(one)

    def _pods(self, pods: Sequence[PodReport]) -> None:
        sets = {one["metadata"]["name"]: one for one in self.objects.list_of("ReplicaSet")}
        for state in pods:
            owner = sets.get(f"{state.deployment}-{state.template_hash}")
            found = self.objects.find("Pod", "models", state.name)
            if found is None and owner is None:
                continue  # it ends, and so did its Deployment
            if found is None and owner:
                found = self.objects.create(workloads.pod(state, owner))
            assert found is not None  # noqa: S101  one of the two above
            self._happened(found, state)
            if state.phase == "Terminating" and "deletionTimestamp" not in found["metadata"]:
                found["metadata"]["deletionTimestamp"] = now()
                found = self.objects.update(found)
            container = found["spec"]["containers"][0]
            status = workloads.pod_status(state, container["name"], container.get("image", ""))
            before = (found.get("status") or {}).get("conditions")
            timed(status["conditions"], before, now())
            self._set_status(found, status)
        there = {state.name for state in pods}
        for one in self.objects.list_of("Pod"):
            kinds = {owner["kind"] for owner in one["metadata"].get("ownerReferences", ())}
            if "Job" not in kinds and one["metadata"]["name"] not in there:
                self._remove(one)
                self._phases.pop(one["metadata"]["name"], None)

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
        time: str,
    ) -> None:
        name = service["metadata"]["name"]
        failure = self.failures.get(name)
        status = servicestatus.status(
            *(service, deployments.get(name, {}), pods, failure.reason if failure else ""),
            *(self.port, time),
        )
        was, ready = is_true(service.get("status"), "Ready"), is_true(status, "Ready")
        self._set_status(service, status)
        if ready and was != ready:
            said = f"InferenceService [{name}] is Ready"
            events.record(self.objects, service, "Normal", "InferenceServiceReady", said)
        elif was and not ready:
            said = f"InferenceService [{name}] is no longer Ready"
            events.record(self.objects, service, "Warning", "InferenceServiceNotReady", said)
        old = (service.get("status") or {}).get("modelStatus") or {}
        broken = status["modelStatus"].get("lastFailureInfo")
        if broken and broken != old.get("lastFailureInfo"):
            events.record(self.objects, service, "Warning", broken["reason"], broken["message"])

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
        old = self.objects.find(*key_of(wanted))
        if old is None:
            self.objects.create(wanted)
        else:
            self.objects.update(
                {**old, **wanted, "metadata": {**old["metadata"], **wanted["metadata"]}}
            )

    def _remove(self, one: Object) -> None:
        metadata = one["metadata"]
        self.objects.delete(one["kind"], metadata.get("namespace", ""), metadata["name"])

    def _set_status(self, one: Object, status: Object) -> None:
        if one.get("status") != status:
            self.objects.update(
                {**one, "metadata": {**one["metadata"], "resourceVersion": ""}, "status": status},
                status=True,
            )


class _UnpublishedError(Exception):
    """A model has no version to serve."""


def _revision(one: Object) -> int:
    return int(one["metadata"]["annotations"][REVISION])
