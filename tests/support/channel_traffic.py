"""Requests over REST and gRPC to a model that follows a channel, and the history of their answers.

A request is never repeated by its client: what a replica cannot answer is the gateway's to mend.
The clients are a process of their own, so that nothing a test does meanwhile is in their latencies.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from predictors.runtime.lean_kserve import pb
from tests.support.platform import flower, wait_for

SECONDS = 60  # a request's time limit
REST, GRPC = 6, 4  # clients of each kind; the first of each kind sends what it has seen
Ask = Callable[[int], tuple[str, int]]
"""Asks for an answer of this generation or newer; its version and generation."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: when it was sent and answered, and by what. Times are Unix seconds."""

    client: str
    sent: float
    answered: float
    failure: str
    """Empty where it was answered; else what the client got in the place of an answer."""
    version: str
    generation: int


class Traffic:
    """Clients of iris behind a gateway, which ask at a steady rate until the end.

    Args:
        address: Of the gateway.
        rate: Requests a second, of all clients together.
        file: Where they write a line for each answer.
    """

    def __init__(self, address: str, rate: float, file: Path) -> None:
        self._command = [sys.executable, "-m", __name__, address, str(rate)]
        self._file = file
        self._answers: list[Answered] = []
        self._read_to = 0

    @property
    def history(self) -> list[Answered]:
        """What was answered so far."""
        with self._file.open("rb") as lines:
            lines.seek(self._read_to)
            whole = lines.read().rpartition(b"\n")[0]  # the last line may be half written
        if whole:
            self._answers += [Answered(*json.loads(line)) for line in whole.split(b"\n")]
            self._read_to += len(whole) + 1
        return self._answers

    def __enter__(self) -> Self:
        """Start them, and wait for the first answer."""
        with self._file.open("wb") as file:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=file)
        wait_for(lambda: self.history, SECONDS, "the first answer")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=SECONDS + 30)  # the end of its input is its end
        assert self._process.returncode == 0


def main(address: str, rate: float) -> None:
    """Ask until there is no more input; write each answer as a line."""
    stop = threading.Event()
    pause = (REST + GRPC) / rate

    def client(name: str, asking: Callable[[str], Ask]) -> None:
        ask, monotonic = asking(address), name.endswith("-0")
        newest, due = 0, time.monotonic()
        while not stop.wait(max(due - time.monotonic(), 0.0)):
            due = max(due + pause, time.monotonic() - 1)
            sent, failure, version, generation = time.time(), "", "", 0
            try:
                version, generation = ask(newest if monotonic else 0)
            except (OSError, http.client.HTTPException, grpc.RpcError, ValueError) as error:
                failure = f"{error!r:.300}"
            answered = Answered(name, sent, time.time(), failure, version, generation)
            os.write(sys.stdout.fileno(), json.dumps(astuple(answered)).encode() + b"\n")
            newest = max(newest, generation)

    with ThreadPoolExecutor(REST + GRPC) as threads:
        ends = [threads.submit(client, f"rest-{number}", _rest) for number in range(REST)]
        ends += [threads.submit(client, f"grpc-{number}", _grpc) for number in range(GRPC)]
        sys.stdin.read()
        stop.set()
        for end in ends:
            end.result()


def _rest(address: str) -> Ask:
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    body = json.dumps({"inputs": [flower()]})

    def ask(newest: int) -> tuple[str, int]:
        headers = {"Content-Type": "application/json"}
        if newest:
            headers["x-min-generation"] = str(newest)
        try:
            connection.request("POST", "/v2/models/iris/infer", body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        if answer.status != 200:
            raise ValueError(f"{answer.status} {text[:200]!r}")
        return json.loads(text)["model_version"], int(answer.headers["serin-generation"])

    return ask


def _grpc(address: str) -> Ask:
    message = pb.ModelInferRequest(model_name="iris")
    tensor = message.inputs.add(name="input-0", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend(flower()["data"])
    channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
    stub = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        lambda one: one.SerializeToString(),
        pb.ModelInferResponse.FromString,
    )

    def ask(newest: int) -> tuple[str, int]:
        metadata = (("x-min-generation", str(newest)),) if newest else ()
        answer, call = stub.with_call(message, metadata=metadata, timeout=SECONDS)
        trailers = {str(key): str(value) for key, value in call.trailing_metadata()}
        return answer.model_version, int(trailers["serin-generation"])

    return ask


def mixed_seconds(history: list[Answered]) -> dict[int, float]:
    """Generation → how long after its first answer somebody still got an older one.

    Counted from when the first answer was there to when the last request was sent that an older
    generation answered: what any two clients could have noticed.
    """
    first: dict[int, float] = {}
    for one in history:
        if one.generation:
            first[one.generation] = min(first.get(one.generation, one.answered), one.answered)
    return {
        generation: max(
            (one.sent - begun for one in history if 0 < one.generation < generation), default=0.0
        )
        for generation, begun in first.items()
        if generation != min(first)
    }


def fallen(history: list[Answered]) -> list[tuple[Answered, Answered]]:
    """Answers of an older generation to a client that had sent a newer one it knew."""
    found = []
    for client in ("rest-0", "grpc-0"):
        newest: Answered | None = None
        for one in (one for one in history if one.client == client and one.generation):
            if newest is not None and one.generation < newest.generation:
                found.append((newest, one))
            elif newest is None or one.generation > newest.generation:
                newest = one
    return found


def percentile(values: list[float], share: float) -> float:
    """The value that so many per cent are not above."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def told(history: list[Answered]) -> dict[str, Any]:
    """Figures of a history."""
    seconds = max(one.answered for one in history) - min(one.sent for one in history)
    windows = [max(one, 0.0) for one in mixed_seconds(history).values()]
    return {
        "requests": len(history),
        "lost": sum(bool(one.failure) for one in history),
        "requests_per_second": round(len(history) / seconds, 1),
        "of_them_grpc": sum(one.client.startswith("grpc") for one in history),
        "generations_seen": len(windows) + 1,
        "mixed_seconds": {
            "p50": round(percentile(windows, 0.5), 4),
            "p99": round(percentile(windows, 0.99), 4),
            "most": round(max(windows, default=0.0), 4),
        },
    }


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
