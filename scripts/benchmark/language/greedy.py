"""Greedy text as it is served beside that of the same weights in float32.

    serin bench --models causal-lm --peers float32

For each text that differs it says where, and how near the tie was: what float32 gives its own token
and the one that was served, as probabilities.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from predictors.causal_lm.budget import DEFAULT
from predictors.causal_lm.chat import ChatTemplate
from predictors.causal_lm.engine import CHUNK
from predictors.causal_lm.network import Network
from scripts.benchmark.texts import Asked
from training.causal_lm import save
from training.export import decoder
from training.language import measures
from training.language.smollm2 import read_smollm2

TOKENS = 32
NEAR = 0.05  # of probability between the two tokens: such a lead is a near tie
WHO = ("a child", "a teacher", "a sailor", "an old friend", "someone who is new here")
WHAT = (
    *("what rain is", "how to bake bread", "why leaves fall", "where the sun goes at night"),
    *("how a clock works", "what a river is", "how birds fly", "what makes a good story"),
    *("how to plant a tree", "why we sleep"),
)
HOW = ("Explain to {who} {what}.", "Write one sentence for {who} about {what}.")
QUESTIONS = [how.format(who=who, what=what) for how in HOW for what in WHAT for who in WHO]

Floats = npt.NDArray[np.float32]


def continued(
    network: Network, prompts: Sequence[list[int]], count: int, ending: frozenset[int]
) -> list[list[int]]:
    """Greedy tokens of each prompt, as many side by side as the network has room for."""
    answers: list[list[int]] = []
    for start in range(0, len(prompts), measures.ROWS):
        group = prompts[start : start + measures.ROWS]
        firsts = [_read(network, row, prompt) for row, prompt in enumerate(group)]
        rows = [[int(logits.argmax())] for logits in firsts]
        for _ in range(count - 1):
            positions = [len(p) + len(t) - 1 for p, t in zip(group, rows, strict=True)]
            logits = network.step([tokens[-1] for tokens in rows], positions)
            for tokens, token in zip(rows, logits.argmax(axis=1).tolist(), strict=True):
                tokens.append(token)
        answers += [_ended(tokens, ending) for tokens in rows]
    return answers


def _read(network: Network, row: int, tokens: list[int]) -> Floats:
    """Logits after a text."""
    for start in range(0, len(tokens), CHUNK):
        logits = network.fill(row, tokens[start : start + CHUNK], start)
    after: Floats = logits[0].copy()
    return after


def _ended(tokens: list[int], ending: frozenset[int]) -> list[int]:
    at = next((number for number, token in enumerate(tokens) if token in ending), len(tokens))
    return tokens[: at + 1]


def difference(
    network: Network,
    tokenizer: Tokenizer,
    prompt: list[int],
    exact: list[int],
    served: list[int],
) -> dict[str, Any]:
    """Where two answers part, and what float32 thinks of both tokens there."""
    at = next(n for n, pair in enumerate(zip(exact, served, strict=False)) if pair[0] != pair[1])
    logits = _read(network, 0, prompt + exact[:at]).astype(np.float64)
    shares = np.exp(logits - np.logaddexp.reduce(logits))
    one, other = float(shares[exact[at]]), float(shares[served[at]])
    return {
        "after_tokens": at,
        "float32": tokenizer.decode([exact[at]]),
        "served": tokenizer.decode([served[at]]),
        "probabilities": [round(one, 4), round(other, 4)],
        "lead": round(one - other, 4),
        "place_of_served": int((shares > shares[served[at]]).sum()) + 1,
    }


def measured(artifact: Path, _: Asked) -> dict[str, Any]:
    """Every prompt by both."""
    tokenizer = Tokenizer.from_file(str(artifact / "tokenizer.json"))
    generation = json.loads((artifact / "generation.json").read_text("utf-8"))
    ending = frozenset(generation["ending_tokens"])
    tokenizer.encode_special_tokens = True
    template = (artifact / "chat_template.jinja").read_text("utf-8")
    chat = ChatTemplate(template, tokenizer, generation["first_token"], DEFAULT)
    prompts = [chat.tokens([{"role": "user", "content": text}]) for text in QUESTIONS]
    served = continued(
        measures.opened(artifact / "model.onnx", measures.ROWS), prompts, TOKENS, ending
    )
    model = read_smollm2()
    with measures.temporary("serin-float32-") as folder:
        save(decoder.to_onnx(model.config, model.weights), folder / "model.onnx")
        network = measures.opened(folder / "model.onnx", measures.ROWS)
        exact = continued(network, prompts, TOKENS, ending)
        parts = [
            {"prompt": text} | difference(network, tokenizer, prompt, right, other)
            for text, prompt, right, other in zip(QUESTIONS, prompts, exact, served, strict=True)
            if right != other
        ]
    return {
        "prompts": len(prompts),
        "most_tokens": TOKENS,
        "texts_alike": len(prompts) - len(parts),
        "differences_by_near_ties": sum(part["lead"] <= NEAR for part in parts),
        "largest_lead": max((part["lead"] for part in parts), default=0.0),
        "median_lead": median(part["lead"] for part in parts) if parts else 0.0,
        "differences": parts,
    }
