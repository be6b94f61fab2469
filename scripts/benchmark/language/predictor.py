"""The predictor of causal-lm as a process: asked over HTTP, its processor time and memory read."""

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.benchmark.beside_stock import SERIN, Server, post, started, wait

MODEL = "causal-lm"


class Predictor(Server):
    """A predictor of causal-lm."""

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
def predictor(artifact: Path, **settings: str) -> Iterator[Predictor]:
    """One of an artifact on the servers' core, with settings of its environment."""
    program = ["-m", "predictors.causal_lm"]
    with started(Predictor, SERIN, program, MODEL, artifact, **settings) as served:
        yield served


def begun(served: Predictor) -> dict[str, float]:
    """Wait until it answers; seconds from the process's start to its first token.

    Raises:
        NoAnswerError: it did not in time.
    """
    seconds = wait(served, lambda one: one.first_event("Once upon a time"))
    return {"seconds": round(seconds, 2), "cpu_seconds": round(served.cpu_seconds(), 2)}
