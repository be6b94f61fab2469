"""causal-lm's own benchmarks: greedy texts beside others, and the peer that npm brings."""

from pathlib import Path

import pytest

from scripts.benchmark.errors import BenchmarkError
from scripts.benchmark.language.greedy import QUESTIONS, continued, difference
from scripts.benchmark.language.llama_cpp import llama_cpp
from scripts.benchmark.serving.machine import Cores
from tests.support import tiny_lm
from training.language import measures

COUNT = 6
ENDING = frozenset({0})
pytestmark = pytest.mark.timeout(60)  # imports and exports on a busy machine


def prompts(number: int) -> list[list[int]]:
    """Of several lengths, more than one chunk among them."""
    texts = ["the fox " * (1 + at % 12) + str(at) for at in range(number)]
    return [encoded.ids for encoded in tiny_lm.tokenizer().encode_batch(texts)]


def test_texts_side_by_side_are_those_of_each_alone() -> None:
    """Also where there are more than the network has rows."""
    asked = prompts(measures.ROWS + 3)
    answers = continued(tiny_lm.network(measures.ROWS), asked, COUNT, ENDING)
    alone = tiny_lm.network(1)

    assert answers == [measures.continued(alone, ids, COUNT, ENDING).tokens for ids in asked]
    assert len(set(QUESTIONS)) == len(QUESTIONS) == 100


def test_a_difference_is_told_with_both_probabilities() -> None:
    """Where the texts part, the likeliest token leads."""
    (prompt,) = prompts(1)
    network = tiny_lm.network(1)
    exact = measures.continued(network, prompt, COUNT, ENDING).tokens
    other = next(token for token in range(5, 99) if token != exact[3])
    told = difference(network, tiny_lm.tokenizer(), prompt, exact, [*exact[:3], other])

    assert told["after_tokens"] == 3
    assert told["lead"] >= 0
    assert told["place_of_served"] > 1
    assert told["probabilities"][0] >= told["probabilities"][1]


def test_without_node_the_peer_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before anything is downloaded."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(BenchmarkError, match="install Node 20"),
        llama_cpp(tmp_path / "model.gguf", Cores(None, None)),
    ):
        pass
