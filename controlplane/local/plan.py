"""What should run and where requests should go: manifests and facts in, a Plan out.

Pure: no files, sockets, clock or environment. Names are KServe's, so that everything that watches a
Deployment in a cluster (ScaledObjects, dashboards, rollout drills) finds the same name here.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.errors import ManifestError
from controlplane.local.manifests import (
    Container,
    InferenceService,
    Manifests,
    Predictor,
    Probe,
    container,
)

MODEL_FOLDER = "/mnt/models"
"""Where KServe's storage initializer puts an artifact in a pod."""

DOMAIN = "localhost"
"""Hosts are <service>-<namespace>.localhost, as KServe's domain template has them."""


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """One Deployment: a pod template and how many pods of it are wanted."""

    name: str
    service: str
    storage_uri: str
    """The artifact with its version: s3://bucket/model/version."""
    replicas: int
    container: Container
    grace_seconds: int
    """From SIGTERM to SIGKILL."""

    @property
    def version(self) -> str:
        """The artifact's version, the last part of its URI."""
        return self.storage_uri.rsplit("/", 1)[-1]

    @property
    def template_hash(self) -> str:
        """Ten hex digits that change when a pod of this Deployment would run differently."""
        text = repr((self.storage_uri, self.container, self.grace_seconds))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def readiness(self) -> Probe:
        """The readiness probe; without one in the manifest, V2's own question about the model."""
        return self.container.readiness or Probe(
            f"/v2/models/{self.service}/ready", self.container.http_port
        )


@dataclass(frozen=True, slots=True)
class Backend:
    """A Deployment's share of a route's requests."""

    deployment: str
    weight: int


@dataclass(frozen=True, slots=True)
class Route:
    """What selects a model, and which Deployments answer."""

    service: str
    hosts: tuple[str, ...]
    backends: tuple[Backend, ...]
    timeout_seconds: int
    ready_path: str
    """Asked on the REST port by the gateway's health checks."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that should exist."""

    deployments: tuple[DeploymentPlan, ...]
    routes: tuple[Route, ...]
    unpublished: tuple[str, ...] = ()
    """Services whose model has no published version, so nothing of them can run."""


def plan(
    manifests: Manifests,
    wanted: Mapping[str, int | None],
    versions: Mapping[str, str],
    ready: Mapping[str, int],
) -> Plan:
    """Plan the wanted services.

    Args:
        manifests: What the files say.
        wanted: Service → replicas asked for on the command line, or None for the manifest's number.
        versions: Storage URI without a version → the newest published version below it.
        ready: Deployment → pods that answer now. Weights follow it as KServe's do.

    Raises:
        ManifestError: A service is unknown, or its runtime is.
    """
    deployments: list[DeploymentPlan] = []
    routes: list[Route] = []
    unpublished: list[str] = []
    for name, replicas in wanted.items():
        service = manifests.services.get(name)
        if service is None:
            raise ManifestError(f"There is no InferenceService {name} in kserve/services.")
        stable = _deployment(manifests, service, service.predictor, versions, replicas)
        if stable is None:
            unpublished.append(name)
        canaries = [
            (canary, _deployment(manifests, service, canary.predictor, versions, None))
            for canary in service.canaries
        ]
        deployments += [found for found in (stable, *(d for _, d in canaries)) if found]
        shares = [
            Backend(deployment_name(service, canary.predictor), canary.traffic_percent)
            for canary, _ in canaries
            # Ready in KServe's sense: one available pod is enough.
            if ready.get(deployment_name(service, canary.predictor), 0) > 0
        ]
        rest = 100 - sum(backend.weight for backend in shares)
        main = Backend(deployment_name(service, service.predictor), rest)
        routes.append(
            Route(
                service=name,
                hosts=hosts(service),
                backends=(main, *shares),
                timeout_seconds=service.predictor.timeout_seconds,
                ready_path=f"/v2/models/{name}/ready",
            )
        )
    return Plan(tuple(deployments), tuple(routes), tuple(unpublished))


def deployment_name(service: InferenceService, predictor: Predictor) -> str:
    """The Deployment's name as KServe builds it: iris-predictor, iris-canary-predictor."""
    middle = f"-{predictor.name}" if predictor.name else ""
    return f"{service.name}{middle}-predictor"


def hosts(service: InferenceService) -> tuple[str, ...]:
    """The hosts of KServe's two HTTPRoutes, the model's own first."""
    return (
        f"{service.name}-{service.namespace}.{DOMAIN}",
        f"{service.name}-predictor-{service.namespace}.{DOMAIN}",
    )


def unversioned(storage_uri: str) -> str | None:
    """The URI below which versions are published, or None where the URI names its version.

    s3://models/iris → itself; s3://models/iris/1f2e… → None.
    """
    parts = storage_uri.removeprefix("s3://").split("/")
    return storage_uri if len(parts) == 2 else None


def surge(replicas: int) -> int:
    """Pods above the wanted number during an update: a Deployment's default, 25 % rounded up."""
    return max(math.ceil(replicas / 4), 1)


def _deployment(
    manifests: Manifests,
    service: InferenceService,
    predictor: Predictor,
    versions: Mapping[str, str],
    asked: int | None,
) -> DeploymentPlan | None:
    runtime = manifests.runtimes.get(predictor.runtime)
    if runtime is None:
        raise ManifestError(
            f"InferenceService {service.name} names the ServingRuntime {predictor.runtime}, "
            "which kserve/runtimes does not have."
        )
    uri = predictor.storage_uri
    if unversioned(uri):
        if uri not in versions:
            return None
        uri = f"{uri}/{versions[uri]}"
    name = deployment_name(service, predictor)
    base = container(runtime, service)
    return DeploymentPlan(
        name=name,
        service=service.name,
        storage_uri=uri,
        replicas=_replicas(manifests, service, predictor, name) if asked is None else asked,
        container=Container(
            command=base.command,
            args=base.args + predictor.args,  # KServe appends the service's arguments
            env=tuple({**dict(base.env), **dict(predictor.env)}.items()),
            http_port=base.http_port,
            grpc_port=base.grpc_port,
            readiness=base.readiness,
            liveness=base.liveness,
        ),
        grace_seconds=runtime.grace_seconds,
    )


def _replicas(
    manifests: Manifests, service: InferenceService, predictor: Predictor, name: str
) -> int:
    """Where Kubernetes would take a Deployment's size from; at least 1, as nothing wakes a zero."""
    rule = manifests.scaled_objects.get(name)
    if rule:
        return max(rule.min_replicas, 1)
    if service.autoscaler_class == "external":
        return 1  # KServe leaves the Deployment alone, and a Deployment's default is 1
    return max(predictor.min_replicas or 1, 1)
