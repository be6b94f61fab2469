"""A rollout's eyes and hands: one model's objects in a cluster."""

import contextlib
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from controlplane.kubernetes.client import ApiError, Conflict, Kubernetes, Object
from controlplane.rollout.steps import scaling
from controlplane.rollout.steps.acts import (
    Act,
    EndMirror,
    GiveBack,
    Note,
    OpenMirror,
    ParkMirror,
    RemoveCanary,
    Scale,
    SetCanary,
    SetStable,
    StartMirror,
    Wake,
)
from controlplane.rollout.steps.mirror import change, is_ours, mirror_name, mirror_route
from controlplane.rollout.steps.seen import CANARY, Seen, deployment_name, read

_KEPT = ("modelFormat", "runtime", "protocolVersion")


class Cluster:
    """One InferenceService and what belongs to it."""

    def __init__(self, api: Kubernetes, model: str) -> None:
        self.api = api
        self.model = model
        self._service: Object = {}
        self._route: Object | None = None
        self._mirror: Object | None = None

    def look(self) -> Seen | None:
        """What is now; None where the InferenceService is gone."""
        service = self.api.get("inferenceservices", self.model)
        if service is None:
            return None
        self._service, self._route = service, self.api.get("httproutes", self.model)
        mirror = self.api.get("httproutes", mirror_name(self.model))
        self._mirror = mirror if is_ours(mirror) else None
        return read(
            service,
            self._route,
            [one for one in map(self._deployment, (False, True)) if one],
            self.api.list("scaledobjects"),
            self._mirror,
        )

    def do(self, act: Act, seen: Seen) -> None:
        """Change what the last look saw; doing it twice is doing it once.

        Raises:
            Conflict: The InferenceService was changed since that look.
            ApiError: The API server refuses, or does not answer.
        """
        match act:
            case SetCanary(uri, percent):
                self._set({"canary": [self._canary(uri, percent)]})
            case RemoveCanary():
                self._set({"canary": None})
            case SetStable(uri):
                self._set({"predictor": {"model": {"storageUri": uri}}})
            case StartMirror(rollout, uri):
                self._start_mirror(rollout, uri)
            case OpenMirror():
                self._change_mirror(park=False)
            case ParkMirror():
                self._change_mirror(park=True)
            case EndMirror():
                self.api.delete("httproutes", mirror_name(self.model))
            case _:
                self._scale(act, seen)

    def _start_mirror(self, rollout: str, uri: str) -> None:
        if self._route is None:
            raise ApiError(f"{self.model} has no HTTPRoute yet, whose requests could be mirrored")
        mirror = mirror_route(self._service, self._route, rollout, uri)
        parked = change(mirror, time.time(), park=True)
        mirror["metadata"] |= parked["metadata"]
        mirror["spec"] |= parked["spec"]
        try:
            self.api.create("httproutes", mirror)
        except Conflict as error:
            name = mirror_name(self.model)
            raise ApiError(
                f"There is an HTTPRoute {name} that no rollout made: remove it, "
                f"kubectl delete httproute {name}"
            ) from error

    def _change_mirror(self, *, park: bool) -> None:
        if self._mirror:  # as the last look saw it: one that went meanwhile is for the next
            patch = change(self._mirror, time.time(), park=park)
            self.api.patch("httproutes", mirror_name(self.model), patch)

    def _scale(self, act: Act, seen: Seen) -> None:
        match act:
            case Wake():
                self._scale_canary(seen)
            case Scale(canary, replicas):
                workload = seen.canary if canary else seen.stable
                if workload.scaled_by:
                    self._bound(workload.scaled_by, replicas)
                else:
                    self.api.scale(deployment_name(self.model, canary=canary), replicas)
            case GiveBack(least):
                there = {one["metadata"]["name"] for one in self.api.list("scaledobjects")}
                for name in least.keys() & there:
                    self._bound(name, least[name])

    def tell(self, note: Note) -> None:
        """Write an Event on the InferenceService."""
        if not self._service:
            return
        metadata = self._service["metadata"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.api.create(
            "events",
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "name": f"{self.model}.{uuid.uuid4().hex[:16]}",
                    "namespace": self.api.namespace,
                },
                "involvedObject": {
                    "apiVersion": self._service["apiVersion"],
                    "kind": self._service["kind"],
                    "name": self.model,
                    "namespace": self.api.namespace,
                    "uid": metadata["uid"],
                    "resourceVersion": metadata["resourceVersion"],
                },
                "type": "Warning" if note.warning else "Normal",
                "reason": note.reason,
                "message": note.text[:1024],
                "source": {"component": "serin-rollout"},
                "reportingComponent": "serin-rollout",
                "reportingInstance": "",
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
            },
        )

    def _deployment(self, canary: bool) -> Object | None:  # noqa: FBT001  mapped over both
        return self.api.get("deployments", deployment_name(self.model, canary=canary))

    def _canary(self, uri: str, percent: int) -> Object:
        stable: dict[str, Any] = self._service["spec"]["predictor"]
        model = {name: stable["model"][name] for name in _KEPT if name in stable["model"]}
        predictor: Object = {"name": CANARY, "model": {**model, "storageUri": uri}}
        if stable.get("minReplicas", 1) > 0:  # else KServe starts no pod for a weight of 0
            predictor["minReplicas"] = 1
        return {"trafficPercent": percent, "predictor": predictor}

    def _set(self, spec: Object) -> None:
        version = self._service["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        self.api.patch("inferenceservices", self.model, patch)

    def _scale_canary(self, seen: Seen) -> None:
        """Have KEDA scale the canary as it scales stable; one that somebody made looks again."""
        if seen.canary.scaled_by:
            if scaled := self.api.get("scaledobjects", seen.canary.scaled_by):
                self.api.patch("scaledobjects", seen.canary.scaled_by, scaling.nudged(scaled))
        elif seen.stable.scaled_by:
            stable = self.api.get("scaledobjects", seen.stable.scaled_by)
            deployment = self._deployment(canary=True)
            if stable and deployment:
                with contextlib.suppress(Conflict):  # somebody made it just now
                    self.api.create("scaledobjects", scaling.of_canary(stable, deployment))

    def _bound(self, scaled_object: str, least: int) -> None:
        self.api.patch("scaledobjects", scaled_object, {"spec": {"minReplicaCount": least}})
