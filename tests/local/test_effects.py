"""What accepted InferenceServices and ScaledObjects do, where it once differed from a cluster.

All at once. Each InferenceService waits for a Secret that is not there, so no process starts; each
ScaledObject has a Deployment of its own, and asks a Prometheus that answers in every form.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support import trained
from tests.support.kubectl import Kubectl
from tests.support.platform import Platform
from tests.support.threads import serving

SECONDS = 120
CHUNK = 8
ANSWERS: dict[str, Any] = {
    "range": ("matrix", [{"metric": {}, "values": [[1, "1"]]}]),
    "string": ("string", [1, "abc"]),
    "scalar": ("scalar", [1, "3"]),
    "vector": ("vector", [{"metric": {}, "value": [1, "3"]}]),
}
MISSING = "secretRef", {"name": "is-not-there"}
SCHEDULES = "a laptop is one node, which schedules nothing"
SCALES = "nothing scales by it on a laptop"


class Answering(BaseHTTPRequestHandler):
    """A Prometheus whose queries are the form of their answer."""

    def do_GET(self) -> None:
        """Answer a query."""
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        """Answer a query."""
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, form: str) -> None:
        kind, result = ANSWERS[parse_qs(form)["query"][0]]
        data = {"resultType": kind, "result": result}
        content = json.dumps({"status": "success", "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Service:
    """An InferenceService, and what becomes of it in a cluster, or is said of it here."""

    predictor: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    scaled_by: str = "external"
    refused: str = ""
    """Why it is not taken."""
    warned: str = ""
    """What kubectl warns of, and an Event says."""
    ready: str = 'secret "is-not-there" not found'
    """Why it is not Ready."""
    template: dict[str, Any] = field(default_factory=dict)
    """What its Deployment's template holds: a path, its value."""

    def manifest(self, name: str) -> dict[str, Any]:
        """The object."""
        annotations = {"autoscalerClass": self.scaled_by, "deploymentMode": "Standard"}
        model = {
            "modelFormat": {"name": "iris"},
            "protocolVersion": "v2",
            "runtime": "serin-iris",
            "storageUri": "s3://models/iris",
            "envFrom": [dict([MISSING])],
            **self.model,
        }
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {
                "name": name,
                "namespace": "models",
                "annotations": {f"serving.kserve.io/{key}": of for key, of in annotations.items()},
            },
            "spec": {"predictor": {"model": model, **self.predictor}, **self.spec},
        }


def surges(most: Any, least: Any) -> dict[str, Any]:
    """A predictor's rolling update."""
    update = {"maxSurge": most, "maxUnavailable": least}
    return {"deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": update}}


