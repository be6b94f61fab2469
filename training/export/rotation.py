"""Weights of Llama's form turned, so that 8 bits a row are enough for them.

A few of a token's values are a hundred times the others, which a scale for all of them leaves
hardly any levels. An orthogonal matrix spreads them and changes nothing else, as its transpose
turns them back (QuaRot, Ashkboos et al. 2024, arXiv:2404.00456). The stream between the layers and
the heads' values are turned once, in the weights; what a layer's last matrix is given is turned as
it runs, by Hadamard's matrix.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from training.export.graph import ALIGNED
from training.language.matrices import Floats, Matrix, dense, in_rows

MIX = "mix"
"""(hidden, hidden): what the last norm's weights become; stands before the head."""
TURN = "mlp.turn"
"""A layer's; (size, size): `size` values side by side are multiplied by it before down_proj."""
_MOST_TURNED = 128
_SEED = 0
_VALUES = "self_attn.v_proj"
_AFTER_A_NORM = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", _VALUES),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}


def can_turn(config: Mapping[str, Any], weights: Mapping[str, Matrix]) -> bool:
    """Whether a model is of Llama's form, without biases, and its heads need no widening."""
    if config.get("model_type") != "llama" or any(name.endswith(".bias") for name in weights):
        return False
    return head_size(config) % ALIGNED == 0


def head_size(config: Mapping[str, Any]) -> int:
    """Values of a head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def turned(config: Mapping[str, Any], weights: Mapping[str, Matrix]) -> dict[str, Matrix]:
    """The same model with its matrices in rows of 8 bits; beside them a MIX, and TURNs.

    Args:
        config: as config.json of a model that can be turned.
        weights: by transformers' names.
    """
    hidden, size = config["hidden_size"], head_size(config)
    stream, values = _drawn(hidden), _drawn(size)

    def read(name: str) -> Floats:
        return dense(weights[f"{name}.weight"])

    last = read("model.norm")
    mix: Floats = (stream.T * last).astype(np.float32) @ stream
    made: dict[str, Matrix] = {
        "model.norm.weight": np.ones_like(last),
        "model.embed_tokens.weight": in_rows(read("model.embed_tokens") @ stream),
        MIX: mix,
    }
    if "lm_head.weight" in weights:
        made["lm_head.weight"] = in_rows(read("lm_head") @ stream)
    for layer in range(config["num_hidden_layers"]):
        base = f"model.layers.{layer}"
        for norm, names in _AFTER_A_NORM.items():
            scale = read(f"{base}.{norm}")
            made[f"{base}.{norm}.weight"] = np.ones_like(scale)
            for name in names:
                matrix: Floats = read(f"{base}.{name}") @ (scale[:, None] * stream)
                if name == _VALUES:
                    matrix = (values.T @ matrix.reshape(-1, size, hidden)).reshape(-1, hidden)
                made[f"{base}.{name}.weight"] = in_rows(matrix)
        out = read(f"{base}.self_attn.o_proj").reshape(hidden, -1, size) @ values
        made[f"{base}.self_attn.o_proj.weight"] = in_rows(stream.T @ out.reshape(hidden, -1))
        down = read(f"{base}.mlp.down_proj")
        turn = _hadamard(int(np.gcd(down.shape[1], _MOST_TURNED)))
        down = (down.reshape(hidden, -1, len(turn)) @ turn).reshape(down.shape)
        made[f"{base}.mlp.down_proj.weight"] = in_rows(stream.T @ down)
        made[f"{base}.{TURN}"] = turn
    return made


def _drawn(size: int) -> Floats:
    """An orthogonal matrix by chance, always the same."""
    orthogonal, triangle = np.linalg.qr(np.random.default_rng(_SEED).normal(size=(size, size)))
    return (orthogonal * np.sign(np.diag(triangle))).astype(np.float32)


def _hadamard(size: int) -> Floats:
    """Hadamard's matrix of a power of two, made orthogonal; symmetric, so its own transpose."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.float32(size**0.5)
