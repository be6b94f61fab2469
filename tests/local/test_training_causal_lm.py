"""Language models published by their training script, and what their predictor says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.causal_lm.text import Completion, bytes_of_tokens
from predictors.runtime import read_artifact
from tests.support import trained
from tests.support.predictor import running
from tests.support.required import ROOT, shared_data
from training.language.measures import opened
from training.language.sources import read_model

NEW_TOKENS = 128
NAMES = ("Lily", "Tom", "Ben", "Mia", "Sam")
STARTS = ("Once upon a time, {}", "{} was sad", "One day {} saw a big dog", "The little cat of {}")
PROMPTS = [start.format(name) for name in NAMES for start in STARTS]
TEXT = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.\n"


def publish(*flags: str | Path, expect: int = 0, **environment: str) -> str:
    """Run the training script; what it wrote on stdout, or on stderr where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "training.causal_lm", *map(str, flags)],
        cwd=ROOT,
        env=environment or None,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done.stderr if expect else done.stdout


def torch_model(folder: Path) -> Any:
    """Transformers' own, in evaluation mode."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["stories260k", "tiny_gpt2"])
def test_a_folder_is_continued_as_transformers_does(tmp_path: Path, name: str) -> None:
    """Twenty prompts, 128 tokens each, greedy, all in one request: texts and token counts."""
    source = shared_data("models") / name
    network = torch_model(source)
    publish("--model", source, "--bits", "32", "--output", tmp_path / "a")
    with running("causal-lm", tmp_path / "a", tmp_path / "log") as predictor:
        tensor = {"name": "text_input", "datatype": "BYTES", "shape": [20], "data": PROMPTS}
        answer = predictor.infer({"inputs": [tensor], "parameters": {"max_tokens": NEW_TOKENS}})
    outputs = {one["name"]: one["data"] for one in answer.json["outputs"]}

    model = read_model(str(source))
    table = bytes_of_tokens(model.tokenizer)
    for row, prompt in enumerate(PROMPTS):
        tokens = greedy(network, model.tokenizer.encode(prompt).ids, model.ending)
        completion = Completion(table, ())
        text = "".join([*map(completion.add, tokens), completion.end()])
        assert outputs["text_output"][row] == text
        assert outputs["completion_tokens"][row] == len(tokens)


def greedy(network: Any, prompt: list[int], ending: frozenset[int]) -> list[int]:
    """What `transformers.generate` adds to a prompt."""
    import torch

    given = torch.tensor([prompt])
    generated = network.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=sorted(ending) or None,
        pad_token_id=0,
    )
    tokens: list[int] = generated[0, len(prompt) :].tolist()
    return tokens


@pytest.mark.timeout(400)
def test_logits_are_transformers_own(tmp_path: Path) -> None:
    """Token by token through the cache, of random text: every weight takes part."""
    source = shared_data("models") / "stories260k"
    network = torch_model(source)
    import torch

    publish("--model", source, "--bits", "32", "--output", tmp_path / "a")
    served = opened(tmp_path / "a" / "model.onnx", 4)
    tokens = np.random.default_rng(0).integers(0, served.vocabulary, (4, 128))
    with torch.no_grad():
        expected = network(torch.from_numpy(tokens)).logits.float().numpy()

    for position in range(tokens.shape[1]):
        logits = served.step(tokens[:, position].tolist(), [position] * 4)
        assert np.abs(logits - expected[:, position]).max() < 2e-3


@pytest.mark.timeout(400)
def test_text_is_learnt_by_lora(tmp_path: Path) -> None:
    """What was read again and again is what the new version goes on with."""
    pytest.importorskip("peft")
    source = shared_data("models") / "stories260k"
    letters = tmp_path / "letters.txt"
    letters.write_text(TEXT * 400, "utf-8")
    flags = ("--model", source, "--data", letters, "--steps", "60")
    publish("--model", source, "--output", tmp_path / "before")
    publish(*flags, "--output", tmp_path / "after")
    before, after = read_artifact(tmp_path / "before"), read_artifact(tmp_path / "after")

    assert before.version != after.version
    prompts = {name: said(tmp_path / name, "The quick brown") for name in ("before", "after")}
    assert "fox" in prompts["after"]
    assert prompts["before"] != prompts["after"]
    assert after.document["data"]["steps"] == 60


def said(artifact: Path, prompt: str) -> str:
    """What a predictor process adds to a prompt."""
    with running("causal-lm", artifact, artifact.with_suffix(".log")) as predictor:
        path = "/v2/models/causal-lm/generate"
        body = json.dumps({"text_input": prompt, "max_tokens": 24}).encode()
        text: str = predictor.request("POST", path, body).json["text_output"]
    return text


def test_what_is_no_model_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Exit code 1, and no traceback."""
    said = publish("--model", tmp_path / "nothing", "--output", tmp_path / "a", expect=1)

    assert said == f"error: --model {tmp_path / 'nothing'}: there is no such file or folder\n"


@pytest.mark.timeout(600)
def test_a_row_has_the_same_bits_in_a_batch_of_any_size() -> None:
    """In the default's 4 and 8 bits, behind prompts of several lengths; and in a second session."""
    path = trained.artifact("causal-lm") / "model.onnx"
    drawn = np.random.default_rng(2)
    prompts = [drawn.integers(0, 49_000, length).tolist() for length in (3, 17, 32, 9) * 5]
    steps = {}
    for rows in (1, 2, 3, 7, 16, 20):
        network = opened(path, rows)
        filled = [network.fill(row, prompts[row], 0)[0] for row in range(rows)]
        logits = network.step([5] * rows, [len(prompts[row]) for row in range(rows)])
        steps[rows] = (filled[0], logits[0].copy())

    for filled_logits, stepped in steps.values():
        assert (filled_logits == steps[1][0]).all()
        assert (stepped == steps[1][1]).all()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "prompt", ["Once upon a time", "The sea is", "The best way to learn to cook is"]
)
def test_the_default_writes_english(prompt: str) -> None:
    """A continuation in sentences."""
    english(said(trained.artifact("causal-lm"), prompt))


@pytest.mark.timeout(600)
def test_the_default_chats_in_english(tmp_path: Path) -> None:
    """A poem in sentences, by OpenAI's API."""
    document = {
        "model": "causal-lm",
        "messages": [{"role": "user", "content": "Write a short poem about the sea."}],
        "temperature": 0,
        "max_tokens": 40,
    }
    with running("causal-lm", trained.artifact("causal-lm"), tmp_path / "log") as predictor:
        path = "/openai/v1/chat/completions"
        answer = predictor.request("POST", path, json.dumps(document).encode()).json
    text = answer["choices"][0]["message"]["content"]

    english(text)
    assert "sea" in text


def english(text: str) -> None:
    """Hold a text to words of letters, most of them different ones."""
    words = [word.strip('.,;:!?"()') for word in text.split()]

    assert len(words) >= 10
    assert sum(word.replace("-", "").replace("'", "").isalpha() for word in words) > 0.9 * len(
        words
    )
    assert len(set(words)) > 0.4 * len(words)
    assert text.isascii()
    assert "\n\n\n" not in text
