"""causal-lm beside `transformers.generate` in stock KServe, and its time to first token.

    serin bench --models causal-lm --artifacts DIR --connections 8,32

DIR/causal-lm is what `python -m training.causal_lm --model FOLDER --bits 32` wrote: with 8 bits
both would not have the same weights. One answer that differs, and there is no result.
"""

import http.client
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmark.beside_stock import Server, both, compare, post
from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.first_token import first_token
from scripts.benchmark.texts import Asked

MAX_TOKENS = 64
TRIES = 15
STARTS = ("Once upon a time", "Return the", "One day, a boy", "The cat", "It was a", "Lily and Tom")
ENDS = ("", " and", " who", " that is", " in the park", " with a big")
PROMPTS = [start + end for end in ENDS for start in STARTS]


def continued(connection: http.client.HTTPConnection, number: int) -> tuple[str, int]:
    """What a server puts after one prompt, and of how many tokens it is."""
    inputs = [
        {
            "name": "text_input",
            "datatype": "BYTES",
            "shape": [1],
            "data": [PROMPTS[number % len(PROMPTS)]],
        },
        {"name": "max_tokens", "datatype": "INT32", "shape": [1], "data": [MAX_TOKENS]},
    ]
    answer = post(connection, "/v2/models/causal-lm/infer", {"inputs": inputs})
    outputs = {one["name"]: one["data"][0] for one in answer["outputs"]}
    return outputs["text_output"], outputs["completion_tokens"]


def ask(connection: http.client.HTTPConnection, number: int) -> int:
    """One prompt continued; in tokens."""
    return continued(connection, number)[1]


def measured(artifact: Path, asked: Asked) -> dict[str, Any]:
    """Start both, compare answers, load them in turn, wait for first tokens."""
    with both("causal-lm", "stock_kserve_generate.py", artifact, ask) as servers:
        _same_answers(servers)
        compared = [
            compare(servers, count, asked.seconds, asked.rounds, ask) for count in asked.connections
        ]
        servers[0].use_all_cores()
        return {
            "max_tokens": MAX_TOKENS,
            "tokens": compared,
            "first_token_behind_16_long_prompts": {
                "of_which_one_is_answered": _first_tokens(servers[0], answering=False),
                "which_are_all_answered": _first_tokens(servers[0], answering=True),
            },
        }


def _same_answers(servers: list[Server]) -> None:
    one, other = (server.connection() for server in servers)
    for number, prompt in enumerate(PROMPTS):
        answers = (continued(one, number), continued(other, number))
        if answers[0] != answers[1]:
            raise BenchmarkError(f"{prompt!r} is continued otherwise, not compared: {answers}")


def _first_tokens(server: Server, *, answering: bool) -> dict[str, Any]:
    """Medians of several tries, and the worst one."""
    tries = [first_token(server.port, answering=answering) for _ in range(TRIES)]
    found: dict[str, Any] = {name: round(median(t[name] for t in tries), 3) for name in tries[0]}
    return {**found, "most_token_times": round(max(t["token_times"] for t in tries), 3)}
