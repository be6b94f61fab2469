"""What should run and where requests should go: Deployments and HTTPRoutes in, a Plan out.

Pure: no files, sockets, clock or environment. inference.py makes those objects; here they become
what processes and Envoy need.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import orjson

from controlplane.errors import ManifestError
from controlplane.kubernetes.meta import Object, is_of_a_controller
from controlplane.kubernetes.names import SERVICE_LABEL, source
from controlplane.local.api.schemas.expressions import is_subdomain
from controlplane.local.controllers.fence import Each
from controlplane.store.channels import is_versioned

API = "serin.dev/api"
"""An annotation of a runtime, and so of its pods."""
MODEL_FOLDER = "/mnt/models"
"""Where KServe's storage initializer puts an artifact in a pod."""
METRICS_PORT = 8082
"""Where a predictor's container has /metrics."""
_HASH_DIGITS = 10
_T = TypeVar("_T")
_O = TypeVar("_O")


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe with Kubernetes' defaults; durations in seconds."""

    path: str
    port: int
    """The container's own."""
    kind: str = "httpGet"
    """Or tcpSocket, grpc or exec."""
    headers: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    service: str = ""
    delay_seconds: float = 0
    period_seconds: float = 10
    timeout_seconds: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class Container:
    """The one container of a predictor pod."""

    command: tuple[str, ...]
    args: tuple[str, ...]
    http_port: int
    grpc_port: int | None
    metrics_port: int
    readiness: Probe | None
    liveness: Probe | None
    startup: Probe | None = None


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
    template_hash: str
    """Ten hex digits that change when a pod of this Deployment would run differently."""
    api: str = ""
    """The API that its pods speak beside V2: openai, or none."""
    template: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What its pods are made of."""
    strategy: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """How an old template gives way to a new one."""

    @property
    def version(self) -> str:
        """The artifact's version, the last part of its URI; of a channel, iris@stable."""
        return self.storage_uri.rsplit("/", 1)[-1]

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
class Keys:
    """Which API keys open a model; the keys themselves are in no message and no log."""

    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Client and key."""
    sources: tuple[tuple[str, str], ...] = ()
    """Where a request may have its key, in this order: header, query or cookie, and its name."""
    client_header: str = ""
    """Which header tells the model who asks; none if empty."""
    hidden: bool = False
    """Whether the model does not see the key."""
    refused: str = ""
    """Why nobody is let in: what was asked for is not there or cannot be followed."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests with certain headers a model takes in a time."""

    requests: int
    seconds: int
    headers: tuple[tuple[str, str | None], ...] = ()
    """Name and value; None: each value has a count of its own. None of them: all requests."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The rate limits of a model; a request is refused by any of them."""

    rules: tuple[RateLimit, ...] = ()
    refused: str = ""
    """Why nobody is let in: what was asked for cannot be followed."""


@dataclass(frozen=True, slots=True)
class Route:
    """What selects a model, and which Deployments answer."""

    service: str
    hosts: tuple[str, ...]
    backends: tuple[Backend, ...]
    timeout_seconds: int
    ready_path: str
    """Asked on the REST port by the gateway's health checks."""
    keys: Keys | None = None
    """None where everybody is let in."""
    limits: Limits | None = None
    """None where requests are not counted."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """Requests to one exact path of a model, of which another Deployment gets a copy."""

    route: str
    """The HTTPRoute that asks for it."""
    service: str
    path: str
    kind: str
    """http or grpc."""
    deployment: str
    """Answers."""
    copy_to: str
    """Gets the copy; what it answers is dropped."""
    headers: tuple[tuple[str, str], ...]
    """Set on both."""
    timeout_seconds: int
    keys: Keys | None = None
    """Its model's."""
    limits: Limits | None = None
    """Its model's."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that should exist."""

    deployments: tuple[DeploymentPlan, ...]
    routes: tuple[Route, ...]
    mirrors: tuple[Mirror, ...] = ()
    unknown: frozenset[str] = frozenset()
    """Deployments that cannot be read now: what runs of them stays as it is."""


