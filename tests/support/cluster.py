"""The platform in a real cluster, and what tests ask of it."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from controlplane.cluster.kubectl import Kubectl
from predictors.runtime.lean_kserve import pb
from tests.support.load import Steady
from tests.support.predictor import JSON, Answer
from tests.support.required import ROOT

MODEL = "iris"
CANARY = "iris-canary-predictor"
HOST = "iris-models.localhost"
FLOWER = {"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}
_POLL_SECONDS = 0.5


@dataclass
class Cluster:
    """A cluster by its kubeconfig; `address` is host:port of its gateway."""

    environment: Mapping[str, str]
    options: tuple[str, ...]
    address: str = ""
    first: str = field(default="")
    """The version that the first Job published."""
    dry: str = ""
    """What a dry run said while nothing was installed."""

    @property
    def api(self) -> Kubectl:
        """The product's own way to ask it."""
        return Kubectl(None, self.environment)

    def setup(self, *arguments: str, seconds: float = 900) -> subprocess.CompletedProcess[str]:
        """Run setup_cluster.sh."""
        done = subprocess.run(
            [ROOT / "setup_cluster.sh", *self.options, *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 60) -> str:
        """What kubectl prints; its failure is the test's."""
        done = subprocess.run(
            ["kubectl", *arguments],
            env=dict(self.environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        assert "Warning" not in done.stderr, done.stderr
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """An object, or a list, of the namespace `models`."""
        return json.loads(self.kubectl("get", "-n", "models", *arguments, "-o", "json"))

    def patch(self, document: dict[str, Any], model: str = MODEL) -> None:
        """A merge patch of an InferenceService, as a person types it."""
        body = json.dumps({"spec": document})
        self.kubectl("-n", "models", "patch", "isvc", model, "--type", "merge", "-p", body)

    def model(self, version: str) -> dict[str, Any]:
        """A predictor's model at a version, as a canary names it."""
        return {
            "modelFormat": {"name": MODEL},
            "runtime": "serin-iris",
            "protocolVersion": "v2",
            "storageUri": uri(version),
        }

    def canary(self, percent: int, model: dict[str, Any]) -> None:
        """Give a canary a share of the requests."""
        entry = {"trafficPercent": percent, "predictor": {"name": "canary", "model": model}}
        self.patch({"canary": [entry]})

    def leave_canary(self) -> None:
        """Take the canary away in the order that loses no request."""
        (entry,) = self.get("isvc", MODEL)["spec"]["canary"]
        self.canary(0, entry["predictor"]["model"])
        wait(lambda: self.weight(CANARY) in {0, None}, 120, "the canary to have no weight")
        self.patch({"canary": None})

    def serve(self, version: str, model: str = MODEL) -> None:
        """Name a version in the URI, and wait until its Deployment has rolled."""
        self.patch({"predictor": {"model": {"storageUri": uri(version, model)}}}, model)
        self.rolled(f"{model}-predictor", version, model)

    def rolled(self, deployment: str, version: str, model: str = MODEL) -> None:
        """Wait until a Deployment runs a version, all of it."""

        def done() -> bool:
            found = self.get("deployments", f"--field-selector=metadata.name={deployment}")["items"]
            if not found or uri(version, model) not in json.dumps(found[0]["spec"]["template"]):
                return False
            status, wanted = found[0]["status"], found[0]["spec"]["replicas"]
            return bool(
                status.get("observedGeneration") == found[0]["metadata"]["generation"]
                and status.get("updatedReplicas") == wanted
                and status.get("availableReplicas") == wanted
                and status.get("replicas") == wanted
            )

        wait(done, 300, f"{deployment} to run {version}", self.pods)

    def pods(self) -> str:
        """The pods of `models`, for a message."""
        return self.kubectl("-n", "models", "get", "pods", "-o", "wide")

    def ending(self) -> list[str]:
        """Pods of `models` that are deleted and not gone yet."""
        found = self.get("pods")["items"]
        return [one["metadata"]["name"] for one in found if "deletionTimestamp" in one["metadata"]]

    def pods_of(self, deployment: str) -> list[Any]:
        """The pods of one Deployment."""
        found: list[Any] = self.get("pods", "-l", f"app=isvc.{deployment}")["items"]
        return found

    def weight(self, deployment: str) -> int | None:
        """A backend's weight by the HTTPRoute; None where it has none."""
        route = self.get("httproute", MODEL)
        weights = {one["name"]: one["weight"] for one in route["spec"]["rules"][-1]["backendRefs"]}
        return weights.get(deployment)

    def replicas(self, deployment: str = "iris-predictor") -> int:
        """How many are available."""
        found = self.get("deployment", deployment)
        return int(found["status"].get("availableReplicas", 0))

    def manifest(self, model: str) -> Any:
        """MANIFEST.json of what serves, read in its pod."""
        pod = (f"deployment/{model}-predictor", "--container", "kserve-container")
        return json.loads(
            self.kubectl("-n", "models", "exec", *pod, "--", "cat", "/mnt/models/MANIFEST.json")
        )

    def ask(self, document: object, model: str = MODEL, seconds: float = 30) -> Answer:
        """One V2 request over REST, through the gateway."""
        import http.client

        connection = http.client.HTTPConnection(self.address, timeout=seconds)
        try:
            headers = JSON | {"Host": host(model)}
            body = json.dumps(document)
            connection.request("POST", f"/v2/models/{model}/infer", body, headers)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read())
        finally:
            connection.close()

    def ask_grpc(self, message: Any, seconds: float = 30) -> Any:
        """One ModelInfer through the gateway."""
        options = [("grpc.default_authority", host(message.model_name))]
        with grpc.insecure_channel(self.address, options=options) as channel:
            call = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=lambda one: one.SerializeToString(),
                response_deserializer=pb.ModelInferResponse.FromString,
            )
            return call(message, timeout=seconds)

    def load(
        self, rate: float = 20, model: str = MODEL, inputs: Sequence[dict[str, Any]] = (FLOWER,)
    ) -> Steady:
        """Open-loop requests for one flower, or for what a model takes."""
        return Steady(self.address, host(model), model, inputs, rate)


@contextmanager
def store(cluster: Cluster) -> Iterator[Mapping[str, str]]:
    """The environment of a verb that reads and writes the cluster's store from this machine."""
    data = cluster.get("secret", "s3-writer")["data"]
    keys = {name: base64.b64decode(value).decode() for name, value in data.items()}
    with cluster.api.forward("minio", "service/minio", 9000) as port:
        yield {**cluster.environment, **keys, "SERIN_S3_ENDPOINT": f"http://127.0.0.1:{port}"}


def serin(
    environment: Mapping[str, str], *arguments: str, expect: int | None = 0, seconds: float = 300
) -> str:
    """What a verb says on both its outputs; `expect` is its exit code, None: any."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.cli", *arguments],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert expect in {None, done.returncode}, done.stdout
    return done.stdout


def conditions(cluster: Cluster, scaled_object: str) -> dict[str, str]:
    """A ScaledObject's conditions: type → status."""
    status = cluster.get("scaledobject", scaled_object).get("status") or {}
    return {one["type"]: one["status"] for one in status.get("conditions", ())}


def host(model: str) -> str:
    """By which the gateway knows a model."""
    return f"{model}-models.localhost"


def uri(version: str, model: str = MODEL) -> str:
    """Where a version of a model lies."""
    return f"s3://models/{model}/{version}"


def wait(
    condition: Callable[[], bool], seconds: float, what: str, why: Callable[[], str] = str
) -> None:
    """Poll until true; fail with what was waited for, and the state of things."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}\n{why()}"
        time.sleep(_POLL_SECONDS)
