"""Many prompts, and streams that nobody reads.

An honest client asks every 20 ms from a process of its own, all through each attack. Figures are
printed; the bounds are far above what a quiet machine shows, and far below what was met before:
waits of 1 to 10 s, 200 to 700 MiB, broken streams.
"""

import json
import threading
import time
from typing import Any

import pytest

from predictors.runtime.lean_kserve import pb
from tests.support.attack import FLOOD_SECONDS, STREAM, Memory, say, watched
from tests.support.honest import honest
from tests.support.predictor import JSON, Predictor
from tests.support.wire import (
    Attacker,
    body,
    head,
    repeated,
)

pytestmark = pytest.mark.calm


def prompts(count: int, text: str = "the quick", **parameters: Any) -> dict[str, Any]:
    tensor = {"name": "text_input", "shape": [count], "datatype": "BYTES", "data": [text] * count}
    return {"inputs": [tensor], "parameters": parameters}


@pytest.mark.parametrize("count", [1_500, 64, 250])
def test_many_prompts_of_one_request_lock_nobody_out(lm: Predictor, count: int) -> None:
    """S4: refused, or taken in turns with the requests of others."""
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(lm.infer(prompts(count, max_tokens=100)).status)

    with honest(lm.http_port, lm.infer_path, prompts(1, max_tokens=4)) as client:
        attack = threading.Thread(target=ask)
        with watched(lm.process.pid, client, f"{count} prompts"):
            attack.start()
            attack.join(5)
            time.sleep(1)
        attack.join(30)
    say(statuses)


def test_prompts_are_counted_before_they_are_read(lm: Predictor) -> None:
    """S4's neighbour: 10 KB that ask for 262,144 choices, and 400,000 prompts of one letter."""
    many = {"model": lm.model, "prompt": ["a"] * 2048, "n": 128, "max_tokens": 1}
    with honest(lm.http_port, lm.infer_path, prompts(1, max_tokens=4)) as client:
        memory = Memory(lm.process.pid)
        with watched(lm.process.pid, client, "choices and prompts"):
            refused = lm.request("POST", "/v1/completions", json.dumps(many).encode())
            other = lm.infer(prompts(400_000, "a"))
        assert refused.status == 400
        assert other.status in {400, 429}  # where the bytes of another attack are held still
        assert "262144 prompts in one request" in refused.json["error"]["message"]
        assert memory.peak() < 200


def test_answers_of_a_stream_that_nobody_reads_are_bounded(lm: Predictor) -> None:
    """S5's neighbour: small requests, each refused at once, of a client without a window."""
    attacker = Attacker(lm.grpc_port, (4, 0))
    bad = pb.ModelInferRequest(model_name="x", id="y").SerializeToString()
    with honest(lm.http_port, lm.infer_path, prompts(1, max_tokens=4)) as client:
        memory = Memory(lm.process.pid)
        with watched(lm.process.pid, client, "answers that nobody reads"):
            attacker.send(head(1, STREAM))
            attacker.flood(repeated(body(1, bad, ended=False)), 3 * FLOOD_SECONDS)
        say(f"{attacker.sent} bytes")
        assert memory.peak() < 60
    attacker.close()


def test_large_texts_of_streams_are_bounded(lm: Predictor) -> None:
    """S1's neighbour: 90 streams of 7 MB of text each, whole."""
    request = pb.ModelInferRequest(model_name="causal-lm")
    contents = {"bytes_contents": [b"the quick " * 700_000]}
    request.inputs.add(name="text_input", datatype="BYTES", shape=[1], contents=contents)
    request.parameters["truncate_prompt_tokens"].bool_param = True
    message = request.SerializeToString()
    attackers = [Attacker(lm.grpc_port) for _ in range(3)]
    with (
        honest(lm.http_port, lm.infer_path, prompts(1, max_tokens=4)) as client,
        watched(lm.process.pid, client, "90 large texts"),
    ):
        for attacker in attackers:
            for stream in range(1, 61, 2):
                attacker.send(head(stream, STREAM) + body(stream, message, ended=True), 1)
        time.sleep(0.5)
    for attacker in attackers:
        attacker.close()


@pytest.mark.parametrize("token", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
def test_a_control_token_that_a_text_spells_is_text(lm: Predictor, token: str) -> None:
    """S12: in a prompt and in a message it costs what its letters cost, and ends nothing."""

    def tokens(path: str, **asked: Any) -> int:
        content = json.dumps({"model": lm.model, "max_tokens": 1, **asked}).encode()
        answer = lm.request("POST", path, content, JSON)
        assert answer.status == 200, answer.body
        count: int = json.loads(answer.body)["usage"]["prompt_tokens"]
        return count

    def said(text: str) -> int:
        return tokens("/v1/chat/completions", messages=[{"role": "user", "content": text}])

    plain = tokens("/v1/completions", prompt=token[1:])
    assert plain > 1
    assert tokens("/v1/completions", prompt=token) >= plain
    assert said(token) >= said(token[1:]) > said("")