def plan(deployments: Iterable[Object], routes: Iterable[Object], each: Each | None = None) -> Plan:
    """Plan what the objects ask for.

    A Deployment whose artifact has no version is left out: there is nothing to run.

    Args:
        deployments: All of them.
        routes: All HTTPRoutes.
        each: Does what is done for one object; None lets its fault be everybody's.
    """
    run = each or _plainly
    planned: list[DeploymentPlan] = []
    unknown: set[str] = set()
    for one in deployments:
        steps = run(one, partial(_deployments, one), None)
        if steps is None:
            unknown.add(one["metadata"]["name"])
        else:
            planned += steps
    every = list(routes)
    kept = tuple(_routes((one for one in every if is_of_a_controller(one)), run))
    others = [one for one in every if not is_of_a_controller(one)]
    names = {one.name for one in planned}
    return Plan(tuple(planned), kept, tuple(_mirrors(others, kept, names, run)), frozenset(unknown))


def _deployments(one: Object) -> list[DeploymentPlan]:
    return [deployment_plan(one)] if is_versioned(source(one)) else []


def _plainly(about: Object, action: Callable[[], _T], otherwise: _O) -> _T | _O:  # noqa: ARG001  as a fence is asked
    return action()


def deployment_plan(owner: Object) -> DeploymentPlan:
    """What to run for a Deployment or a ReplicaSet.

    Raises:
        ManifestError: Its pods ask for what a laptop cannot do.
    """
    template = owner["spec"]["template"]
    spec = template["spec"]
    return DeploymentPlan(
        name=_name(owner["metadata"]["name"]),
        service=_name(owner["metadata"]["labels"][SERVICE_LABEL]),
        storage_uri=source(owner),
        replicas=owner["spec"].get("replicas", 1),
        container=container(spec["containers"][0]),
        grace_seconds=spec.get("terminationGracePeriodSeconds", 30),
        template_hash=template_hash(template),
        template=template,
        strategy=owner["spec"].get("strategy") or {},
        api=(template["metadata"].get("annotations") or {}).get(API, ""),
    )


def _name(name: str) -> str:
    """A name that Envoy's clusters, files and paths are made of; the API admits no other.

    Raises:
        ManifestError: A file of an earlier version holds another.
    """
    if not is_subdomain(name):
        raise ManifestError(f"has the name {name!r}, which is no DNS subdomain")
    return name


def template_hash(template: Mapping[str, Any]) -> str:
    """Ten hex digits of a pod template."""
    text = orjson.dumps(template, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:_HASH_DIGITS]


