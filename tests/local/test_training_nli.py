"""training.nli as a Job runs it: the default, fine-tuning, killed and started again."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.nli import NliModel
from predictors.runtime import read_artifact
from tests.support import trained
from tests.support.predictor import running
from tests.support.required import ROOT
from tests.support.s3 import S3Server
from training.publish.registry import Registry

PAIRS = ROOT / "training" / "entailment" / "minilm" / "held_out.jsonl.gz"
SMOKE = ["--smoke", "--checkpoint-steps=2", f"--data={PAIRS}"]
KILLS = 3


def command(*flags: str | Path) -> list[str]:
    """The training script with these flags."""
    return [sys.executable, "-m", "training.nli", *map(str, flags)]


def run(*flags: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The training script to its end."""
    return subprocess.run(
        command(*flags),
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


TEMPLATE, TOPICS = "This text is about {}.", ["sports", "politics", "cooking"]
EXAMPLES = [  # what every NLI service shows, and what our own documents show
    ("A man is playing guitar", "A man is making music", "entailment"),
    ("The cat sat on the mat", "The cat was on the mat", "entailment"),
    ("The dog is sleeping", "The dog is running", "contradiction"),
    ("The cat sat on the mat", "The cat was hungry", "neutral"),
    ("A man sleeps.", "He is awake.", "contradiction"),
    ("A man is walking in the garden.", "Somebody is outdoors.", "entailment"),
]


@pytest.fixture(scope="module")
def artifact() -> Path:
    """What an uninterrupted run of fine-tuning makes."""
    return trained.artifact("nli", "--smoke", f"--data={PAIRS}")


@pytest.mark.timeout(400)
def test_the_default_is_right_about_the_examples_that_people_try(tmp_path: Path) -> None:
    """The pretrained encoder with its adapter, as it is served; needs no torch."""
    tensors = [
        {"name": name, "datatype": "BYTES", "shape": [len(EXAMPLES)], "data": list(column)}
        for name, column in zip(
            ("premise", "hypothesis"), list(zip(*EXAMPLES, strict=True))[:2], strict=True
        )
    ]
    with running("nli", trained.artifact("nli"), tmp_path / "log") as predictor:
        answer = predictor.infer({"inputs": tensors}).json["outputs"]

    (labels,) = (output["data"] for output in answer if output["name"] == "label")
    assert labels == [label for _, _, label in EXAMPLES]


def last_step(s3: S3Server) -> int:
    """The step of the newest checkpoint, 0 where there is none."""
    for latest in s3.folder.glob("models/nli/checkpoints/*/LATEST.json"):
        try:
            return int(json.loads(latest.read_text())["step"])
        except (OSError, ValueError):  # being written
            continue
    return 0


@pytest.mark.skipif(
    "KILLED_TRAINING" not in os.environ,
    reason="four trainings take minutes; KILLED_TRAINING=1 runs them",
)
@pytest.mark.timeout(1500)
def test_a_run_killed_three_times_ends_with_the_uninterrupted_ones_bytes(
    artifact: Path, s3: S3Server
) -> None:
    """Kill -9 at random points; each start goes on from the last checkpoint; one whole version."""
    rng = random.Random(7)
    for number in range(KILLS):
        before = last_step(s3)
        process = subprocess.Popen(
            command(*SMOKE),
            cwd=ROOT,
            env=os.environ | s3.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 300
        while last_step(s3) == before:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, f"waited 300 s for a step after {before}"
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.02))  # anywhere between two checkpoints
        process.kill()
        said = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, said
        assert ("goes on after step" in said) == (number > 0), said
        assert Registry(s3.environment).versions("nli") == []

    done = run(*SMOKE, **s3.environment)
    (version,) = Registry(s3.environment).versions("nli")

    assert done.returncode == 0, done.stderr
    assert "goes on after step" in done.stderr
    assert done.stdout == f"{version.uri}\n"
    assert version.version == read_artifact(artifact).version
    assert read_artifact(s3.folder / "models" / "nli" / version.version).model == "nli"
    assert Registry(s3.environment).keys("nli/checkpoints/") == []


