"""A real predictor process on free loopback ports, and the requests that tests send it."""

import http.client
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from controlplane.local.node.processes import free_ports
from predictors.runtime.artifact.artifact import Manifest, read_artifact
from predictors.runtime.lean_kserve import pb
from tests.support import trained

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
STOP_SECONDS = 20
JSON = {"Content-Type": "application/json"}


PUBLISHED = "onnx"
"""A model that `serin publish` made of a file: it is served like the others, and never trained."""


def discovered_models() -> list[str]:
    """Every model there is a predictor and a training of: what `python -m predictors.X` starts."""
    folder = ROOT / "predictors"
    modules = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__main__.py")
    }
    return sorted(m.replace("_", "-") for m in modules - {"__init__", PUBLISHED})


def served_models() -> list[str]:
    """Every model there is a predictor of; one stands for all that were published from a file."""
    return [*discovered_models(), PUBLISHED]


@dataclass
class Answer:
    """An HTTP answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Predictor:
    """A started predictor; `http_port` and `grpc_port` are on loopback."""

    model: str
    folder: Path
    process: subprocess.Popen
    log: Path
    http_port: int
    grpc_port: int
    metrics_port: int
    manifest: Manifest = field(init=False)

    def __post_init__(self) -> None:
        self.manifest = read_artifact(self.folder)

    @property
    def infer_path(self) -> str:
        """Where requests go."""
        return f"/v2/models/{self.model}/infer"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        port: int | None = None,
    ) -> Answer:
        """One HTTP request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http_port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read())
        finally:
            connection.close()

    def infer(self, document: object, **headers: str) -> Answer:
        """POST a JSON document to the infer path."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.request("POST", self.infer_path, body, JSON | headers)

    def golden_inputs(self) -> list[dict[str, Any]]:
        """The golden sample's input tensors, to be changed at will."""
        return json.loads(json.dumps(self.manifest.golden_sample["inputs"]))

    def metrics(self) -> str:
        """The text of /metrics."""
        return self.request("GET", "/metrics", port=self.metrics_port).body.decode()

    def channel(self) -> grpc.Channel:
        """A gRPC channel; the caller closes it."""
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")

    def call(self, method: str, message: Any, timeout: float = 20) -> Any:
        """One unary gRPC call."""
        answer = getattr(pb, f"{method}Response")
        with self.channel() as channel:
            stub = channel.unary_unary(
                f"/inference.GRPCInferenceService/{method}",
                request_serializer=lambda m: m.SerializeToString(),
                response_deserializer=answer.FromString,
            )
            return stub(message, timeout=timeout)

    def log_lines(self) -> list[dict[str, Any]]:
        """The JSON lines logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running(
    model: str,
    folder: Path,
    log: Path,
    *,
    module: str | None = None,
    flags: str = "",
    **env: str,
) -> Iterator[Predictor]:
    """Start a predictor as its container would, wait until it is ready, and stop it at the end."""
    ports = free_ports(3)
    command = [
        *(sys.executable, "-m", module or f"predictors.{model.replace('-', '_')}"),
        *(f"--model_name={model}", f"--model_dir={folder}"),
        *(f"--http_port={ports[0]}", f"--grpc_port={ports[1]}", *flags.split()),
    ]
    environment = os.environ | {
        "PREDICTOR_HOST": "127.0.0.1",
        "PREDICTOR_METRICS_PORT": str(ports[2]),
        **env,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    predictor = Predictor(model, folder, process, log, *ports)
    try:
        wait_until(lambda: _ready(predictor), START_SECONDS, f"{model} ready; log: {log}")
        yield predictor
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(STOP_SECONDS)


def start_refused(
    model: str, module: str, artifact: Path, *flags: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Start a predictor that is expected to refuse, with nothing of this environment."""
    command = [sys.executable, "-m", module, f"--model_name={model}", f"--model_dir={artifact}"]
    environment = {"PATH": "", "PREDICTOR_HOST": "127.0.0.1", "PREDICTOR_METRICS_PORT": "0", **env}
    return subprocess.run(
        [*command, *flags],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """The event of the last line, which is what a person is shown."""
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["level"] == "ERROR"
    return str(last["event"])


def wait_until(condition: Any, seconds: float, what: str) -> None:
    """Poll until `condition()` is true; fail with `what` past the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def metric(text: str, name: str, **labels: str) -> float:
    """The value of the one series with these labels; others may differ."""
    pattern = re.compile(rf"^{name}\{{(.*)\}} (\S+)$", re.MULTILINE)
    values = [
        float(value)
        for found, value in pattern.findall(text)
        if all(f'{key}="{wanted}"' in found for key, wanted in labels.items())
    ]
    assert len(values) == 1, f"{name}{labels}: {len(values)} series"
    return values[0]


def model_class(model: str) -> Any:
    """The V2Model subclass of a predictor module."""
    module = importlib.import_module(f"predictors.{model.replace('-', '_')}")
    base = importlib.import_module("predictors.runtime").V2Model
    (found,) = (
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, base) and one.__module__ == module.__name__
    )
    if model == PUBLISHED:
        folder = trained.artifact(PUBLISHED)
        made: Any = found
        return made.of_version(folder, read_artifact(folder))
    return found


def _ready(predictor: Predictor) -> bool:
    if predictor.process.poll() is not None:
        raise AssertionError(f"{predictor.model} exited: {predictor.log.read_text()[-3000:]}")
    try:
        return predictor.request("GET", f"/v2/models/{predictor.model}/ready").status == 200
    except OSError:
        return False