def bounds(strategy: Mapping[str, Any], replicas: int) -> tuple[int, int]:
    """Of a rolling update: pods above the wanted number, and pods that may be missing.

    As the Deployment controller resolves them (ResolveFenceposts): 25 % where nothing is said, one
    rounded up and the other down, and never both 0.
    """
    rolling = strategy.get("rollingUpdate") or {}
    surge = _portion(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    missing = _portion(rolling.get("maxUnavailable", "25%"), replicas, math.floor)
    return surge, missing if surge or missing else 1


def _portion(value: int | str, replicas: int, rounded: Callable[[float], int]) -> int:
    if isinstance(value, int):
        return value
    return rounded(replicas * int(value.removesuffix("%")) / 100)


def container(tree: Mapping[str, Any]) -> Container:
    """What to run for a container.

    Raises:
        ManifestError: It asks for what a laptop cannot do; names the field.
    """
    ports = {port.get("name", ""): port["containerPort"] for port in tree.get("ports") or ()}
    grpc = next((number for name, number in ports.items() if "grpc" in name or "h2c" in name), None)
    http = next((number for number in ports.values() if number != grpc), 8080)
    return Container(
        command=tuple(tree.get("command") or ()),
        args=tuple(tree.get("args") or ()),
        metrics_port=ports.get("metrics", METRICS_PORT),
        http_port=http,
        grpc_port=grpc,
        readiness=_probe(tree.get("readinessProbe"), ports),
        liveness=_probe(tree.get("livenessProbe"), ports),
        startup=_probe(tree.get("startupProbe"), ports),
    )


def _routes(routes: Iterable[Object], run: Each) -> Iterable[Route]:
    """One route a model: KServe's two HTTPRoutes differ in their host only.

    A host is the older model's, as the Gateway API has it: two with one host are no routes at all.
    """
    by_service: dict[str, list[Object]] = {}
    for route in routes:
        service = (route["metadata"].get("labels") or {}).get(SERVICE_LABEL, "")
        by_service.setdefault(service, []).append(route)
    taken: dict[str, str] = {}
    for own in sorted(by_service.values(), key=lambda own: min(map(_age, own))):
        own.sort(key=lambda route: len(route["metadata"]["name"]))
        found = run(own[0], partial(_route, own, taken), None)
        if found is not None:
            taken |= dict.fromkeys(found.hosts, found.service)
            yield found


def _route(own: Sequence[Object], taken: Mapping[str, str]) -> Route:
    service = _name(own[0]["metadata"]["labels"][SERVICE_LABEL])
    rule = own[0]["spec"]["rules"][-1]
    hosts = [host for route in own for host in route["spec"]["hostnames"] if host not in taken]
    if not hosts:
        others = {taken[host] for route in own for host in route["spec"]["hostnames"]}
        raise ManifestError(f"its hosts are those of {', '.join(sorted(others))} already")
    return Route(
        service=service,
        hosts=tuple(hosts),
        backends=tuple(
            Backend(_name(backend["name"]), backend["weight"]) for backend in rule["backendRefs"]
        ),
        timeout_seconds=int(rule["timeouts"]["request"].removesuffix("s")),
        ready_path=f"/v2/models/{service}/ready",
    )


def _mirrors(
    routes: Iterable[Object], models: Iterable[Route], deployments: Collection[str], run: Each
) -> Iterable[Mirror]:
    """The rules that mirror, of the form that api/rules/gateway.py admits; the oldest come first.

    What names a Deployment that is not there is left out: the model's own route takes its place.
    """
    services = {host: model.service for model in models for host in model.hosts}
    for one in sorted(routes, key=_age):
        for mirror in run(one, partial(_mirrors_of, one, services), None) or ():
            if mirror.service and {mirror.deployment, mirror.copy_to} <= {*deployments}:
                yield mirror


def _mirrors_of(route: Object, services: Mapping[str, str]) -> list[Mirror]:
    service = services.get(route["spec"]["hostnames"][0], "")
    found = []
    for rule in route["spec"]["rules"]:
        filters = {one["type"]: one for one in rule["filters"]}
        fields = filters.get("RequestHeaderModifier", {}).get("requestHeaderModifier", {})
        found.append(
            Mirror(
                route=route["metadata"]["name"],
                service=service,
                path=rule["matches"][0]["path"]["value"],
                kind="grpc" if rule["matches"][0].get("headers") else "http",
                deployment=rule["backendRefs"][0]["name"],
                copy_to=filters["RequestMirror"]["requestMirror"]["backendRef"]["name"],
                headers=tuple((field["name"], field["value"]) for field in fields.get("set", ())),
                timeout_seconds=int(rule["timeouts"]["request"].removesuffix("s")),
            )
        )
    return found


def _age(one: Object) -> tuple[str, str]:
    """Which of two routes with the same match counts: the older, then the first by name."""
    return one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]


def _probe(tree: Mapping[str, Any] | None, ports: Mapping[str, int]) -> Probe | None:
    if tree is None:
        return None
    kind = next((one for one in ("httpGet", "tcpSocket", "grpc", "exec") if one in tree), "")
    if not kind:
        raise ManifestError("has a probe without httpGet, tcpSocket, grpc or exec")
    asked = tree[kind]
    port = asked.get("port", 0)
    if isinstance(port, str) and not port.isdecimal():
        if port not in ports:
            there = ", ".join(sorted(filter(None, ports))) or "none"
            raise ManifestError(f"has a probe of the port {port!r}; its ports are: {there}")
        port = ports[port]
    return Probe(
        kind=kind,
        path=asked.get("path", "/"),
        port=int(port),
        headers=tuple((one["name"], one["value"]) for one in asked.get("httpHeaders") or ()),
        command=tuple(asked.get("command") or ()),
        service=asked.get("service") or "",
        delay_seconds=tree.get("initialDelaySeconds", 0),
        period_seconds=tree.get("periodSeconds") or 10,
        timeout_seconds=tree.get("timeoutSeconds") or 1,
        success_threshold=tree.get("successThreshold") or 1,
        failure_threshold=tree.get("failureThreshold") or 3,
    )
