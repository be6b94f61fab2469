"""Language models read from files, and their weights in 8 bits."""

import json
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

from predictors.runtime.dataplane.model import add_exactly
from training.causal_lm import exported, rounded, save
from training.errors import DataError
from training.export import rotation
from training.export.decoder import to_onnx
from training.export.graph import DecoderGraph
from training.language import measures
from training.language.gguf_file import read_gguf
from training.language.matrices import Blocks, Rows, in_blocks, in_rows, stacked
from training.language.model import LanguageModel
from training.language.sources import read_model
from training.language.tiny import tiny_llama

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}


def gguf_name(name: str) -> str:
    """GGUF's name of one of transformers' weights."""
    name = name.removesuffix(".weight")
    if name in OUTER:
        return f"{OUTER[name]}.weight"
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{NAMES[part]}.weight"


def paired(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Rotated outputs in GGUF's order, as llama.cpp's converter writes them."""
    return matrix.reshape(heads, 2, -1, matrix.shape[1]).swapaxes(1, 2).reshape(matrix.shape)


def write_gguf(path: Path, model: LanguageModel, kind: str, **told: Any) -> dict[str, np.ndarray]:
    """Write a model as a GGUF file; returns its weights as the file has them."""
    writer = gguf.GGUFWriter(path, told.pop("architecture", "llama"))
    config = model.config
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    vocabulary = model.tokenizer.get_vocab()
    writer.add_tokenizer_model(told.pop("tokenizer", "gpt2"))
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    writer.add_token_types([3, 3, 3] + [1] * (len(vocabulary) - 3))
    writer.add_token_merges([])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(model.chat_template)
    stored = {}
    for name, weight in model.weights.items():
        given = weight
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            given = paired(given, config["num_attention_heads"])
        if given.ndim == 1 or kind == "F16":
            data, form = given.astype(np.float16 if given.ndim == 2 else np.float32), None
            back = data.astype(np.float32)
        else:
            form = gguf.GGMLQuantizationType[kind]
            data = quantize(given, form)
            back = dequantize(data, form)
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config["num_attention_heads"]
            back = back.reshape(heads, -1, 2, back.shape[1]).swapaxes(1, 2).reshape(back.shape)
        stored[name] = back
        writer.add_tensor(gguf_name(name), data, raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "F16"])
def test_a_gguf_file_is_read_as_what_it_stands_for(tmp_path: Path, kind: str) -> None:
    """Weights, tokenizer, template and ending token."""
    tiny = tiny_llama(3)
    stored = write_gguf(tmp_path / "tiny.gguf", tiny, kind)
    model = read_model(str(tmp_path / "tiny.gguf"))

    assert model.weights.keys() == stored.keys()
    for name, matrix in model.weights.items():
        assert matrix.dtype == np.float32
        np.testing.assert_allclose(matrix, stored[name], atol=2e-6)
    text = "Hello größe 12"
    ids = model.tokenizer.encode(text).ids
    assert ids == tiny.tokenizer.encode(text).ids
    assert model.tokenizer.decode(ids) == text
    assert (model.ending, model.first_token) == (frozenset({2}), 1)
    assert model.chat_template == tiny.chat_template


@pytest.mark.parametrize(
    ("told", "reason"),
    [({"architecture": "gpt2"}, "'gpt2': expected llama"), ({"tokenizer": "llama"}, "tokenizer")],
)
def test_another_kind_of_gguf_file_is_refused(
    tmp_path: Path, told: dict[str, str], reason: str
) -> None:
    """By what it is, and what was expected."""
    write_gguf(tmp_path / "other.gguf", tiny_llama(3), "F16", **told)
    with pytest.raises(DataError, match=reason):
        read_gguf(tmp_path / "other.gguf", {})
    (tmp_path / "none.gguf").write_bytes(b"GGUF of nothing")
    with pytest.raises(DataError, match="cannot be read as a GGUF file"):
        read_gguf(tmp_path / "none.gguf", {})


def run(matrix: Any, x: np.ndarray) -> np.ndarray:
    """X through one linear layer of the graph, in ONNX Runtime."""
    from onnx import TensorProto, helper

    graph = DecoderGraph()
    out = graph.linear("layer", "x", matrix)
    model = graph.model("one", out, matrix.shape[0])
    del model.graph.input[:]
    model.graph.input.append(
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", x.shape[1]])
    )
    options = onnxruntime.SessionOptions()
    add_exactly(options)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (answer,) = session.run(["logits"], {"x": x})
    return np.asarray(answer)


@pytest.mark.parametrize("in_codes", [in_rows, in_blocks])
def test_eight_bits_are_multiplied_as_their_weights(in_codes: Any) -> None:
    """Only activations are rounded; a row has the same bits in any number of rows."""
    drawn = np.random.default_rng(7)
    matrix = in_codes(drawn.normal(0.05, 1, (96, 128)).astype(np.float32))
    x = drawn.normal(0, 1, (33, 128)).astype(np.float32)
    exact = x @ matrix.dense().T
    answered = run(matrix, x)

    assert np.abs(answered - exact).max() < 0.02 * np.abs(exact).max()
    for rows in (1, 2, 7, 16):
        assert (run(matrix, x[:rows]) == answered[:rows]).all()


def test_the_largest_codes_are_added_up_exactly() -> None:
    """On processors that add two products in 16 bits, too; and a token of zeros gives zeros."""
    matrix = Rows(np.full((64, 256), 127, np.int8), np.ones(64, np.float32))
    x = np.ones((3, 256), np.float32)
    x[1], x[2, 128:] = 0, -1

    answered = run(matrix, x)
    np.testing.assert_allclose(answered[0], 127 * 256, rtol=1e-6)
    assert not answered[1:].any()


@pytest.mark.parametrize(("in_codes", "form"), [(in_rows, Rows), (in_blocks, Blocks)])
def test_rounding_to_eight_bits_is_near_and_stacks(in_codes: Any, form: type) -> None:
    """Within half of a step of each scale; mixed with float32 they are float32 again."""
    matrix = np.random.default_rng(1).normal(0, 1, (8, 64)).astype(np.float32)
    matrix[3] = 0
    codes = in_codes(matrix)

    steps = codes.scales.reshape(8, -1)
    steps = np.repeat(steps, 64 // steps.shape[1], axis=1)
    assert (np.abs(codes.dense() - matrix) <= steps / 2 + 1e-7).all()
    both = stacked([codes, codes])
    assert isinstance(both, form)
    assert both.shape == (16, 64)
    assert isinstance(stacked([codes, matrix]), np.ndarray)


def logits(config: dict[str, Any], weights: Any, tmp_path: Path) -> np.ndarray:
    """After each of 16 rows of a token."""
    save(to_onnx(config, weights), tmp_path / "model.onnx")
    network = measures.opened(tmp_path / "model.onnx", 16)
    network.step(list(range(3, 19)), [0] * 16)
    return network.step(list(range(30, 46)), [1] * 16).copy()


@pytest.mark.parametrize("tied", [True, False])
def test_a_turned_model_is_the_same_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, tied: bool
) -> None:
    """Exactly, until its matrices are rounded; and then nearly, where plain rows are far off."""
    tiny = tiny_llama(5)
    config = {**tiny.config, "tie_word_embeddings": tied}
    weights = {name: array.copy() for name, array in tiny.weights.items()}
    drawn = np.random.default_rng(3)
    for name, array in weights.items():
        if array.ndim == 1:  # what norms multiply by is learnt, and large for a few values
            array[:] = drawn.uniform(0.5, 1.5, array.shape)
            array[:2] *= 100
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            array[:] /= 100  # or attention goes to one token alone, whichever by a hair
    if not tied:
        embedding = weights["model.embed_tokens.weight"]
        weights["lm_head.weight"] = drawn.normal(0, 0.1, embedding.shape).astype(np.float32)
    assert rotation.can_turn(config, weights)
    exact = logits(config, weights, tmp_path)
    plain = {n: in_rows(a) if a.ndim == 2 else a for n, a in weights.items()}
    turned = logits(config, rotation.turned(config, weights), tmp_path)
    far, near = (np.abs(one - exact).mean() for one in (logits(config, plain, tmp_path), turned))
    assert near < far / 1.5
    monkeypatch.setattr(rotation, "in_rows", lambda matrix: matrix)
    same = logits(config, rotation.turned(config, weights), tmp_path)
    np.testing.assert_allclose(same, exact, atol=2e-4 * np.abs(exact).max())


def test_only_what_can_be_turned_is() -> None:
    """Another form, biases and heads of odd sizes stay as they are, in blocks."""
    tiny = tiny_llama(0)
    bias = {**tiny.weights, "model.layers.0.self_attn.q_proj.bias": np.zeros(4, np.float32)}
    for config, weights in (
        ({**tiny.config, "model_type": "gpt2"}, tiny.weights),
        ({**tiny.config, "head_dim": 20}, tiny.weights),
        (tiny.config, bias),
    ):
        assert not rotation.can_turn(config, weights)
        ((_, codes),) = rounded(config, weights)
        assert {type(matrix) for matrix in codes.values()} == {Blocks, np.ndarray}


@pytest.mark.parametrize(("most", "form"), [(1.0, "nearer"), (1e9, "fast")])
def test_the_fastest_form_that_is_near_enough_is_written(
    tmp_path: Path, most: float, form: str
) -> None:
    """And the last one, where none is: the gate says so then."""
    tiny = tiny_llama(0)
    near = {name: in_blocks(a) if a.ndim == 2 else a for name, a in tiny.weights.items()}
    forms = iter([("fast", tiny.weights), ("nearer", near)])
    window = np.arange(3, 67, dtype=np.int64).reshape(16, 4)
    written, _, reading = exported(tiny.config, forms, tmp_path, window, most)

    assert written == form
    save(to_onnx(tiny.config, near if form == "nearer" else tiny.weights), tmp_path / "same.onnx")
    (stored, same) = (tmp_path / f"{name}.onnx.data" for name in ("model", "same"))
    assert stored.read_bytes() == same.read_bytes()
    network = measures.opened(tmp_path / "same.onnx", measures.ROWS)
    assert reading.perplexity == measures.read(network, window).perplexity


def test_a_tied_head_is_stored_once() -> None:
    """In blocks as in float32."""
    tiny = tiny_llama(0)
    embedding = tiny.weights["model.embed_tokens.weight"]
    in_codes: Any = {"model.embed_tokens.weight": in_blocks(embedding)}
    for weights in (tiny.weights, {**tiny.weights, **in_codes}):
        stored = to_onnx(tiny.config, weights).graph.initializer
        large = [one.name for one in stored if np.prod(one.dims) == embedding.size]
        assert len(large) == 1


def test_a_folder_of_half_precision_is_read_without_torch(tmp_path: Path) -> None:
    """bfloat16 as the numbers that it stands for; what is missing is named."""
    tiny = tiny_llama(2)
    halves = {name: m.astype(ml_dtypes.bfloat16) for name, m in tiny.weights.items()}
    save_file(halves, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"no config\.json"):
        read_model(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(tiny.config | {"eos_token_id": 2}))
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        read_model(str(tmp_path))
    tiny.tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = {"bos_token": {"content": "<|im_start|>"}, "chat_template": tiny.chat_template}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    model = read_model(str(tmp_path))

    for name, half in halves.items():
        assert (model.weights[name] == half.astype(np.float32)).all()
    assert (model.first_token, model.ending) == (1, frozenset({2}))
    assert model.chat_template == tiny.chat_template


def test_a_name_that_is_nothing_is_told_at_once(tmp_path: Path) -> None:
    """A path that is not there is not taken to a hub."""
    with pytest.raises(DataError, match="no such file or folder"):
        read_model(str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="no such file or folder"):
        read_model("nothing.gguf")
