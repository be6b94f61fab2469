"""A whole platform of a test's own: state folder, ports and store, used by its verbs."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from controlplane.local.node import s3_server
from controlplane.statefolder import Home
from predictors.runtime import read_artifact
from training.publish.registry import Registry

ROOT = Path(__file__).parents[2]
FLOWER = [5.1, 3.5, 1.4, 0.2]  # cm: a setosa
COMMAND_SECONDS = 110


@dataclass(frozen=True)
class Platform:
    """One state folder; nothing runs in it until `serin("up", …)`."""

    home: Path
    root: Path = ROOT
    """The checkout whose verbs are run."""

    @property
    def env(self) -> dict[str, str]:
        """What makes a verb use this platform: its folder, any free ports."""
        ours = {"SERIN_HOME": str(self.home), "SERIN_PORT": "0", "SERIN_S3_PORT": "0"}
        return {**os.environ, **ours, "PYTHONPATH": str(self.root)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a verb in a process group of its own, as a shell does."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "scripts.cli", *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def serin(
        self, *arguments: str, expect: int = 0, seconds: float = COMMAND_SECONDS
    ) -> "subprocess.CompletedProcess[str]":
        """Run a verb to its end and check its exit code."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"serin {arguments} took too long\n{err}\n{self.log()}") from None
        done = subprocess.CompletedProcess(arguments, process.returncode, out, err)
        assert done.returncode == expect, f"serin {arguments}: {done}\n{self.log()}"
        return done

    def state(self) -> dict[str, Any]:
        """What `serin status --json` prints."""
        process = self.start("status", "--json")
        out, _ = process.communicate(timeout=COMMAND_SECONDS)
        found: dict[str, Any] = json.loads(out or "{}")
        return found

    def publish(self, artifact: Path) -> str:
        """Publish an artifact to its store, running or not, as a training does; its version."""
        with s3_server.available(Home(self.home)) as store:
            return Registry(store.env()).publish(artifact, read_artifact(artifact).model).version

    @property
    def url(self) -> str:
        """The gateway."""
        return str(json.loads((self.home / "state.json").read_text("utf-8"))["gateway_url"])

    def pods(self, model: str = "iris") -> list[dict[str, Any]]:
        """The model's pods."""
        return list(self.state()["models"][model]["pods"])

    def ask(self, path: str, body: object = None, host: str = "") -> tuple[int, dict[str, Any]]:
        """One REST request through the gateway: status and JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data)
        request.add_header("Content-Type", "application/json")
        if host:
            request.add_header("Host", host)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def infer(self, host: str = "") -> tuple[int, dict[str, Any]]:
        """Ask iris about one flower."""
        return self.ask("/v2/models/iris/infer", {"inputs": [flower()]}, host)

    def prometheus(self, query: str) -> list[dict[str, Any]]:
        """An instant query's result; nothing while Prometheus does not answer."""
        url = self.state().get("prometheus_url")
        text = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(text, timeout=5) as answer:
                result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except (OSError, ValueError):
            return []
        return result

    def envoy(self, path: str) -> bytes:
        """What Envoy's admin socket answers."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.home / "envoy" / "admin"))
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def log(self) -> str:
        """The end of every log, for a failure's message."""
        logs = sorted((self.home / "logs").glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text('utf-8')[-3000:]}" for log in logs)

    def processes(self) -> list[psutil.Process]:
        """Every process with this state folder in its command line or environment."""
        return [one for one in psutil.process_iter() if _belongs(one, str(self.home))]

    def engines(self) -> list[psutil.Process]:
        """Those of them that act on a rollout."""
        return [one for one in self.processes() if _runs(one, "controlplane.rollout")]

    def leftovers(self) -> list[str]:
        """What must not be there when nothing runs: processes, and temporary files."""
        alive = [str(process) for process in self.processes()]
        kept = {"lock", "desired.lock", "layout", "s3.json", "s3", "models", "logs"}
        kept |= {"objects.json", "kubeconfig", "pki", "prometheus"}
        files = [path.name for path in self.home.iterdir() if path.name not in kept]
        files += [str(path) for path in (self.home / "models").glob("*/.*")]
        return alive + files

    def copy(self, home: Path) -> "Platform":
        """Another platform with the same published models: nothing has to be trained."""
        home.mkdir(parents=True)
        shutil.copytree(self.home / "s3", home / "s3")
        return Platform(home)


def flower() -> dict[str, Any]:
    """The V2 tensor of one flower."""
    return {"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": FLOWER}


def wait_for(true: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until `true`; say what was waited for when time is up."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def _runs(process: psutil.Process, module: str) -> bool:
    try:
        return module in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def _belongs(process: psutil.Process, home: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
            return False
        return any(home in part for part in (*process.cmdline(), *process.environ().values()))
    except (psutil.Error, ProcessLookupError):  # psutil lets the latter through
        return False
