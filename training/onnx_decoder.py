"""A Hugging Face causal LM to ONNX, with the key/value cache as inputs and outputs.

The graph is written here rather than traced: two families of decoders are a page each, the bytes
repeat, and ONNX Runtime's GroupQueryAttention can be asked for by name. It attends to each row's
own length in a cache of fixed size that it updates in place, so rows of different ages share a call
and nothing is copied between tokens.

    input_ids  (rows, tokens) int64    the next tokens of each row
    positions  (rows, tokens) int64    where they stand in the row, from 0
    last       (rows,) int32           the position of the last one
    length     () int32                last + 1 of the longest row
    key.i, value.i    (rows, heads, CONTEXT, head size)   the cache of layer i, before and after
    logits     (rows, vocabulary)      after each row's last token
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from training.onnx_graph import CONTEXT, DecoderGraph, aligned

Weights = Mapping[str, npt.NDArray[np.float32]]


class UnsupportedModelError(Exception):
    """The model is not of a family that can be exported; says which are."""


def to_onnx(config: Mapping[str, Any], weights: Weights) -> onnx.ModelProto:
    """Write the graph of a causal LM.

    Args:
        config: config.json of the model.
        weights: its state dict, as float32.

    Raises:
        UnsupportedModelError: another family than GPT-2's or Llama's, or a variant of them.
    """
    family = config.get("model_type")
    if family == "gpt2":
        return _gpt2(config, weights)
    if family == "llama":
        return _llama(config, weights)
    raise UnsupportedModelError(f"model_type {family!r} cannot be exported: expected gpt2 or llama")


def _llama(config: Mapping[str, Any], weights: Weights) -> onnx.ModelProto:
    rope = config.get("rope_parameters") or {}
    _require(config, "hidden_act", "silu")
    _require(config, "rope_scaling", None)
    _require(rope, "rope_type", "default")
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    kv_heads = config.get("num_key_value_heads") or heads
    size = config.get("head_dim") or hidden // heads
    graph = DecoderGraph()
    theta = rope.get("rope_theta", config.get("rope_theta", 10_000.0))
    frequencies = np.repeat(theta ** (-np.arange(0, size, 2) / size), 2).reshape(-1, 2).T.ravel()
    angles = np.outer(np.arange(CONTEXT), aligned(frequencies, size, axis=0))
    angles = angles[:, : angles.shape[1] // 2]
    rotary = (graph.constant("cos", np.cos(angles)), graph.constant("sin", np.sin(angles)))

    def norm(x: str, name: str) -> str:
        scale = graph.constant(name, weights[name])
        epsilon = config["rms_norm_eps"]
        return graph.node("RMSNormalization", [x, scale], axis=-1, epsilon=epsilon)

    def matrix(name: str) -> npt.NDArray[np.float32]:
        return weights[f"{name}.weight"].T  # torch keeps (out, in)

    embedding = weights["model.embed_tokens.weight"]
    tokens = graph.node("Reshape", ["input_ids", graph.constant("flat", np.array([-1]))])
    x = graph.node("Gather", [graph.constant("embedding", embedding), tokens])
    for layer in range(config["num_hidden_layers"]):
        base = f"model.layers.{layer}"
        given = norm(x, f"{base}.input_layernorm.weight")
        projections = [f"{base}.self_attn.{name}_proj" for name in "qkv"]
        packed = np.concatenate([aligned(matrix(name), size, 1) for name in projections], axis=1)
        bias = None
        if f"{projections[0]}.bias" in weights:
            biases = [aligned(weights[f"{name}.bias"], size, 0) for name in projections]
            bias = np.concatenate(biases)
        attended = graph.attention(
            layer, graph.linear(f"{base}.qkv", given, packed, bias), heads, kv_heads, size, rotary
        )
        out = f"{base}.self_attn.o_proj"
        after = graph.linear(
            out, attended, aligned(matrix(out), size, 0), weights.get(f"{out}.bias")
        )
        x = graph.node("Add", [x, after])
        given = norm(x, f"{base}.post_attention_layernorm.weight")
        gate, up, down = (
            (f"{base}.mlp.{name}_proj", matrix(f"{base}.mlp.{name}_proj"))
            for name in ("gate", "up", "down")
        )
        opened = graph.linear(gate[0], given, gate[1], weights.get(f"{gate[0]}.bias"))
        opened = graph.node("Mul", [opened, graph.node("Sigmoid", [opened])])
        raised = graph.linear(up[0], given, up[1], weights.get(f"{up[0]}.bias"))
        product = graph.node("Mul", [opened, raised])
        after = graph.linear(down[0], product, down[1], weights.get(f"{down[0]}.bias"))
        x = graph.node("Add", [x, after])
    last = norm(graph.last_tokens(x, hidden), "model.norm.weight")
    head = embedding if config.get("tie_word_embeddings") else weights["lm_head.weight"]
    return graph.model("llama", graph.linear("lm_head", last, head.T, None), len(head))


def _gpt2(config: Mapping[str, Any], weights: Weights) -> onnx.ModelProto:
    if config.get("activation_function") != "gelu_pytorch_tanh":  # the same, faster to train
        _require(config, "activation_function", "gelu_new")
    _require(config, "scale_attn_by_inverse_layer_idx", value=False)
    _require(config, "scale_attn_weights", value=True)
    bare = "transformer." if "transformer.wte.weight" in weights else ""
    heads, hidden = config["n_head"], config["n_embd"]
    size = hidden // heads
    graph = DecoderGraph()

    def of(name: str) -> npt.NDArray[np.float32]:
        return weights[bare + name]

    def norm(x: str, name: str) -> str:
        scale = graph.constant(f"{name}.weight", of(f"{name}.weight"))
        bias = graph.constant(f"{name}.bias", of(f"{name}.bias"))
        epsilon = config["layer_norm_epsilon"]
        return graph.node("LayerNormalization", [x, scale, bias], axis=-1, epsilon=epsilon)

    def linear(name: str, x: str) -> str:
        return graph.linear(name, x, of(f"{name}.weight"), of(f"{name}.bias"))

    embedding = of("wte.weight")
    places = graph.constant("wpe", of("wpe.weight")[:CONTEXT])
    flat = graph.constant("flat", np.array([-1]))
    tokens = graph.node("Reshape", ["input_ids", flat])
    positions = graph.node("Reshape", ["positions", flat])
    x = graph.node(
        "Add",
        [
            graph.node("Gather", [graph.constant("embedding", embedding), tokens]),
            graph.node("Gather", [places, positions]),
        ],
    )
    for layer in range(config["n_layer"]):
        base = f"h.{layer}"
        name = f"{base}.attn.c_attn"
        packed = graph.linear(
            name,
            norm(x, f"{base}.ln_1"),
            aligned(of(f"{name}.weight"), size, 1),
            aligned(of(f"{name}.bias"), size, 0),
        )
        attended = graph.attention(layer, packed, heads, heads, size)
        name = f"{base}.attn.c_proj"
        matrix = aligned(of(f"{name}.weight"), size, 0)
        x = graph.node("Add", [x, graph.linear(name, attended, matrix, of(f"{name}.bias"))])
        inner = linear(f"{base}.mlp.c_fc", norm(x, f"{base}.ln_2"))
        inner = graph.node("Gelu", [inner], approximate="tanh")
        x = graph.node("Add", [x, linear(f"{base}.mlp.c_proj", inner)])
    last = norm(graph.last_tokens(x, hidden), "ln_f")
    head = weights.get("lm_head.weight", embedding)
    return graph.model("gpt2", graph.linear("lm_head", last, head.T, None), len(head))


def _require(config: Mapping[str, Any], name: str, value: object) -> None:
    if config.get(name, value) != value:
        raise UnsupportedModelError(f"{name} {config[name]!r} cannot be exported, only {value!r}")
