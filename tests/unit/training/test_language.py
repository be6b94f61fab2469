"""Language models read from files, and their weights in blocks."""

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

from training.errors import DataError
from training.export.decoder import to_onnx
from training.export.graph import DecoderGraph
from training.language.blocks import Blocks, dense, in_blocks, stacked
from training.language.gguf_file import read_gguf
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
        given = dense(weight)
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
def test_a_gguf_file_is_read_in_its_own_blocks(tmp_path: Path, kind: str) -> None:
    """Weights, tokenizer, template and ending token, to the bit."""
    tiny = tiny_llama(3)
    stored = write_gguf(tmp_path / "tiny.gguf", tiny, kind)
    model = read_model(str(tmp_path / "tiny.gguf"))

    assert model.weights.keys() == stored.keys()
    for name, matrix in model.weights.items():
        assert isinstance(matrix, Blocks) == (stored[name].ndim == 2 and kind != "F16")
        np.testing.assert_allclose(dense(matrix), stored[name], atol=2e-6)
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
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (answer,) = session.run(["logits"], {"x": x})
    return np.asarray(answer)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_blocks_are_multiplied_as_their_weights(kind: str) -> None:
    """Only activations are rounded; a row has the same bits in any number of rows."""
    drawn = np.random.default_rng(7)
    form = gguf.GGMLQuantizationType[kind]
    from training.language.gguf_file import _matrix

    class Tensor:
        tensor_type = form
        data = quantize(drawn.normal(0.05, 1, (96, 128)).astype(np.float32), form)

    matrix = _matrix(Tensor)
    x = drawn.normal(0, 1, (33, 128)).astype(np.float32)
    exact = x @ dequantize(Tensor.data, form).T
    answered = run(matrix, x)

    assert np.abs(answered - exact).max() < 0.02 * np.abs(exact).max()
    for rows in (1, 2, 7, 16):
        assert (run(matrix, x[:rows]) == answered[:rows]).all()


def test_rounding_to_eight_bits_is_near_and_stacks() -> None:
    """Within half of a step of each block; mixed with float32 they are float32 again."""
    matrix = np.random.default_rng(1).normal(0, 1, (8, 64)).astype(np.float32)
    matrix[3, :32] = 0
    rounded = in_blocks(matrix)

    steps = np.repeat(rounded.scales, 32, axis=1)
    assert (np.abs(rounded.dense() - matrix) <= steps / 2 + 1e-7).all()
    both = stacked([rounded, rounded])
    assert isinstance(both, Blocks)
    assert both.shape == (16, 64)
    assert not isinstance(stacked([rounded, matrix]), Blocks)


def test_a_tied_head_is_stored_once() -> None:
    """In blocks as in float32."""
    tiny = tiny_llama(0)
    embedding = dense(tiny.weights["model.embed_tokens.weight"])
    rounded = {"model.embed_tokens.weight": in_blocks(embedding)}
    for weights in (tiny.weights, {**tiny.weights, **rounded}):
        stored = to_onnx(tiny.config, weights).graph.initializer
        large = [one.name for one in stored if np.prod(one.dims) == embedding.size]
        assert len(large) == 1


def test_a_folder_of_half_precision_is_read_without_torch(tmp_path: Path) -> None:
    """bfloat16 as the numbers that it stands for; what is missing is named."""
    tiny = tiny_llama(2)
    halves = {name: dense(m).astype(ml_dtypes.bfloat16) for name, m in tiny.weights.items()}
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
        assert (dense(model.weights[name]) == half.astype(np.float32)).all()
    assert (model.first_token, model.ending) == (1, frozenset({2}))
    assert model.chat_template == tiny.chat_template


def test_a_name_that_is_nothing_is_told_at_once(tmp_path: Path) -> None:
    """A path that is not there is not taken to a hub."""
    with pytest.raises(DataError, match="no such file or folder"):
        read_model(str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="no such file or folder"):
        read_model("nothing.gguf")
