"""The predictor of causal-lm as a process: asked over HTTP, its processor time and memory read."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from controlplane.local.node.processes import free_ports
from scripts.benchmark.beside_stock import ANSWER_SECONDS, post
from scripts.benchmark.errors import NoAnswerError
from scripts.benchmark.repository import ROOT
from scripts.benchmark.serving.machine import Cores
from scripts.benchmark.serving.server import ENVIRONMENT

START_SECONDS = 120
MODEL = "causal-lm"


@dataclass(frozen=True, slots=True)
class Predictor:
    """A predictor that answers."""

    port: int
    process: psutil.Process
    started: float
    """time.monotonic() before its process began."""

    def cpu_seconds(self) -> float:
        """Processor time spent so far."""
        spent = self.process.cpu_times()
        return float(spent.user + spent.system)

    def resident_bytes(self) -> int:
        """Memory now."""
        return int(self.process.memory_info().rss)

    def connection(self) -> http.client.HTTPConnection:
        """A new connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)

    def ask(self, prompts: Sequence[str], tokens: int) -> int:
        """Continue prompts greedily, in one request; returns the tokens that came."""
        texts = {"name": "text_input", "datatype": "BYTES", "shape": [len(prompts)]}
        document: dict[str, Any] = {
            "inputs": [texts | {"data": list(prompts)}],
            "parameters": {"max_tokens": tokens, "truncate": True},
        }
        answer = post(self.connection(), f"/v2/models/{MODEL}/infer", document)
        (counts,) = (o["data"] for o in answer["outputs"] if o["name"] == "completion_tokens")
        return int(sum(counts))

    def chat(self, messages: list[dict[str, str]], tokens: int) -> dict[str, Any]:
        """An answer of OpenAI's API."""
        document = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": tokens}
        return post(self.connection(), "/v1/chat/completions", document)

    def first_event(self, prompt: str) -> None:
        """Wait for the first token of an answer.

        Raises:
            OSError, http.client.HTTPException: nobody listens yet.
        """
        connection = self.connection()
        body = json.dumps({"text_input": prompt, "max_tokens": 1})
        connection.request("POST", f"/v2/models/{MODEL}/generate_stream", body)
        if connection.getresponse().readline()[:5] != b"data:":
            raise http.client.HTTPException("no event came")


@contextmanager
def predictor(artifact: Path, cores: Cores, **settings: str) -> Iterator[Predictor]:
    """A predictor on the servers' core, from the start of its process on.

    Args:
        artifact: what it serves.
        cores: where it runs.
        settings: of its environment.
    """
    http_port, grpc_port, metrics_port = free_ports(3)
    command = [
        *(sys.executable, "-m", "predictors.causal_lm", f"--model_name={MODEL}"),
        *(f"--model_dir={artifact.resolve()}", f"--http_port={http_port}"),
        f"--grpc_port={grpc_port}",
    ]
    own = {"PREDICTOR_HOST": "127.0.0.1", "PREDICTOR_METRICS_PORT": str(metrics_port), **settings}
    started = time.monotonic()
    with cores.of_server():
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | ENVIRONMENT | own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield Predictor(http_port, psutil.Process(process.pid), started)
    finally:
        process.terminate()
        process.wait(60)


def begun(served: Predictor) -> dict[str, float]:
    """Wait until it answers; seconds from the process's start to its first token.

    Raises:
        NoAnswerError: it did not in time.
    """
    while True:
        try:
            served.first_event("Once upon a time")
        except (OSError, http.client.HTTPException) as error:  # nobody listens yet
            if time.monotonic() - served.started > START_SECONDS or not served.process.is_running():
                raise NoAnswerError(f"the predictor did not answer: {error}") from error
            time.sleep(0.02)
        else:
            seconds = time.monotonic() - served.started
            return {"seconds": round(seconds, 2), "cpu_seconds": round(served.cpu_seconds(), 2)}