def test_a_bad_setting_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    """Exit 2 and the setting's name; tests/unit/training/test_nli_options.py tries each."""
    done = run("--output", tmp_path / "a", BATCH_SIZE="none")

    assert done.returncode == 2, done.stderr
    assert "BATCH_SIZE: expected a" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_nowhere_is_one_sentence(tmp_path: Path) -> None:
    """No such folder, and no hub to ask."""
    done = run(
        *("--output", tmp_path / "a", f"--data={PAIRS}"),
        MODEL_NAME=str(tmp_path / "none"),
        HF_HUB_OFFLINE="1",
    )

    assert done.returncode == 1
    assert f"error: MODEL_NAME {tmp_path / 'none'} cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_t5_has_to_learn_before_it_is_published(tmp_path: Path) -> None:
    """Another MODEL_NAME than the default has no adapter: --data is asked for."""
    done = run("--output", tmp_path / "a", MODEL_NAME="google/flan-t5-small")

    assert done.returncode == 2
    assert "MODEL_NAME google/flan-t5-small has to learn: name --data" in done.stderr


def zero_shot(*texts: str, template: str = TEMPLATE, labels: Any = TOPICS, **more: Any) -> Any:
    """A request that has labels of texts chosen; `more` are parameters."""
    tensors = {"premise": list(texts), "hypothesis": [template] * len(texts)}
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [len(texts)], "data": data}
        for name, data in tensors.items()
    ]
    return {"inputs": inputs, "parameters": {"candidate_labels": labels} | more}


@pytest.mark.timeout(400)
def test_labels_of_texts_are_chosen_by_what_they_entail(tmp_path: Path) -> None:
    """Each text's answer is that of its pairs; wrong requests are refused, each in a sentence."""
    texts = ("The goalkeeper saved a penalty.", "Fry the onions until they are golden.")
    pairs = [(text, TEMPLATE.replace("{}", topic)) for text in texts for topic in TOPICS]
    premises, hypotheses = zip(*pairs, strict=True)
    plain = zero_shot(*premises)["inputs"]
    plain[1]["data"] = hypotheses
    with running("nli", trained.artifact("nli"), tmp_path / "log") as predictor:

        def answered(body: Any) -> dict[str, Any]:
            outputs = predictor.infer(body).json["outputs"]
            return {one["name"]: np.reshape(one["data"], one["shape"]) for one in outputs}

        judged = answered({"inputs": plain})
        single, several = (answered(zero_shot(*texts, multi_label=some)) for some in (False, True))
        alone = answered(zero_shot(texts[0], labels=TOPICS[:1]))
        refused = {
            sentence: predictor.infer(body)
            for sentence, body in (
                ("expected 1 to 32 for each text, got 33", zero_shot("a", labels=["b"] * 33)),
                (
                    "9 texts with 32 labels each are 288 pairs",
                    zero_shot(*"a" * 9, labels=[*"b" * 32]),
                ),
                ("expected text with {} where the label goes", zero_shot("a", template="It is.")),
                ("'candidate_labels': element 1 is empty", zero_shot("a", labels=["b", ""])),
                (
                    "'multi_label' is for requests with",
                    zero_shot("a", labels=None, multi_label=True),
                ),
            )
        }

    logs = np.log(judged["probabilities"].reshape(2, len(TOPICS), 3))
    entailed = np.exp(logs[..., 0] - logs.mean(-1))
    expected = entailed / entailed.sum(1, keepdims=True)
    assert "candidate" not in judged
    assert single["candidate"].tolist() == several["candidate"].tolist() == ["sports", "cooking"]
    assert np.allclose(single["candidate_probabilities"], expected, atol=1e-6)
    expected = 1 / (1 + np.exp(logs[..., 2] - logs[..., 0]))
    assert np.allclose(several["candidate_probabilities"], expected, atol=1e-6)
    assert np.allclose(alone["candidate_probabilities"], expected[:1, :1], atol=1e-6)
    for row, best in enumerate((0, 2)):  # the answer beside it is of the best label's pair
        of_pair = judged["probabilities"][row * len(TOPICS) + best]
        assert np.allclose(single["probabilities"][row], of_pair, atol=1e-7)
    for sentence, answer in refused.items():
        assert (answer.status, sentence in answer.json["error"]) == (400, True), answer.body


