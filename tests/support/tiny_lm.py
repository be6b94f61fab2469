"""A causal LM of two layers with random weights, exported as training exports real ones."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from predictors.causal_lm import CausalLmModel
from predictors.causal_lm.engine import CHUNK, Engine
from predictors.causal_lm.guide import Grammars
from predictors.causal_lm.network import Network
from predictors.causal_lm.prefixes import PrefixCache
from predictors.causal_lm.prompts import PromptReader
from predictors.causal_lm.tensors import TensorReader
from predictors.causal_lm.text import bytes_of_tokens
from predictors.runtime import MANIFEST, build_manifest, golden_sample
from predictors.runtime.dataplane.job import Job, Piece, StreamJob
from predictors.runtime.observe.metrics import ModelMetrics
from training.export.decoder import to_onnx

WORDS = "the quick brown fox jumps over the lazy dog while größe and 日本語 stay in UTF-8. " * 20
VOCABULARY, HIDDEN, HEADS, LAYERS = 300, 32, 4, 2
END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CAPACITY = 256
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}"
)


@cache
def tokenizer() -> Tokenizer:
    """A byte-level tokenizer: tokens 3 … 258 are single bytes."""
    from tokenizers import decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, START, STOP],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator([WORDS], trainer)
    return made


@cache
def model(alphabet: str = "") -> bytes:
    """The ONNX file of a Llama with random weights, large enough that tokens vary.

    Args:
        alphabet: The ASCII letters that it answers with, and no others; empty: any token.
    """
    rng = np.random.default_rng(5)

    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.4, shape).astype(np.float32)

    weights = {
        "model.embed_tokens.weight": matrix(tokenizer().get_vocab_size(), HIDDEN),
        "model.norm.weight": np.ones(HIDDEN, np.float32),
    }
    for layer in range(LAYERS):
        base = f"model.layers.{layer}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{base}.{name}.weight"] = np.ones(HIDDEN, np.float32)
        for name in "qkvo":
            weights[f"{base}.self_attn.{name}_proj.weight"] = matrix(HIDDEN, HIDDEN)
        for name, shape in (("gate", (64, HIDDEN)), ("up", (64, HIDDEN)), ("down", (HIDDEN, 64))):
            weights[f"{base}.mlp.{name}_proj.weight"] = matrix(*shape)
    config = {
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": not alphabet,
    }
    if alphabet:
        _speak_only(alphabet, weights)
    serialized: bytes = to_onnx(config, weights).SerializeToString()
    return serialized


def _speak_only(alphabet: str, weights: dict[str, np.ndarray]) -> None:
    """Let one number of the residual stream stay as it is, and tell letters from all else by it."""
    embedded = weights["model.embed_tokens.weight"]
    head = embedded.copy()
    embedded[:, 0] = 4.0
    for layer in range(LAYERS):
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            weights[f"model.layers.{layer}.{name}.weight"][0, :] = 0.0
    head[:, 0] = -100.0
    for letter in alphabet:
        head[tokenizer().encode(letter).ids[0], 0] = 100.0
    weights["lm_head.weight"] = head


def network(rows: int, alphabet: str = "") -> Network:
    """A network of its own cache."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return Network(onnxruntime.InferenceSession(model(alphabet), options), rows, CAPACITY)


def reader(first_token: int | None = 0) -> TensorReader:
    """What reads V2's tensors for this model."""
    prompts = PromptReader(tokenizer(), first_token, CAPACITY)
    return TensorReader(prompts, Grammars(tokenizer(), [0]))


class Asked(StreamJob):
    """A request whose pieces are kept."""

    def __init__(self, arrays: dict[str, Any], rows: int, deadline: float | None = None) -> None:
        self.pieces: list[Piece] = []
        super().__init__(arrays, rows, self.pieces.append, deadline)

    @property
    def over(self) -> bool:
        """Whether the last piece came."""
        return bool(self.pieces) and self.pieces[-1].last

    @property
    def text(self) -> str:
        """All pieces of the first row."""
        return b"".join(piece.result()["text_output"][0] for piece in self.pieces).decode()


class Bench:
    """An engine that is turned by hand, so that a test counts turns instead of waiting."""

    def __init__(
        self,
        max_rows: int = 8,
        queue_size: int = 64,
        prefix_bytes: int = 2**20,
        alphabet: str = "",
    ) -> None:
        self.prefixes = PrefixCache(CHUNK, prefix_bytes)
        table = bytes_of_tokens(tokenizer())
        self.engine = Engine(network(1, alphabet), table, frozenset({0}), self.prefixes)
        self.metrics = ModelMetrics("causal-lm", "0", "onnxruntime")
        self.engine.limit(max_rows, queue_size, self.metrics)
        self.reader = reader()

    def ask(self, *texts: str, deadline: float | None = None, **settings: Any) -> Asked:
        """Submit prompts with the same settings; `stop` is a list of texts."""
        arrays: dict[str, Any] = {"text_input": objects([text.encode() for text in texts])}
        if stops := settings.pop("stop", None):
            arrays["stop"] = np.stack([objects([one.encode() for one in stops])] * len(texts))
        for name, value in settings.items():
            arrays[name] = np.array([value] * len(texts))
        job = Asked(arrays, len(texts), deadline)
        self.submit(job)
        return job

    def submit(self, job: Job) -> None:
        """Submit a request as the model does."""
        self.engine.submit(job, self.reader.read(job.arrays, job.rows))

    def turn(self, times: int = 1) -> None:
        """Let the engine compute."""
        for _ in range(times):
            self.engine.turn()

    def finish(self, *jobs: Asked) -> None:
        """Turn until the requests are over."""
        for _ in range(2000):
            if all(job.over for job in jobs):
                return
            self.turn()
        raise AssertionError("not over after 2000 turns")

    def alone(self, text: str, **settings: Any) -> Asked:
        """A request with nothing beside it."""
        job = self.ask(text, **settings)
        self.finish(job)
        return job


def objects(values: list[bytes]) -> np.ndarray:
    """A BYTES tensor."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def write_artifact(folder: Path, alphabet: str = "", name: str = "causal-lm") -> Path:
    """An artifact of this model, for a real predictor process that serves it by a name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model(alphabet))
    tokenizer().save(str(folder / "tokenizer.json"))
    generation = {"first_token": 0, "ending_tokens": [0], "positions": 512, "sampling": {}}
    (folder / "generation.json").write_text(json.dumps(generation))
    (folder / "chat_template.jinja").write_text(CHAT)
    bench = Bench(alphabet=alphabet)
    job = bench.ask("the quick", max_tokens=np.int32(8))
    job.in_pieces = False
    bench.finish(job)
    manifest = build_manifest(
        folder,
        model=name,
        engine="onnxruntime",
        inputs=CausalLmModel.inputs,
        outputs=CausalLmModel.outputs,
        metrics={},
        data={},
        code={},
        golden_sample=golden_sample(
            CausalLmModel.inputs, CausalLmModel.outputs, job.arrays, job.pieces[-1].result()
        ),
    )
    (folder / MANIFEST).write_bytes(manifest)
    return folder
