"""causal-lm beside llama.cpp with the same GGUF file, and what its own limits are.

    serin bench --models causal-lm --peers llama.cpp --connections 1,8,32     # Node 20 or later

Both read the same prompts, as many as --connections says, and continue them greedily on one thread
of one core; processor time a token is compared, which other programs on the machine disturb less
than the clock. Serin's is of the whole server, HTTP included.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click

from scripts.benchmark.causal_lm import PROMPTS
from scripts.benchmark.first_token import LONG, first_token
from scripts.benchmark.language.llama_cpp import PACKAGE, llama_cpp
from scripts.benchmark.language.predictor import Predictor, begun, predictor
from scripts.benchmark.serving.machine import Cores
from scripts.benchmark.texts import Asked
from training.language.measures import temporary
from training.language.smollm2 import extracted

TOKENS, WARM_UP_TOKENS = 32, 2
TRIES = 3
ROWS, ROW_TOKENS, NEW_TOKENS = 8, 256, 56
SHORT = (  # 29 tokens
    "Write one sentence about the sea, the wind and a ship that comes home late in the evening, "
    "when it rains and nobody waits at the harbour"
)
HISTORY_TOKENS = 1000
STORY = "The keeper of the lighthouse wrote down what passed, the ships, the birds and the storms. "


def beside_llama_cpp(artifact: Path, counts: list[int], rounds: int) -> dict[str, Any]:
    """Processor milliseconds a token of both, by how many prompts there are."""
    with (
        temporary("serin-llama-") as folder,
        llama_cpp(extracted(folder), Cores.choose()) as peer,
        predictor(artifact) as served,
    ):
        begun(served)
        compared = []
        for count in counts:
            prompts = PROMPTS[:count]
            serin, other, texts = [], [], []
            served.ask(prompts, WARM_UP_TOKENS)
            peer.ask(prompts, WARM_UP_TOKENS)
            for _ in range(rounds):
                before = served.cpu_seconds()
                tokens = served.ask(prompts, TOKENS)
                serin.append((served.cpu_seconds() - before) / tokens * 1e3)
                answer = peer.ask(prompts, TOKENS)
                other.append(answer["cpu_seconds"] / answer["tokens"] * 1e3)
                texts.append(answer["first"][:60])
            ratios = [b / a for a, b in zip(serin, other, strict=True)]
            compared.append(
                {
                    "prompts": count,
                    "to_llama_cpp_by_cpu_time": round(median(ratios), 2),
                    "cpu_milliseconds_a_token": {
                        "serin": [round(one, 3) for one in serin],
                        PACKAGE: [round(one, 3) for one in other],
                    },
                    "begins": texts[0],
                }
            )
        mebibytes = {"serin": served.resident_bytes(), PACKAGE: peer.resident_bytes}
        told = {name: round(size / 2**20) for name, size in mebibytes.items()}
    return {"new_tokens": TOKENS, "tokens": compared, "resident_mebibytes_after": told}


def cold_starts(artifact: Path) -> dict[str, Any]:
    """From the start of the process to its first token, several times."""
    starts = []
    for _ in range(TRIES):
        with predictor(artifact) as served:
            starts.append(begun(served))
    return {name: [start[name] for start in starts] for name in starts[0]}


def memory(artifact: Path) -> dict[str, int]:
    """Resident mebibytes after the first token, and with full rows."""
    with predictor(artifact) as served:
        begun(served)
        first = served.resident_bytes()
        prompts = [f"{number} {LONG}" for number in range(ROWS)]
        served.ask(prompts, NEW_TOKENS)
        return {
            "after_the_first_token": first >> 20,
            f"after_{ROWS}_rows_of_{ROW_TOKENS}_tokens": served.resident_bytes() >> 20,
        }


def first_tokens(artifact: Path) -> dict[str, Any]:
    """A prompt of some 32 tokens behind 16 long ones, in times of a token."""
    with predictor(artifact) as served:
        begun(served)
        found = {}
        for name, answering in (("one", False), ("all", True)):
            tries = [
                first_token(served.port, answering=answering, text=SHORT) for _ in range(TRIES)
            ]
            told = {key: round(median(one[key] for one in tries), 3) for key in tries[0]}
            found[f"while_{name}_of_them_is_answered"] = told
    return found


def second_turns(artifact: Path) -> dict[str, Any]:
    """A chat's next turn, where the conversation so far was read before and where it was not."""
    settings = {"MAX_TOTAL_TOKENS": "2048", "PREFIX_CACHE_MB": "256"}
    with predictor(artifact, **settings) as served:
        begun(served)
        turns = [_turn(served, number) for number in range(TRIES)]
    ratios = [turn["anew"]["seconds"] / turn["kept"]["seconds"] for turn in turns]
    return {**settings, "to_reading_it_anew": round(median(ratios), 2), "turns": turns}


def _turn(served: Predictor, number: int) -> dict[str, Any]:
    def conversation(name: str) -> list[dict[str, str]]:
        story = f"{name} {number}. {STORY * (HISTORY_TOKENS // 18)}"
        return [{"role": "user", "content": story}]

    more = [
        {"role": "assistant", "content": "It was a quiet year."},
        {"role": "user", "content": "Which birds passed the lighthouse, and when?"},
    ]
    served.chat(conversation("Kept"), 1)
    return {
        "kept": _timed(served, conversation("Kept") + more),
        "anew": _timed(served, conversation("Anew") + more),
    }


def _timed(served: Predictor, messages: list[dict[str, str]]) -> dict[str, Any]:
    before, started = served.cpu_seconds(), time.perf_counter()
    usage = served.chat(messages, 1)["usage"]
    return {
        "prompt_tokens": usage["prompt_tokens"],
        "cached_tokens": usage["prompt_tokens_details"]["cached_tokens"],
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_seconds": round(served.cpu_seconds() - before, 2),
    }


def measured(artifact: Path, asked: Asked) -> dict[str, Any]:
    """All of it, part by part."""
    counts, rounds = list(asked.connections), asked.rounds
    parts: dict[str, Callable[[], Any]] = {
        "beside_llama_cpp": lambda: beside_llama_cpp(artifact, counts, rounds),
        "from_process_start_to_first_token": lambda: cold_starts(artifact),
        "resident_mebibytes": lambda: memory(artifact),
        "first_token_behind_16_long_prompts": lambda: first_tokens(artifact),
        "second_turn_of_a_chat": lambda: second_turns(artifact),
    }
    told = {}
    for name, part in parts.items():
        told[name] = part()
        click.echo(f"{name}: {json.dumps(told[name])}", err=True)  # minutes go by
    return told