@pytest.mark.timeout(400)
def test_a_t5_of_transformers_learns_a_data_set_of_a_hub(s3: S3Server, tmp_path: Path) -> None:
    """MODEL_NAME in the store, --data a copy of a hub's data set; one version each time."""
    subprocess.run(
        [sys.executable, "-m", "tests.support.tiny_t5", tmp_path / "t5", tmp_path / "multi_nli"],
        cwd=ROOT,
        check=True,
        timeout=240,
    )
    store = Registry(s3.environment)
    for path in (tmp_path / "t5").iterdir():
        store.put(f"t5/tiny/{path.name}", path)
    for name in ("out", "again"):
        done = run(
            *("--smoke", "--data", tmp_path / "multi_nli", "--output", tmp_path / name),
            **(s3.environment | {"MODEL_NAME": "s3://models/t5/tiny", "BATCH_SIZE": "8"}),
            HF_HUB_OFFLINE="1",
            HF_HOME=str(tmp_path / "cache"),
            GRADIENT_ACCUMULATION_STEPS="4",
            MAX_LENGTH="32",
            LEARNING_RATE="1e-4",
        )
        assert done.returncode == 0, done.stderr

    made = read_artifact(tmp_path / "out")
    metrics = made.document["metrics"]
    assert read_artifact(tmp_path / "again").version == made.version
    assert (metrics["model_name"], metrics["batch_size"]) == ("s3://models/t5/tiny", 8)
    assert (metrics["max_length"], metrics["gradient_accumulation_steps"]) == (32, 4)
    assert made.document["data"]["test_name"] == "multi_nli-validation_matched"


@pytest.mark.timeout(400)
def test_a_deberta_learns_on_from_a_head_in_its_own_order_of_labels(tmp_path: Path) -> None:
    """What is served answers as transformers does, by our labels, of cut and of padded pairs."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from tests.support import tiny_deberta

    rows = [json.loads(line) for line in gzip.decompress(PAIRS.read_bytes()).splitlines()[:60]]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [row[name] for row in rows for name in ("premise", "hypothesis")]
    theirs = ("contradiction", "entailment", "neutral")
    tiny_deberta.write(tmp_path / "model", texts, theirs)
    done = run(
        *("--smoke", "--data", tmp_path / "pairs.jsonl", "--output", tmp_path / "out"),
        MODEL_NAME=str(tmp_path / "model"),
        HF_HUB_OFFLINE="1",
        MAX_LENGTH="32",
        LEARNING_RATE="1e-6",  # so little that each answer stays what it was
    )
    assert done.returncode == 0, done.stderr

    made = read_artifact(tmp_path / "out")
    served = NliModel("nli", tmp_path / "out", made)
    served.load()
    names = ("premise", "hypothesis")
    answer = served.infer(
        {name: np.array([row[name].encode() for row in rows], object) for name in names}
    )
    pairs = [[row[name] for name in names] for row in rows]
    cut = {"padding": True, "truncation": True, "max_length": 32, "return_tensors": "pt"}
    tokens = AutoTokenizer.from_pretrained(tmp_path / "model")(
        [list(pair) for pair in pairs], **cut
    )
    with torch.no_grad():
        before, after = (
            AutoModelForSequenceClassification.from_pretrained(folder)(**tokens).logits
            for folder in (tmp_path / "model", tmp_path / "out" / "transformers")
        )
    temperature = made.document["metrics"]["temperature"]

    assert np.abs(answer["probabilities"] - (after / temperature).softmax(-1).numpy()).max() < 1e-4
    assert {*answer["label"]} > {answer["label"][0]}
    assert [label.decode() for label in answer["label"]] == [theirs[n] for n in before.argmax(-1)]
    assert {*answer["truncated"].tolist()} == {True, False}


def test_texts_are_cut_where_metadata_says_and_the_answer_tells(
    artifact: Path, tmp_path: Path
) -> None:
    """`truncated` is true for a long pair; bytes that are no text are refused by tensor."""
    with running("nli", artifact, tmp_path / "log") as predictor:
        described = predictor.request("GET", "/v2/models/nli").json["inputs"][:2]
        names = [tensor["name"] for tensor in described]
        short, long = "A dog is running.", "A dog is running. " * 500
        tensors = [
            {"name": name, "datatype": "BYTES", "shape": [3], "data": data}
            for name, data in zip(names, ([short, long, short], [short, short, long]), strict=True)
        ]
        answer = predictor.infer({"inputs": tensors}).json["outputs"]
        one = b"\x02\x00\x00\x00a\xff"
        raw = {"datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(one)}}
        header = json.dumps({"inputs": [{"name": name, **raw} for name in names]}).encode()
        fields = {"Inference-Header-Content-Length": str(len(header))}
        refused = predictor.infer(header + one + one, **fields)

    assert [tensor["parameters"] for tensor in described] == [
        {"max_length_tokens": 128, "truncation": "longest_first"}
    ] * 2
    assert next(one for one in answer if one["name"] == "truncated")["data"] == [False, True, True]
    assert refused.status == 400
    assert (
        "tensor 'premise': expected UTF-8 text, got other bytes at element 0"
        in refused.body.decode()
    )