REFUSES = "asks for a Deployment that is refused"
HTTP = {"httpGet": {"path": "/v2/health/ready", "port": "own"}}
SERVICES = {
    "labels": Service(
        {"labels": {"team": "ml"}, "annotations": {"note": "hi"}, "nodeSelector": {"a": "b"}},
        warned=SCHEDULES,
        template={
            "metadata.labels.team": "ml",
            "metadata.annotations.note": "hi",
            "spec.nodeSelector.a": "b",
        },
    ),
    "env-from": Service(),
    "volume": Service(
        {"volumes": [{"name": "v", "configMap": {"name": "nor-this"}}]},
        {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "envFrom": []},
        ready='configmap "nor-this" not found',
        template={"spec.volumes.0.configMap.name": "nor-this"},
    ),
    "recreate": Service({"deploymentStrategy": {"type": "Recreate"}}),
    "transformer": Service(
        spec={"transformer": {"containers": [{"name": "c", "image": "i"}]}},
        refused="no transformer runs on a laptop",
    ),
    "logger": Service({"logger": {"mode": "all", "url": "http://a"}}, warned="no logger runs"),
    "batcher": Service({"batcher": {"maxBatchSize": 4}}, warned="no batcher runs"),
    "hpa": Service(
        {"scaleTarget": 3, "scaleMetric": "cpu", "maxReplicas": 3}, scaled_by="hpa", warned=SCALES
    ),
    "keda-without-metrics": Service(scaled_by="keda", warned=SCALES),
    "timeout-minus-1": Service({"timeout": -1}, ready="timeouts.request in body should match"),
    "timeout-huge": Service({"timeout": 10**12 - 1}, ready="timeouts.request in body should match"),
    "timeout-0": Service({"timeout": 0}),
    "named-port": Service(
        model={"ports": [{"name": "own", "containerPort": 8080}], "livenessProbe": HTTP},
        template={"spec.containers.0.livenessProbe.httpGet.port": "own"},
    ),
    "surge-0": Service(surges(0, 0), ready=REFUSES),
    "surge-half": Service(surges("half", "25%"), ready=REFUSES),
    "blue-green": Service({"deploymentStrategy": {"type": "BlueGreen"}}, ready=REFUSES),
    "env-name": Service(model={"env": [{"name": "A=B", "value": "1"}]}, ready=REFUSES),
    "more-than-its-limit": Service(
        model={"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        ready=REFUSES,
    ),
    "probe-of-two-kinds": Service(
        model={"livenessProbe": {**HTTP, "tcpSocket": {"port": 1}}}, ready=REFUSES
    ),
    "label-no-label": Service({"labels": {"a b": "c"}}, ready=REFUSES),
    "canary-percent": Service({"canaryTrafficPercent": 10}, warned="write spec.canary instead"),
    "ftp": Service(model={"storageUri": "ftp://a/b"}, ready="ftp://a/b"),
    "no-runtime": Service(model={"runtime": "nobodys"}, ready="names the ServingRuntime nobodys"),
    "no-image": Service(model={"image": ""}),  # the runtime's, as if it were not there
    "own-container": Service(
        {"containers": [{"name": "own", "image": "i"}], "model": None},
        ready="custom containers are not served",
        warned="custom containers are not served",
    ),
}
TAKEN = {name: service for name, service in SERVICES.items() if not service.refused}
ASKED = "http://prometheus"
"""Stands for the address of the one that answers."""


@dataclass(frozen=True)
class Scaled:
    """A ScaledObject's triggers, and what KEDA says and does about them."""

    triggers: list[dict[str, Any]]
    ready: str
    """Status and reason of the condition Ready."""
    event: str = ""
    """What a Warning Event says."""
    active: str = "Unknown"
    replicas: int = 1
    advanced: dict[str, Any] = field(default_factory=dict)
    warned: str = ""

    def manifest(self, name: str, address: str) -> dict[str, Any]:
        """The object."""
        triggers = json.loads(json.dumps(self.triggers).replace(ASKED, address))
        return {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": f"so-{name}", "namespace": "models"},
            "spec": {
                "scaleTargetRef": {"name": f"so-{name}-predictor"},
                "pollingInterval": 1,
                "minReplicaCount": 1,
                "maxReplicaCount": 3,
                "triggers": triggers,
                "advanced": self.advanced,
            },
        }


def cron(start: str, end: str, desired: str = "2", zone: str = "UTC") -> dict[str, Any]:
    """A trigger by the time of day."""
    times = {"start": start, "end": end, "timezone": zone, "desiredReplicas": desired}
    return {"type": "cron", "metadata": times}


def asks(query: str, address: str = ASKED, **more: Any) -> dict[str, Any]:
    """A trigger by a query."""
    metadata = {"serverAddress": address, "query": query, "threshold": "1"}
    return {"type": "prometheus", "metadata": metadata, **more}


CHECK, ERROR, WELL = "False ScaledObjectCheckFailed", "False TriggerError", "True ScaledObjectReady"
HOUR = datetime.now(UTC).hour
NOW = f"0 {(HOUR - 2) % 24} ? * *", f"0 {(HOUR + 3) % 24} ? * *"
"""A window that is open, whenever this runs."""
SCALED = {
    "day-7": Scaled([cron("0 0 * * 6", "0 0 * * 7")], CHECK, "end of range (7) above maximum (6)"),
    "six-fields": Scaled(
        [cron("0 0 0 * * *", "0 1 0 * * *")], CHECK, "expected exactly 5 fields, found 6"
    ),
    "question-mark": Scaled([cron(*NOW)], WELL, active="True", replicas=2),
    "no-desired": Scaled([cron(*NOW, "0")], CHECK, "no desiredReplicas specified"),
    "wrong-zone": Scaled([cron(*NOW, zone="Mars/X")], CHECK, "Mars/X"),
    "range": Scaled([asks("range")], WELL, active="False"),
    "string": Scaled([asks("string")], ERROR, "gives a string", active="False"),
    "scalar": Scaled([asks("scalar")], ERROR, "gives a scalar", active="False"),
    "vector": Scaled([asks("vector")], WELL, active="True", replicas=3),
    "wrong-address": Scaled(
        [asks("vector", "http://127.0.0.1:1")],
        ERROR,
        "http://127.0.0.1:1/api/v1/query",
        active="False",
    ),
    "no-threshold": Scaled(
        [{"type": "prometheus", "metadata": {"serverAddress": ASKED, "query": "vector"}}],
        CHECK,
        "threshold",
    ),
    "unneeded-authentication": Scaled(
        [asks("vector", authenticationRef={"name": "nobodys"})],
        WELL,
        active="True",
        replicas=3,
        warned="a laptop has no TriggerAuthentication",
    ),
    "unknown-scaler": Scaled([{"type": "kafka", "metadata": {"a": "b"}}], CHECK, "kafka"),
    "modifiers": Scaled(
        [asks("vector", name="a")],
        CHECK,
        "formulas are not evaluated",
        advanced={"scalingModifiers": {"formula": "a*2", "target": "1"}},
        warned="formulas are not evaluated",
    ),
}


@dataclass(frozen=True)
class World:
    """A platform with all of them, as it was once nothing more was to come, or time was up."""

    kubectl: Kubectl
    warnings: str
    """What kubectl warned of as it applied them."""
    objects: dict[tuple[str, str], dict[str, Any]]
    """Kind and name → the object."""
    events: dict[tuple[str, str], str]
    """Kind and name → the reasons and messages of its Warning Events."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All of them, applied at once."""
    platform = Platform(tmp_path_factory.mktemp("effects") / "state")
    platform.publish(trained.brief("iris"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    every = [service.manifest(name) for name, service in TAKEN.items()]
    every += [Service().manifest(f"so-{name}") for name in SCALED]
    every += [scaled.manifest(name, address) for name, scaled in SCALED.items()]
    with serving(server):
        try:
            platform.serin("up", "iris")
            kubectl = Kubectl(platform)
            warnings = ""
            for place in range(0, len(every), CHUNK):  # each call has kubectl's deadline
                items = every[place : place + CHUNK]
                text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
                warnings += kubectl.run("apply", "-f", "-", text=text).stderr
            objects: dict[tuple[str, str], dict[str, Any]] = {}
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                objects = everything(kubectl)
                if all(is_settled(objects, name) for name in (*TAKEN, *SCALED)):
                    break
            yield World(kubectl, warnings, objects, told(kubectl))
        finally:
            platform.serin("down")


def everything(kubectl: Kubectl) -> dict[tuple[str, str], dict[str, Any]]:
    """Every object whose effects are looked at."""
    items = kubectl.get("isvc,scaledobjects,deployments")["items"]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


def told(kubectl: Kubectl) -> dict[tuple[str, str], str]:
    """Kind and name → what its Warning Events say."""
    said: dict[tuple[str, str], str] = {}
    for event in kubectl.get("events")["items"]:
        if event["type"] == "Warning":
            about = event["involvedObject"]["kind"], event["involvedObject"]["name"]
            said[about] = f"{said.get(about, '')}{event['reason']}: {event['message']}\n"
    return said


def is_settled(objects: dict[tuple[str, str], dict[str, Any]], name: str) -> bool:
    """Whether an object says by now what is expected of it."""
    if name in TAKEN:
        return TAKEN[name].ready in message(objects["InferenceService", name])
    scaled = SCALED[name]
    return doing(objects, name) == (scaled.ready, scaled.active, scaled.replicas)


def message(service: dict[str, Any]) -> str:
    """Why an InferenceService is not Ready."""
    return str(condition(service, "Ready").get("message"))


def doing(objects: dict[tuple[str, str], dict[str, Any]], name: str) -> tuple[str, Any, Any]:
    """A ScaledObject's two conditions, and the replicas that it makes."""
    scaled = objects["ScaledObject", f"so-{name}"]
    deployment = objects.get(("Deployment", f"so-{name}-predictor"), {"spec": {}})
    ready = condition(scaled, "Ready")
    said = f"{ready.get('status')} {ready.get('reason')}"
    return said, condition(scaled, "Active").get("status"), deployment["spec"].get("replicas")


def condition(item: dict[str, Any], kind: str) -> dict[str, Any]:
    """An object's condition of a type."""
    conditions = (item.get("status") or {}).get("conditions", ())
    return next((dict(entry) for entry in conditions if entry["type"] == kind), {})


def at(tree: Any, path: str) -> Any:
    """What is there by a path of names and places."""
    for part in path.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


@pytest.mark.parametrize("name", TAKEN)
def test_an_accepted_service_does_or_says_it(world: World, name: str) -> None:
    """Its condition and its Deployment are a cluster's; what is not followed is said."""
    service, events = TAKEN[name], world.events.get(("InferenceService", name), "")

    assert service.ready in message(world.objects["InferenceService", name])
    assert service.warned in world.warnings
    assert ("NotFollowed" in events) is bool(service.warned)
    assert service.warned in events
    if service.template:
        template = world.objects["Deployment", f"{name}-predictor"]["spec"]["template"]
        assert {path: at(template, path) for path in service.template} == service.template


def test_a_service_that_would_answer_otherwise_is_refused(world: World) -> None:
    """Answers without the transformer would be others."""
    service = SERVICES["transformer"]
    text = json.dumps(service.manifest("transformer"))

    assert service.refused in world.kubectl.run("apply", "-f", "-", text=text, expect=1).stderr


def test_a_strategy_is_its_deployments(world: World) -> None:
    """Recreate replaces the rolling update that KServe writes without one."""
    strategies = [
        world.objects["Deployment", f"{name}-predictor"]["spec"]["strategy"]["type"]
        for name in ("recreate", "env-from")
    ]

    assert strategies == ["Recreate", "RollingUpdate"]


@pytest.mark.parametrize("name", SCALED)
def test_a_scaled_object_does_what_keda_does(world: World, name: str) -> None:
    """Its conditions, its replicas, and the cause as an Event."""
    scaled, events = SCALED[name], world.events.get(("ScaledObject", f"so-{name}"), "")

    assert doing(world.objects, name) == (scaled.ready, scaled.active, scaled.replicas)
    assert scaled.event in events
    assert scaled.warned in world.warnings
    assert scaled.warned in events
