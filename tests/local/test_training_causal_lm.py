"""A Hugging Face model published as it is: the predictor says what `transformers.generate` says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.predictor import running
from tests.support.required import ROOT, shared_data

NEW_TOKENS = 128
NAMES = ("Lily", "Tom", "Ben", "Mia", "Sam")
STARTS = ("Once upon a time, {}", "{} was sad", "One day {} saw a big dog", "The little cat of {}")
PROMPTS = [start.format(name) for name in NAMES for start in STARTS]


@pytest.mark.timeout(400)
def test_stories260k_is_continued_as_generate_does(tmp_path: Path) -> None:
    """Twenty prompts, 128 tokens each, greedy, all in one request: texts and token counts."""
    source = shared_data("models") / "stories260k"
    done = subprocess.run(
        [sys.executable, "-m", "training.causal_lm", "--model", source, "--output", tmp_path / "a"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with running("causal-lm", tmp_path / "a", tmp_path / "log") as predictor:
        tensor = {"name": "text_input", "datatype": "BYTES", "shape": [20], "data": PROMPTS}
        answer = predictor.infer({"inputs": [tensor], "parameters": {"max_tokens": NEW_TOKENS}})
    outputs = {one["name"]: one["data"] for one in answer.json["outputs"]}

    # Imported here: seconds that a test run without the data need not spend.
    from predictors.causal_lm.text import Completion, bytes_of_tokens
    from training.causal_lm import taken
    from training.causal_text import greedy

    model, tokenizer, _, ending = taken(str(source))
    model.eval()
    table = bytes_of_tokens(tokenizer)
    for row, prompt in enumerate(PROMPTS):
        tokens, _ = greedy(model, tokenizer.encode(prompt).ids, NEW_TOKENS, ending)
        completion = Completion(table, ())
        text = "".join([*map(completion.add, tokens), completion.end()])
        assert outputs["text_output"][row] == text
        assert outputs["completion_tokens"][row] == len(tokens)
