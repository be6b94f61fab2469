"""Fine-tuning by LoRA, on a Llama of random weights."""

from typing import Any

import numpy as np
import pytest

from training.errors import DataError
from training.language.tiny import tiny_llama
from training.progress import Reporter

pytest.importorskip("peft")
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # peft reads what is deprecated
    pytest.mark.timeout(120),  # importing torch on a busy machine
]
from training.language import lora  # noqa: E402 - it imports peft, which may be missing

TEXT = b"the quick brown fox jumps over the lazy dog. " * 20
STEPS = 22


class Kept:
    """Checkpoints in memory: a run's last one, and what a later run finds."""

    def __init__(self, found: dict[str, Any] | None = None) -> None:
        self.found = found
        self.saved: list[dict[str, Any]] = []

    def load(self) -> dict[str, Any] | None:
        """What an earlier run left."""
        return self.found

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Keep a copy, as a store would."""
        import copy

        assert state["step"] == step
        self.saved.append(copy.deepcopy(state))


def tuned(kept: Kept | None = None) -> dict[str, np.ndarray]:
    """Dense weights after STEPS steps."""
    model = tiny_llama(1)
    ids = [model.tokenizer.encode(TEXT.decode()).ids]
    checkpoints: Any = kept
    lora.THREADS = 1
    weights = lora.tuned(model, ids, STEPS, 5, checkpoints, Reporter("causal-lm"))
    return dict(weights)


def test_a_run_from_a_checkpoint_ends_in_the_same_bits() -> None:
    """As the run that was never killed, and as one that keeps none."""
    whole = Kept()
    expected = tuned(whole)
    assert [state["step"] for state in whole.saved] == [20]

    for weights in (tuned(Kept(whole.saved[0])), tuned()):
        assert weights.keys() == expected.keys()
        assert all((weights[name] == expected[name]).all() for name in expected)


def test_only_what_was_learnt_changes() -> None:
    """Matrices of the layers; norms and the embedding stay what they were."""
    before, after = tiny_llama(1).weights, tuned()
    changed = {name for name in after if not (after[name] == before[name]).all()}

    assert changed
    assert all("_proj" in name for name in changed)


def test_too_little_text_and_other_forms_are_refused() -> None:
    """With what is needed."""
    model = tiny_llama(1)
    with pytest.raises(DataError, match="4 tokens of text: more than 128"):
        lora.tuned(model, [[1, 2, 3]], 2, 0, None, Reporter("causal-lm"))
    model.config["model_type"] = "gpt2"
    with pytest.raises(DataError, match="Llama's form"):
        lora.tuned(model, [[1] * 999], 2, 0, None, Reporter("causal-lm"))
