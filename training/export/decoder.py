"""A Hugging Face causal LM to ONNX, with the key/value cache as inputs and outputs.

The graph is written here rather than traced: two families of decoders are a page each, the bytes
repeat, and ONNX Runtime's GroupQueryAttention can be asked for by name. It attends to each row's
own length in a cache that it updates in place, so rows of different ages share a call
and nothing is copied between tokens.

    input_ids  (rows, tokens) int64    the next tokens of each row
    positions  (rows, tokens) int64    where they stand in the row, from 0
    last       (rows,) int32           the position of the last one
    length     () int32                last + 1 of the longest row
    key.i, value.i    (rows, heads, capacity, head size)  the cache of layer i, before and after
    kept       (1,) int64              of how many last tokens the logits are wanted
    logits     (rows × kept, vocabulary)   after these tokens
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from training.errors import DataError
from training.export.graph import ALIGNED, DecoderGraph, aligned
from training.export.rotation import MIX, TURN, head_size
from training.language.matrices import Matrix, dense, stacked

MOST_POSITIONS = (
    8192  # that a graph has rotations for; what a row may hold is the server's decision
)

Weights = Mapping[str, Matrix]


class UnsupportedModelError(DataError):
    """The model is not of a family that can be exported; says which are."""


def to_onnx(config: Mapping[str, Any], weights: Weights) -> onnx.ModelProto:
    """Write the graph of a causal LM.

    Args:
        config: config.json of the model.
        weights: by transformers' names, matrices (out, in); or turned, see rotation.

    Raises:
        UnsupportedModelError: another family than GPT-2's or Llama's, or a variant of them.
    """
    family = config.get("model_type")
    if family == "gpt2":
        return _gpt2(config, weights)
    if family == "llama":
        return _llama(config, weights)
    raise UnsupportedModelError(f"model_type {family!r} cannot be exported: expected gpt2 or llama")


def positions(config: Mapping[str, Any]) -> int:
    """How many tokens a row may hold at most."""
    most = config.get("max_position_embeddings") or config.get("n_positions") or MOST_POSITIONS
    return min(int(most), MOST_POSITIONS)


def _llama(config: Mapping[str, Any], weights: Weights) -> onnx.ModelProto:
    rope = config.get("rope_parameters") or {}
    _require(config, "hidden_act", "silu")
    _require(config, "rope_scaling", None)
    _require(rope, "rope_type", "default")
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    kv_heads = config.get("num_key_value_heads") or heads
    size = head_size(config)
    graph = DecoderGraph()
    theta = rope.get("rope_theta", config.get("rope_theta", 10_000.0))
    frequencies = np.repeat(theta ** (-np.arange(0, size, 2) / size), 2).reshape(-1, 2).T.ravel()
    angles = np.outer(np.arange(positions(config)), aligned(frequencies, size, axis=0))
    angles = angles[:, : angles.shape[1] // 2]
    rotary = (graph.constant("cos", np.cos(angles)), graph.constant("sin", np.sin(angles)))

    def vector(name: str) -> npt.NDArray[np.float32] | None:
        return dense(weights[name]) if name in weights else None

    epsilon = config["rms_norm_eps"]

    def scale(name: str) -> str:
        return graph.constant(name, dense(weights[name]))

    def norm(x: str, name: str) -> str:
        return graph.node("RMSNormalization", [x, scale(name)], axis=-1, epsilon=epsilon)

    def widened(matrix: Matrix, axis: int) -> Matrix:
        return aligned(dense(matrix), size, axis) if size % ALIGNED else matrix

    def linear(name: str, x: str) -> str:
        return graph.linear(name, x, weights[f"{name}.weight"], vector(f"{name}.bias"))

    embedding = weights["model.embed_tokens.weight"]
    tokens = graph.node("Reshape", ["input_ids", graph.constant("flat", np.array([-1]))])
    tied = bool(config.get("tie_word_embeddings"))
    x = graph.embedding("lm_head" if tied else "embedding", embedding, tokens)
    given = norm(x, "model.layers.0.input_layernorm.weight")
    for layer in range(config["num_hidden_layers"]):
        base = f"model.layers.{layer}"
        projections = [f"{base}.self_attn.{name}_proj" for name in "qkv"]
        packed = stacked([widened(weights[f"{name}.weight"], 0) for name in projections])
        biases = [vector(f"{name}.bias") for name in projections]
        wide = [aligned(bias, size, 0) for bias in biases if bias is not None]
        bias = np.concatenate(wide) if wide else None
        qkv = graph.linear(f"{base}.qkv", given, packed, bias)
        attended = graph.attention(layer, qkv, heads, kv_heads, size, rotary)
        out = f"{base}.self_attn.o_proj"
        matrix = widened(weights[f"{out}.weight"], 1)
        added = graph.linear(out, attended, matrix, vector(f"{out}.bias"))
        after = scale(f"{base}.post_attention_layernorm.weight")
        x, given = graph.sum_and_norm(x, added, after, epsilon)
        opened = linear(f"{base}.mlp.gate_proj", given)
        opened = graph.node("Mul", [opened, graph.node("Sigmoid", [opened])])
        inner = graph.node("Mul", [opened, linear(f"{base}.mlp.up_proj", given)])
        if f"{base}.{TURN}" in weights:
            inner = graph.turned(
                inner, dense(weights[f"{base}.{TURN}"]), config["intermediate_size"]
            )
        added = linear(f"{base}.mlp.down_proj", inner)
        if layer + 1 < config["num_hidden_layers"]:
            after = scale(f"model.layers.{layer + 1}.input_layernorm.weight")
            x, given = graph.sum_and_norm(x, added, after, epsilon)
    x = graph.node("Add", [x, added])
    last = norm(graph.last_tokens(x, hidden), "model.norm.weight")
    if MIX in weights:
        last = graph.node("MatMul", [last, scale(MIX)])
    head = embedding if tied else weights["lm_head.weight"]
    return graph.model("llama", graph.linear("lm_head", last, head), head.shape[0])


def _gpt2(config: Mapping[str, Any], weights: Weights) -> onnx.ModelProto:
    if config.get("activation_function") != "gelu_pytorch_tanh":  # the same, faster to train
        _require(config, "activation_function", "gelu_new")
    _require(config, "scale_attn_by_inverse_layer_idx", value=False)
    _require(config, "scale_attn_weights", value=True)
    heads, hidden = config["n_head"], config["n_embd"]
    size = hidden // heads
    graph = DecoderGraph()

    def of(name: str) -> npt.NDArray[np.float32]:
        return dense(weights[name])

    def norm(x: str, name: str) -> str:
        scale = graph.constant(f"{name}.weight", of(f"{name}.weight"))
        bias = graph.constant(f"{name}.bias", of(f"{name}.bias"))
        epsilon = config["layer_norm_epsilon"]
        return graph.node("LayerNormalization", [x, scale, bias], axis=-1, epsilon=epsilon)

    def linear(name: str, x: str) -> str:
        return graph.linear(name, x, weights[f"{name}.weight"], of(f"{name}.bias"))

    untied = "lm_head.weight" in weights
    embedding = weights["wte.weight"]
    places = graph.constant("wpe", of("wpe.weight"))
    flat = graph.constant("flat", np.array([-1]))
    tokens = graph.node("Reshape", ["input_ids", flat])
    positions = graph.node("Reshape", ["positions", flat])
    x = graph.node(
        "Add",
        [
            graph.embedding("embedding" if untied else "lm_head", embedding, tokens),
            graph.node("Gather", [places, positions]),
        ],
    )
    for layer in range(config["n_layer"]):
        base = f"h.{layer}"
        name = f"{base}.attn.c_attn"
        packed = graph.linear(
            name,
            norm(x, f"{base}.ln_1"),
            aligned(of(f"{name}.weight"), size, 0),
            aligned(of(f"{name}.bias"), size, 0),
        )
        attended = graph.attention(layer, packed, heads, heads, size)
        name = f"{base}.attn.c_proj"
        matrix = aligned(of(f"{name}.weight"), size, 1)
        x = graph.node("Add", [x, graph.linear(name, attended, matrix, of(f"{name}.bias"))])
        inner = linear(f"{base}.mlp.c_fc", norm(x, f"{base}.ln_2"))
        inner = graph.node("Gelu", [inner], approximate="tanh")
        x = graph.node("Add", [x, linear(f"{base}.mlp.c_proj", inner)])
    last = norm(graph.last_tokens(x, hidden), "ln_f")
    head = weights["lm_head.weight"] if untied else embedding
    return graph.model("gpt2", graph.linear("lm_head", last, head), head.shape[0])


def _require(config: Mapping[str, Any], name: str, value: object) -> None:
    if config.get(name, value) != value:
        raise UnsupportedModelError(f"{name} {config[name]!r} cannot be exported, only {value!r}")
