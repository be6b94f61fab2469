"""Requests over REST and gRPC to a model that follows a channel, and the history of their answers.

A request is never repeated by its client: what a replica cannot answer is the gateway's to mend.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc

from predictors.runtime.lean_kserve import pb
from tests.support.platform import flower

SECONDS = 60  # a request's time limit
REST, GRPC = 6, 4  # clients of each kind; the first of each kind sends what it has seen


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
    """

    def __init__(self, address: str, rate: float) -> None:
        self.history: list[Answered] = []  # appending is atomic
        self._address = address
        self._pause = (REST + GRPC) / rate
        self._stop = threading.Event()
        clients = [("rest", number, self._rest) for number in range(REST)]
        clients += [("grpc", number, self._grpc) for number in range(GRPC)]
        self._threads = [
            threading.Thread(target=run, args=(f"{kind}-{number}", number == 0), daemon=True)
            for kind, number, run in clients
        ]

    @property
    def failures(self) -> list[Answered]:
        """What was not answered."""
        return [one for one in self.history if one.failure]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(SECONDS + 5)

    def _each(self, client: str, monotonic: bool, ask: Callable[[int], tuple[str, int]]) -> None:
        """Ask at the client's own pace; `ask` is given the newest generation that it has seen."""
        newest, due = 0, time.monotonic()
        while not self._stop.wait(max(due - time.monotonic(), 0.0)):
            due = max(due + self._pause, time.monotonic() - 1)
            sent, failure, version, generation = time.time(), "", "", 0
            try:
                version, generation = ask(newest if monotonic else 0)
            except (OSError, http.client.HTTPException, grpc.RpcError, ValueError) as error:
                failure = f"{error!r:.300}"
            self.history.append(Answered(client, sent, time.time(), failure, version, generation))
            newest = max(newest, generation)

    def _rest(self, client: str, monotonic: bool) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=SECONDS)
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

        try:
            self._each(client, monotonic, ask)
        finally:
            connection.close()

    def _grpc(self, client: str, monotonic: bool) -> None:
        message = pb.ModelInferRequest(model_name="iris")
        tensor = message.inputs.add(name="input-0", datatype="FP32", shape=[1, 4])
        tensor.contents.fp32_contents.extend(flower()["data"])
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._address, options) as channel:
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

            self._each(client, monotonic, ask)


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
